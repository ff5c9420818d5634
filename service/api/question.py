"""A question as it is asked, and the name under which its answer is kept."""

from collections.abc import Hashable
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import orjson

from service.api.cursor import Cursors
from service.cache.keys import cache_key, key_opening
from service.index.shelf import Shelf
from service.types import Query


class Question(NamedTuple):
    """A validated query, and where its list goes on, if it does."""

    query: Query
    cursor: str | None = None


class Task(NamedTuple):
    """A question, read against the version that answers it."""

    query: Query
    canonical: bytes
    """The query as it was sent, without what earlier pages showed."""
    kind: Hashable
    """What decides how long it takes, roughly: tasks of a kind cost about the same."""


def read_question(question: Question, cursors: Cursors, shelf: Shelf) -> Task:
    """Spell a question in canonical form, and look up where its list goes on.

    Raises:
        InvalidCursor, CursorExpired: there is no going on from here.
    """
    query = question.query
    # Every field, in their order, with the types of JSON: "1", 1 and true stay three values.
    canonical = orjson.dumps(query)
    if question.cursor is not None:
        query = replace(query, shown=cursors.read(question.cursor, canonical, shelf))
    return Task(query, canonical, _kind(query))


def answer_key(task: Task, cursor: str | None, shelf: Shelf) -> bytes:
    """Name the answer to a question: equal names, equal answers.

    The revision moves with every change and every expiry of an item, so what is gone is in no
    cached answer. The revision of a user's history will stand beside it.
    """
    opening = _opening(shelf.snapshot.name, shelf.revision)
    return cache_key(task.canonical, cursor or "", after=opening)


@lru_cache(maxsize=8)
def _opening(version: str, revision: str) -> blake2b:
    return key_opening(b"answer", version, revision)


def _kind(query: Query) -> Hashable:
    seeds = len(query.like) + len(query.dislike)
    return (
        query.text is not None,
        seeds.bit_length(),
        query.k.bit_length(),
        query.diversity > 0,
        bool(query.filter),
        bool(query.limit_per),
        len(query.boost) + (query.promoted is not None),
        query.strategy,
        len(query.among or ()).bit_length(),
        len(query.shown).bit_length(),
        query.explain + query.in_words,
    )
