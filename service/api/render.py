"""From a ranked list to the bytes on the wire, and the bytes that a cache may keep."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import orjson

from service.index.shelf import Shelf, rounded
from service.types import Counts, Query, Recommendations, Why

_NO_REASONS: Final = b"[]\n{"


def render(query: Query, found: Recommendations, shelf: Shelf, cursor: str | None) -> bytes:
    """Render what does not depend on the single request, so that a cache can hold it.

    Args:
        cursor: where the list goes on, None where it ends.

    Returns:
        A JSON array of the `degraded` reasons, a newline, and the rest of the answer's object.
    """
    rest = {
        "index": shelf.snapshot.name,
        "model": str(shelf.snapshot.manifest.model),
        "source": found.source,
        "missing": found.missing,
        "counts": _counts(found.counts),
        "cursor": cursor,
    }
    items = _items(query, found, shelf)
    return b'%b\n{"items":[%b],%b' % (orjson.dumps(found.degraded), items, orjson.dumps(rest)[1:])


def compose(
    rendered: bytes, request_id: bytes, cache_degraded: str | None
) -> tuple[bytes, tuple[str, ...]]:
    """Complete a rendered answer with what belongs to this request alone.

    Args:
        rendered: what `render` gave, now or earlier.
        request_id: hexadecimal or the caller's own, already checked to need no escaping.
        cache_degraded: why the cache could not help, if it could not.

    Returns:
        The body, and all reasons in its `degraded`.
    """
    if cache_degraded is None and rendered.startswith(_NO_REASONS):
        # The usual case, and all that a cache hit may cost: the answer is copied once.
        opening = b'{"request_id":"%b","degraded":[],' % request_id
        return b"".join((opening, memoryview(rendered)[len(_NO_REASONS) :])), ()
    head, _, rest = rendered.partition(b"\n")
    reasons = tuple(orjson.loads(head))
    if cache_degraded is not None:
        reasons = (*reasons, cache_degraded)
    body = b'{"request_id":"%s","degraded":%s,%s' % (
        request_id,
        orjson.dumps(reasons),
        rest[1:],
    )
    return body, reasons


def _items(query: Query, found: Recommendations, shelf: Shelf) -> bytes:
    """Put items together from JSON that the catalogue holds: most of an answer is copied."""
    if not found.rows:
        return b""
    tails: list[bytes] = []
    if found.is_promoted:
        tails = [b',"promoted":true' if own else b"" for own in found.is_promoted]
    if found.whys:
        reasons = map(_reasons, found.whys)
        tails = list(map(bytes.__add__, tails, reasons)) if tails else list(reasons)
    if query.fields is None:
        return shelf.answered(found.rows, found.scores, tails)
    written = shelf.written(np.array(found.rows, np.int64))
    items = zip(written, rounded(found.scores), tails or [b""] * len(written), strict=True)
    return b",".join(
        [
            b'{"id":%b,"score":%b,"fields":%b%b}'
            % (item_id, score, _chosen(held, query.fields), tail)
            for (item_id, held), score, tail in items
        ]
    )


def _chosen(attributes: bytes, fields: Sequence[str]) -> bytes:
    known = orjson.loads(attributes)
    return orjson.dumps({name: known[name] for name in fields if name in known})


def _reasons(why: Why) -> bytes:
    because = [
        {"text": True, "share": each.share}
        if each.id is None
        else {"id": each.id, "share": each.share}
        for each in why.because
    ]
    told: dict[str, object] = {"because": because, "shared": why.shared}
    if why.boost:
        told["boost"] = round(why.boost, 6)
    if why.words:
        told["words"] = why.words
    return b"," + orjson.dumps(told)[1:-1]


def _counts(counts: Counts) -> dict[str, object]:
    return {
        "asked": counts.asked,
        "found": counts.found,
        "back_filled": counts.back_filled,
        "back_filled_from": counts.back_filled_from,
        "filtered_out": {
            "filter": counts.filter,
            "min_score": counts.min_score,
            "limit_per": counts.limit_per,
            "near_duplicate": counts.near_duplicate,
            "unscored": counts.unscored,
        },
    }
