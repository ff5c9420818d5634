"""Turns requests away while there is no time for them, as early and as cheaply as it can be said.

What is known already is always answered. For the rest the doorman asks the queue that a request
would stand in: the model's for texts, the gate's for everything else. Nothing of a request that is
turned away is parsed but its head.
"""

import random
from http import HTTPStatus
from typing import Final

from service.api.batcher import QueryBatcher
from service.api.errors import raw_problem
from service.api.gate import Gate
from service.api.metrics import Metrics
from service.api.repeats import LONGEST, asked_by_get, repeat_key
from service.cache.local import LocalCache
from service.errors import Overloaded
from service.index.live import Live

_SEARCH: Final = "/search"
_SIMILAR: Final = "/items/{item_id:path}/similar"
_POSTED: Final = {
    path.encode("ascii"): path for path in ("/recommend", "/recommend/batch", "/rank")
}
_PLACE: Final = "0" * 16
"""Where an id goes in an answer that is written once."""


class Doorman:
    """Knows which queue a request would stand in, and whether it is worth it.

    Args:
        gate: where answers wait to be computed.
        batcher: where texts wait for the model.
        live: what answers now.
        repeats: requests that were answered.
        metrics: told what was turned away.
    """

    def __init__(
        self, gate: Gate, batcher: QueryBatcher, live: Live, repeats: LocalCache, metrics: Metrics
    ) -> None:
        self.gate = gate
        self._batcher = batcher
        self._live = live
        self._repeats = repeats
        self._rejected = metrics.rejected.labels("503")
        methods = {_SEARCH: "GET", _SIMILAR: "GET", **dict.fromkeys(_POSTED.values(), "POST")}
        self._counted = {
            route: metrics.requests.labels(route, method, "5xx")
            for route, method in methods.items()
        }
        error = Overloaded("The service is at its limit.", "Try again after a moment.")
        self._refusals = {
            keep_alive: raw_problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                error.code,
                str(error),
                request_id=_PLACE,
                keep_alive=keep_alive,
            )
            for keep_alive in (True, False)
        }

    @property
    def is_busy(self) -> bool:
        """Whether some requests may have to be turned away now."""
        return self.gate.is_pressed or self._batcher.is_full

    def route_of(self, method: bytes, url: bytes) -> str | None:
        """The route of an answer that may have to be computed; None for every other request."""
        path = url.partition(b"?")[0]
        if method == b"POST":
            return _POSTED.get(path)
        if method != b"GET":
            return None
        if path == b"/search":
            return _SEARCH
        return _SIMILAR if path.endswith(b"/similar") else None

    def refusal(self, route: str, url: bytes, body: bytes, *, keep_alive: bool) -> bytes | None:
        """A whole HTTP answer for a request there is no time for; None for one to be looked at.

        Args:
            route: as `route_of` tells it.
            url: with its query.
            body: of a POST; what of it is known.
            keep_alive: whether the connection can be used again.
        """
        # Quoted, so that it is the name of a field. A text that says the same is a rare thing.
        has_text = route == _SEARCH or b'"text"' in body
        if not (self._batcher.is_full if has_text else self.gate.is_full):
            if has_text:
                self._batcher.announce(len(body) or len(url))
            return None
        if len(body) <= LONGEST:
            path, _, query = url.partition(b"?")
            asked = body or asked_by_get(path, query)
            if self._repeats.get(repeat_key(asked, self._live.current.shelf)) is not None:
                return None
        self._rejected.inc()
        # In no time worth telling; what counts is how many.
        self._counted[route].observe(0.0)
        request_id = b"%016x" % random.getrandbits(64)
        return self._refusals[keep_alive].replace(_PLACE.encode("ascii"), request_id)
