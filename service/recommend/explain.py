"""Why an item is in the list: which seed, with which share, and what they have in common."""

from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from service.index.shelf import Shelf
from service.recommend.liking import shares
from service.recommend.plan import Plan
from service.recommend.pool import boosts_of
from service.recommend.ranking import Ranked
from service.recommend.wording import sentence
from service.types import NO_ROW, Attributes, AttributeValue, Scalar, Share, Why


def explained(ranked: Ranked, plan: Plan, shelf: Shelf) -> list[Why]:
    """Say of every item of a list why it is there; see `Why`."""
    rows = np.array(ranked.rows, np.int64)
    count = len(rows)
    because: Sequence[tuple[Share, ...]] = [()] * count
    if plan.wish is not None:
        vectors = shelf.vectors(rows) if ranked.vectors is None else ranked.vectors
        because = shares(plan.wish, vectors)
    boosts = boosts_of(plan, rows).tolist() if plan.boosted else [0.0] * count
    # A text has no attributes, and so no row.
    row_of = dict(zip(plan.seeds.liked_ids, plan.seeds.liked.tolist(), strict=True))
    first = [row_of.get(seeds[0].id, NO_ROW) if seeds else NO_ROW for seeds in because]
    whys = list(map(Why, because, shared_attributes(ranked.rows, first, shelf), boosts))
    if not plan.query.in_words:
        return whys
    promoted = ranked.is_promoted or [False] * count
    return [
        why._replace(words=sentence(score, why, plan, shelf, is_promoted=is_promoted))
        for score, why, is_promoted in zip(ranked.scores, whys, promoted, strict=True)
    ]


def shared_attributes(
    rows: Sequence[int], seeds: Sequence[int], shelf: Shelf
) -> Sequence[Mapping[str, Sequence[Scalar]]]:
    """Name the texts in attributes of each item that a seed of its own has as well.

    Numbers are left out, as two equal prices say nothing about taste, and so are values that a
    large part of the catalogue has. What is filterable and common is asked of the version alone.

    Args:
        rows: of the items.
        seeds: the row of a seed for each, -1 for none.
    """
    if shelf.lines is not None:
        return shelf.lines.shared(rows, seeds)
    commonplace = {
        key: column.commonplace
        for key, column in shelf.snapshot.table.columns.items()
        if column.kind == "keyword"
    }
    known = list(dict.fromkeys([*rows, *(seed for seed in seeds if seed != NO_ROW)]))
    attributes = dict(zip(known, _attributes(known, shelf), strict=True))
    return [
        {} if seed == NO_ROW else _shared(attributes[row], attributes[seed], commonplace)
        for row, seed in zip(rows, seeds, strict=True)
    ]


def _shared(
    ours: Attributes, theirs: Attributes, commonplace: Mapping[str, frozenset[Scalar]]
) -> dict[str, list[Scalar]]:
    found: dict[str, list[Scalar]] = {}
    for key, value in ours.items():
        if key in commonplace:
            telling = frozenset(_texts(theirs.get(key))) - commonplace[key]
            if common := [each for each in _texts(value) if each in telling]:
                found[key] = common
    return found


def _attributes(rows: Sequence[int], shelf: Shelf) -> list[Attributes]:
    written = [attributes for _, attributes in shelf.written(np.array(rows, np.int64))]
    found: list[Attributes] = orjson.loads(b"[%b]" % b",".join(written))
    return found


def _texts(value: AttributeValue) -> list[Scalar]:
    if isinstance(value, str):
        return [value]
    return list(value) if isinstance(value, list) else []
