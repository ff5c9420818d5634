"""A token bucket: so much a second on average, and at once what a second brings."""

_BURST_S = 1.0


class Bucket:
    """Counts what may still be asked in this process. Time is an argument; it starts full.

    Args:
        per_s: tokens that a second brings.
        now: in seconds, on any clock that does not go back.
    """

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._size = max(1.0, per_s * _BURST_S)
        self._tokens = self._size
        self._filled_at = now

    def take(self, cost: int, now: float, *, is_further: bool = False) -> float:
        """Take tokens.

        What costs more than the bucket holds passes when it is full, and what comes after it
        waits for what it took too much.

        Args:
            cost: how many.
            now: in seconds.
            is_further: for a request that has taken one already, so a full bucket lacks that.

        Returns:
            0.0 where it may pass, else after how many seconds it may.
        """
        gained = (now - self._filled_at) * self._per_s
        self._tokens = min(self._size, self._tokens + max(0.0, gained))
        self._filled_at = now
        lacking = min(float(cost), self._size - is_further) - self._tokens
        # A wait that was told must be long enough, rounding or not.
        if lacking > 1e-9:
            return lacking / self._per_s
        self._tokens -= cost
        return 0.0
