"""Whether a key may ask once more: its own bucket, or a lease of what all processes share."""

import time
from collections.abc import Callable
from typing import Final

from service.access.bucket import Bucket
from service.access.keys import Key
from service.access.lease import Lease, Ledger
from service.access.rate import Rate

# Keys that were revoked since leave their meters behind.
_METERS_MAX: Final = 100_000

_Meter = Bucket | Lease


class Limiter:
    """Counts the requests of keys that have a rate. Event loop only.

    Args:
        workers: processes that share the traffic; without a ledger each grants its part.
        ledger: where they meet; None where there is no such place.
        clock: Unix seconds.
    """

    def __init__(
        self, workers: int, ledger: Ledger | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._workers = workers
        self._ledger = ledger
        self._clock = clock
        self._meters: dict[tuple[str, Rate], _Meter] = {}

    def share(self, ledger: Ledger) -> None:
        """Count from here on where all processes see it."""
        self._ledger = ledger
        self._meters.clear()

    async def wait_s(self, key: Key, cost: int = 1, *, is_further: bool = False) -> float:
        """Count a request of a key.

        Args:
            key: whose.
            cost: how many questions the request holds.
            is_further: one was counted before it was known how many there are.

        Returns:
            0.0 where it may pass, else after how many seconds it may.
        """
        if key.rate is None:
            return 0.0
        meter = self._meter(key.id, key.rate)
        if isinstance(meter, Bucket):
            return meter.take(cost, self._clock(), is_further=is_further)
        return await meter.take(cost, is_further=is_further)

    def is_alone(self, key: Key) -> bool:
        """Tell whether the last request of a key was counted here though it should be shared."""
        meter = None if key.rate is None else self._meters.get((key.id, key.rate))
        return isinstance(meter, Lease) and meter.is_alone

    def _meter(self, key_id: str, rate: Rate) -> _Meter:
        meter = self._meters.get((key_id, rate))
        if meter is None:
            if len(self._meters) >= _METERS_MAX:
                self._meters.clear()
            meter = self._meters[key_id, rate] = self._new(key_id, rate)
        return meter

    def _new(self, key_id: str, rate: Rate) -> _Meter:
        part = Bucket(rate.per_s / self._workers, self._clock())
        if self._ledger is None:
            return part
        return Lease(key_id, rate, self._ledger, part, self._clock)
