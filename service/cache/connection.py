"""The way to a Redis server: opened at the first question, and anew after a loss."""

import asyncio

from service.cache.address import RedisAddress
from service.cache.failures import RedisFault
from service.cache.pipeline import Pipeline, RedisLimits, Reply, connect


class Connection:
    """One pipeline at a time, shared by all callers. Event loop only.

    Args:
        address: where.
        limits: bounds of connecting and asking.
    """

    def __init__(self, address: RedisAddress, limits: RedisLimits) -> None:
        self._address = address
        self._limits = limits
        self._pipeline: Pipeline | None = None
        self._connecting: asyncio.Task[Pipeline] | None = None
        self.connects = 0
        """Attempts to connect since start."""

    @property
    def pending(self) -> int:
        """Questions without a reply."""
        return 0 if self._pipeline is None else self._pipeline.pending

    async def ask(self, command: bytes) -> Reply:
        """Send a packed command and return its reply; connects first where need be.

        Raises:
            RedisFault: see `Pipeline.ask`; `timeout` where connecting and asking together take
                longer than the budget.
        """
        pipeline = self._pipeline
        if pipeline is not None and not pipeline.is_lost:
            return await pipeline.ask(command)
        try:
            async with asyncio.timeout(self._limits.budget_s):
                pipeline = await self._connect()
                return await pipeline.ask(command)
        except TimeoutError:
            raise RedisFault("timeout") from None

    def drop(self) -> None:
        """Give up the pipeline, whose next replies cannot be trusted."""
        if self._pipeline is not None:
            self._pipeline.drop("connect")
            self._pipeline = None

    async def aclose(self) -> None:
        """Close; call it when no question is under way any more."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._pipeline is not None:
            await self._pipeline.aclose()
            self._pipeline = None

    async def _connect(self) -> Pipeline:
        if self._connecting is None:
            self.connects += 1
            self._connecting = asyncio.create_task(connect(self._address, self._limits))
            self._connecting.add_done_callback(self._connected)
        # One attempt for all who wait; it outlives a caller who leaves.
        return await asyncio.shield(self._connecting)

    def _connected(self, connecting: asyncio.Task[Pipeline]) -> None:
        self._connecting = None
        if not connecting.cancelled() and connecting.exception() is None:
            self._pipeline = connecting.result()
