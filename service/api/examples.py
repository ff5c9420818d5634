"""Worked examples and declared failures for the OpenAPI document."""

from service.api.answer_schemas import Problem

_LIST: dict[str, object] = {
    "request_id": "2f0c9c1f7a9d4e11",
    "degraded": [],
    "items": [
        {
            "id": "pin-88",
            "score": 0.83,
            "fields": {"title": "Herbs in tin cans on a railing"},
            "because": [{"id": "pin-17", "share": 0.7}, {"text": True, "share": 0.3}],
            "shared": {"category": ["balcony-garden"]},
        }
    ],
    "index": "pins@2026-11-23T10-15-02Z-4f2a",
    "model": "bge-small-en-v1.5@5c38ec7",
    "source": "similar",
    "missing": ["pin-9"],
    "counts": {
        "asked": 1,
        "found": 1,
        "back_filled": 0,
        "back_filled_from": None,
        "filtered_out": {
            "filter": 600,
            "min_score": 0,
            "limit_per": 0,
            "near_duplicate": 0,
            "unscored": 0,
        },
    },
    "cursor": "Xy0nq8bD1ZQBAAAAWAAAAL2mS0bH8o4bV5k8q1r2s3Q",
}
ANSWER = {"application/json": {"example": _LIST}}
BATCH_ANSWER = {
    "application/json": {
        "example": {
            "request_id": "2f0c9c1f7a9d4e11",
            "answers": [
                _LIST,
                {
                    "problem": {
                        "type": "urn:magpie:problem:invalid_filter",
                        "title": "Unprocessable Entity",
                        "status": 422,
                        "code": "invalid_filter",
                        "detail": "The range of price has no bound that is a number.",
                        "request_id": "2f0c9c1f7a9d4e11",
                    }
                },
            ],
        }
    }
}


def _declared(description: str) -> dict[str, object]:
    return {
        "description": description,
        "model": Problem,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        },
    }


def _problem(description: str) -> dict[str, object]:
    """A failure as the document itself writes it, for what no route declares."""
    return {key: value for key, value in _declared(description).items() if key != "model"}


NOT_READY = _declared("Not yet, or no more: `not_ready`; the detail says why.")

PROTOCOL_PROBLEMS: dict[int, dict[str, object]] = {
    408: _problem("The request did not arrive in time: `request_too_slow`."),
    431: _problem("Address and headers are too long together: `headers_too_large`."),
}

ACCESS_PROBLEMS: dict[int, dict[str, object]] = {
    401: _problem("No valid API key: `key_required`."),
    403: _problem("The API key does not reach this far: `scope_missing`."),
    429: _problem("More requests than the API key may send: `rate_exceeded`."),
}

PROBLEMS: dict[int, dict[str, object]] = {
    400: _declared(
        "Not JSON, something said twice, or a bad `Request-Timeout-Ms`: "
        "`invalid_json`, `duplicate_key`, `invalid_timeout`."
    ),
    404: _declared("No such item: `item_not_found`."),
    413: _declared("The body is too large: `body_too_large`."),
    415: _declared("The body is not application/json: `unsupported_media_type`."),
    422: _declared(
        "Wrong form, or a filter or cap that does not fit: `invalid_request`, `invalid_filter`, "
        "`invalid_query`, `text_search_unavailable`."
    ),
    503: _declared("At the limit, try again: `overloaded`."),
    504: _declared("The time for this request was up: `deadline_exceeded`."),
}

PAGE_PROBLEMS: dict[int, dict[str, object]] = {
    410: _declared("The cursor's index version is no longer served: `cursor_expired`."),
    422: _declared(
        "Wrong form, a filter or cap that does not fit, or a cursor that is not of this request: "
        "`invalid_request`, `invalid_filter`, `invalid_query`, `text_search_unavailable`, "
        "`invalid_cursor`."
    ),
}

WRITE_PROBLEMS: dict[int, dict[str, object]] = {
    **{status: PROBLEMS[status] for status in (400, 404, 413, 415)},
    403: _declared(
        "The API key does not reach this far, or changes are not served here: `scope_missing`, "
        "`read_only`."
    ),
    422: _declared(
        "Wrong form, items that cannot be kept, or too many of them: `invalid_request`, "
        "`invalid_item`, `too_many_items`."
    ),
    503: _declared(
        "At the limit, or the disk refuses, and nothing was changed: `overloaded`, "
        "`changes_not_stored`."
    ),
    507: _declared("A rebuild is due, which takes fresh items in: `too_many_changes`."),
}
