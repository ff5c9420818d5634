"""Real catalogues with questions and judged answers, for `make bench-quality`.

The files are those of ../shared/data; each folder there names its source and licence.
"""

import csv
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.types import Vectors

_TATE_WORKS = 8000
_QUESTIONS = 1000
_LIKED = 4.0
_DISLIKED = 2.5
_TEST_SHARE = 0.2
_LIKERS_MIN = 5
_SHRINK = 10
_ARTICLE = re.compile(r"^(.*), (The|A|An|Les|La|Le|Il|Das|Der|Die|El)( \(\d{4}\))?$")

Encode = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True, slots=True, eq=False)
class Films:
    """Films as items, and the histories of those who rated them."""

    texts: tuple[str, ...]
    vectors: Vectors
    histories: tuple["History", ...]


@dataclass(frozen=True, slots=True, eq=False)
class JudgedSet:
    """Items, questions about them, and which items answer each question how well.

    Args:
        items: float32 (n, dim), unit rows.
        questions: float32 (q, dim).
        hidden: int64 rows that the answer to a question must leave out.
        gains: for each question the gain, > 0, of every relevant row.
        texts: of the items.
    """

    name: str
    items: Vectors
    questions: Vectors
    hidden: tuple[NDArray[np.int64], ...]
    gains: tuple[Mapping[int, float], ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What somebody liked and disliked before, oldest first, and what they liked later: rows."""

    liked: NDArray[np.int64]
    disliked: NDArray[np.int64]
    later: NDArray[np.int64]


def tate(folder: Path, encode: Encode, seed: int) -> JudgedSet:
    """Item to items: which works share subjects with a work? The subjects are not in its text."""
    works = _lines(folder / "tate-art" / "items.jsonl")[:_TATE_WORKS]
    texts = [f"{w['title']}. {w['artist']}. {w['medium']}. {w['date']}" for w in works]
    vectors = encode(texts)
    subjects = [frozenset(map(str, work["subjects"])) for work in works]
    holders: dict[str, list[int]] = defaultdict(list)
    for row, names in enumerate(subjects):
        for name in names:
            holders[name].append(row)
    rows = np.random.default_rng(seed).choice(len(works), _QUESTIONS, replace=False)
    gains = tuple(_common_subjects(int(row), subjects, holders) for row in rows)
    return JudgedSet(
        "Tate, item to items",
        vectors,
        vectors[rows],
        tuple(np.array([row]) for row in rows),
        gains,
        tuple(texts),
    )


def coco(folder: Path, encode: Encode, seed: int) -> JudgedSet:
    """Search: the photo that is described in other words."""
    photos = _lines(folder / "coco-captions" / "items.jsonl")
    pairs = [(row, text) for row, photo in enumerate(photos) for text in photo["queries"]]
    chosen = np.random.default_rng(seed).choice(len(pairs), _QUESTIONS, replace=False)
    asked = [pairs[place] for place in chosen]
    return JudgedSet(
        "COCO, search",
        encode([str(photo["text"]) for photo in photos]),
        encode([text for _, text in asked]),
        tuple(np.empty(0, np.int64) for _ in asked),
        tuple({row: 1.0} for row, _ in asked),
        tuple(str(photo["text"]) for photo in photos),
    )


def films(folder: Path, encode: Encode) -> Films:
    """All films with their texts, which hold no ratings."""
    source = folder / "movielens-small"
    with (source / "movies.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    rows = {film["movieId"]: row for row, film in enumerate(listed)}
    texts = tuple(_film_text(film["title"], film["genres"]) for film in listed)
    return Films(texts, encode(texts), _histories(source / "ratings.csv", rows))


def liked_together(films: Films, seed: int) -> JudgedSet:
    """Item to items: films that the same people liked, by the shrunk cosine of their likers."""
    likers: dict[int, set[int]] = defaultdict(set)
    for person, history in enumerate(films.histories):
        for row in (*history.liked.tolist(), *history.later.tolist()):
            likers[row].add(person)
    known = sorted(row for row, people in likers.items() if len(people) >= _LIKERS_MIN)
    asked = np.random.default_rng(seed).choice(known, _QUESTIONS, replace=False)
    liked = [{*each.liked.tolist(), *each.later.tolist()} for each in films.histories]
    gains = []
    for row in asked.tolist():
        common = Counter(other for person in likers[row] for other in liked[person] - {row})
        gains.append(
            {
                other: count / (sqrt(len(likers[row]) * len(likers[other])) + _SHRINK)
                for other, count in common.items()
                if count > 1
            }
        )
    return JudgedSet(
        "MovieLens, item to items",
        films.vectors,
        films.vectors[asked],
        tuple(np.array([row]) for row in asked),
        tuple(gains),
        films.texts,
    )


def kept_vectors(encode: Encode, digest: str, folder: Path) -> Encode:
    """Encode what is not kept in a folder from an earlier run; `digest` names the model."""

    def look_up(texts: Sequence[str]) -> Vectors:
        name = hashlib.sha256("\0".join([digest, *texts]).encode()).hexdigest()[:24]
        path = folder / f"{name}.npy"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            np.save(path, encode(texts), allow_pickle=False)
        kept: Vectors = np.load(path, allow_pickle=False)
        return kept

    return look_up


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _common_subjects(
    row: int, subjects: Sequence[frozenset[str]], holders: Mapping[str, Sequence[int]]
) -> Mapping[int, float]:
    """Gain of every other work: the subjects in common over those of either."""
    ours = subjects[row]
    others = {other for name in ours for other in holders[name]} - {row}
    return {other: len(ours & subjects[other]) / len(ours | subjects[other]) for other in others}


def _film_text(title: str, genres: str) -> str:
    found = _ARTICLE.match(re.sub(r" (\(\d{4}\))$", "", title))
    year = re.search(r" \(\d{4}\)$", title)
    moved = f"{found[2]} {found[1]}{year[0] if year else ''}" if found else title
    return f"{moved}. {', '.join(genres.split('|'))}"


def _histories(ratings: Path, rows: Mapping[str, int]) -> tuple[History, ...]:
    """Split by time: the last fifth of what each person liked is what they liked later."""
    people: dict[str, list[tuple[int, float, int]]] = defaultdict(list)
    with ratings.open(encoding="utf-8", newline="") as file:
        for event in csv.DictReader(file):
            told = (int(event["timestamp"]), float(event["rating"]), rows[event["movieId"]])
            people[event["userId"]].append(told)
    found = []
    for events in people.values():
        events.sort()
        liked = [(when, row) for when, rating, row in events if rating >= _LIKED]
        if len(liked) < 5:
            continue
        cut = len(liked) - max(1, round(len(liked) * _TEST_SHARE))
        before = [row for when, rating, row in events
                  if rating <= _DISLIKED and when < liked[cut][0]]  # fmt: skip
        kept, later = [row for _, row in liked[:cut]], [row for _, row in liked[cut:]]
        found.append(History(*(np.array(each, np.int64) for each in (kept, before, later))))
    return tuple(found)
