"""From a ranked list to the bytes on the wire, and the bytes that a cache may keep."""

import orjson

from service.index.shelf import Shelf
from service.types import Query, Recommendation, Recommendations


def render(query: Query, found: Recommendations, shelf: Shelf) -> bytes:
    """Render what does not depend on the single request, so that a cache can hold it.

    Returns:
        A JSON array of the `degraded` reasons, a newline, and the rest of the answer's object.
    """
    rest = {
        "items": [_item(each, query, shelf) for each in found.items],
        "index": shelf.snapshot.name,
        "model": str(shelf.snapshot.manifest.model),
        "source": found.source,
        "missing": found.missing,
    }
    return orjson.dumps(found.degraded) + b"\n" + orjson.dumps(rest)


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
    head, _, rest = rendered.partition(b"\n")
    if head == b"[]" and cache_degraded is None:
        # The usual case, and all that a cache hit may cost.
        return b'{"request_id":"%s","degraded":[],%s' % (request_id, rest[1:]), ()
    reasons = tuple(orjson.loads(head))
    if cache_degraded is not None:
        reasons = (*reasons, cache_degraded)
    body = b'{"request_id":"%s","degraded":%s,%s' % (
        request_id,
        orjson.dumps(reasons),
        rest[1:],
    )
    return body, reasons


def _item(found: Recommendation, query: Query, shelf: Shelf) -> dict[str, object]:
    catalogued = shelf.item(found.row)
    attributes = catalogued.attributes
    fields = (
        attributes
        if query.fields is None
        else {name: attributes[name] for name in query.fields if name in attributes}
    )
    item: dict[str, object] = {
        "id": catalogued.id,
        "score": round(found.score, 6),
        "fields": fields,
    }
    if query.explain:
        item["because"] = [
            {"text": True, "share": each.share}
            if each.id is None
            else {"id": each.id, "share": each.share}
            for each in found.because
        ]
        item["shared"] = found.shared
    return item
