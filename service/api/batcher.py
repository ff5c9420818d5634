"""Search texts of concurrent callers, encoded together: fewer and fuller calls of the model.

While no batch runs, a text goes at once; while one runs, the texts that arrive form the next. So
a lone text never waits for company, and the busier the service the larger the batches.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from service.api.compute import ComputePool
from service.api.metrics import Metrics
from service.api.waiting_text import (
    BYTES_PER_TOKEN,
    SPECIAL_TOKENS,
    WaitingText,
    estimate_tokens,
)
from service.encoders.encoder import Encoder
from service.errors import DeadlineExceeded, EncodingFailed, Overloaded
from service.types import Vector, Vectors

_log = logging.getLogger(__name__)

# The callers of a batch are answered in the next turn of the loop. Those who ask again at once are
# read after it, parsed in the second and here in the third, and go along: otherwise the callers
# fall into two halves that wait for each other, and batches of half the size take longer.
_TURNS_TO_ASK_AGAIN: Final = 3

_Run: TypeAlias = "asyncio.Future[tuple[list[WaitingText], Vectors]]"
"""A batch on its thread: who still wanted a vector, and their vectors."""


class QueryBatcher:
    """Encodes the texts of many callers in batches bounded by tokens. Belongs to one event loop.

    Args:
        compute: where the model runs.
        metrics: told batch sizes, waiting times, and what was dropped.
        batch_tokens: estimated tokens in one batch; a longer text is a batch of its own.
        queue_tokens: estimated tokens that may wait; more are refused.
        wait_s: the longest wait that a text may have ahead of it, as far as the speed of the
            model is known; a text that finds nobody waiting is never refused.
        batches_at_once: how many may run, at most as many as `compute` has threads.
        clock: seconds, the clock of the deadlines.
    """

    def __init__(
        self,
        compute: ComputePool,
        metrics: Metrics,
        *,
        batch_tokens: int,
        queue_tokens: int,
        wait_s: float = float("inf"),
        batches_at_once: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute = compute
        self._metrics = metrics
        self._batch_tokens = batch_tokens
        self._queue_tokens = queue_tokens
        self._wait_s = wait_s
        self._batches_at_once = batches_at_once
        self._clock = clock
        self._queue: deque[WaitingText] = deque()
        self._tokens_waiting = 0
        self._tokens_running = 0
        # Of texts that were read in this turn of the loop, and will come here.
        self._tokens_announced = 0
        self._tokens_per_s = float("inf")
        self._is_flush_due = False
        self._running: set[_Run] = set()

    @property
    def waiting(self) -> int:
        """Texts that no batch has taken yet."""
        return len(self._queue)

    @property
    def wait_s(self) -> float:
        """How long a text that arrives now is expected to wait for its batch."""
        if not self._queue and not self._tokens_announced:
            return 0.0
        tokens = self._tokens_announced + self._tokens_waiting + self._tokens_running
        return tokens / self._tokens_per_s

    @property
    def is_full(self) -> bool:
        """Whether a text that arrives now is refused, however short it is."""
        return self.wait_s > self._wait_s

    def announce(self, size_bytes: int) -> None:
        """Tell of a request with so long a text, read in this turn, that will come here later."""
        if not self._tokens_announced:
            asyncio.get_running_loop().call_soon(self._forget_announced)
        self._tokens_announced += SPECIAL_TOKENS + size_bytes // BYTES_PER_TOKEN

    def _forget_announced(self) -> None:
        # They run right after this, and nothing is read before.
        self._tokens_announced = 0

    async def encode(self, text: str, encoder: Encoder, deadline: float) -> Vector:
        """Encode a search text together with others that arrive while the model is busy.

        If the caller is cancelled, the text is dropped, unless its batch is running already.

        Args:
            text: as the caller wrote it.
            encoder: of the index version that will be asked. Texts for different encoders never
                share a batch.
            deadline: on the batcher's clock; from then on the text is not encoded any more.

        Returns:
            float32 (encoder.dim,).

        Raises:
            Overloaded: too many tokens are waiting, or its turn would come too late.
            DeadlineExceeded: the deadline passed before the text's turn.
            EncodingFailed: the model gave no usable vector for this text.
        """
        tokens = estimate_tokens(text, encoder.max_tokens)
        now = self._clock()
        is_too_late = self.wait_s > min(self._wait_s, deadline - now)
        if self._queue and (is_too_late or self._tokens_waiting + tokens > self._queue_tokens):
            raise Overloaded("Too many texts are waiting.", "Try again after a moment.")
        future: asyncio.Future[Vector] = asyncio.get_running_loop().create_future()
        waiting = WaitingText(text, encoder, deadline, now, tokens, future)
        self._queue.append(waiting)
        self._tokens_waiting += tokens
        self._flush_soon()
        try:
            return await future
        except asyncio.CancelledError:
            if waiting in self._queue:
                self._queue.remove(waiting)
                self._drop(waiting)
            raise

    async def aclose(self) -> None:
        """Cancel what waits, and wait for what runs. Call it when nobody asks any more."""
        while self._queue or self._running:
            while self._queue:
                self._queue.popleft().vector.cancel()
            self._tokens_waiting = 0
            if self._running:
                await asyncio.wait(self._running)

    def _flush_soon(self) -> None:
        # On the next turn of the loop, so that texts which arrive in this one go together.
        if not self._is_flush_due and self._queue:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        while len(self._running) < self._batches_at_once:
            batch = self._take_batch()
            if not batch:
                return
            try:
                run = self._compute.start(partial(self._encode, batch))
            except Overloaded as error:
                for waiting in batch:
                    waiting.fail(Overloaded(error.message, error.hint))
                self._flush_soon()
                return
            self._running.add(run)
            self._tokens_running += sum(waiting.tokens for waiting in batch)
            run.add_done_callback(partial(self._finish, batch, self._clock()))

    def _take_batch(self) -> list[WaitingText]:
        """Take the longest-waiting text and those for the same encoder that fit beside it."""
        batch: list[WaitingText] = []
        others: deque[WaitingText] = deque()
        tokens, now = 0, self._clock()
        while self._queue:
            waiting = self._queue.popleft()
            if waiting.loss(now) is not None:
                self._drop(waiting)
                continue
            if batch and waiting.encoder is not batch[0].encoder:
                others.append(waiting)
                continue
            is_too_much = tokens + waiting.tokens > self._batch_tokens
            if batch and (is_too_much or waiting.alone or batch[0].alone):
                others.append(waiting)
                break
            batch.append(waiting)
            tokens += waiting.tokens
        self._queue.extendleft(reversed(others))
        self._tokens_waiting -= tokens
        return batch

    def _drop(self, waiting: WaitingText) -> None:
        self._tokens_waiting -= waiting.tokens
        self._tell_lost(waiting)

    def _tell_lost(self, waiting: WaitingText) -> None:
        self._metrics.encode_dropped.labels(waiting.loss(self._clock()) or "left").inc()
        waiting.fail(DeadlineExceeded("The time for this request was up before its turn came."))

    def _finish(self, batch: list[WaitingText], started: float, run: _Run) -> None:
        is_next_full = self._tokens_waiting >= self._batch_tokens
        self._make_way(run, 0 if is_next_full else _TURNS_TO_ASK_AGAIN)
        self._tokens_running -= sum(waiting.tokens for waiting in batch)
        if run.cancelled():
            for waiting in batch:
                waiting.vector.cancel()
        elif isinstance(error := run.exception(), EncodingFailed):
            self._retry(batch, error)
        else:
            self._deliver(batch, started, *run.result())

    def _make_way(self, run: _Run, turns: int) -> None:
        """Let another batch run, after so many turns of the loop."""
        if turns:
            asyncio.get_running_loop().call_soon(self._make_way, run, turns - 1)
        else:
            self._running.discard(run)
            self._flush_soon()

    def _deliver(
        self, batch: list[WaitingText], started: float, wanted: list[WaitingText], vectors: Vectors
    ) -> None:
        for waiting, vector in zip(wanted, vectors, strict=True):
            if not waiting.vector.done():
                waiting.vector.set_result(vector)
        if len(wanted) < len(batch):
            for waiting in set(batch).difference(wanted):
                self._tell_lost(waiting)
        if wanted:
            self._learn(sum(each.tokens for each in wanted), self._clock() - started)

    def _learn(self, tokens: int, seconds: float) -> None:
        """Note how fast the model is, the wait for a thread included."""
        rate = self._batches_at_once * tokens / max(seconds, 1e-6)
        is_first = self._tokens_per_s == float("inf")
        self._tokens_per_s = rate if is_first else 0.8 * self._tokens_per_s + 0.2 * rate

    def _retry(self, batch: list[WaitingText], error: EncodingFailed) -> None:
        """Put the texts of a failed batch in front again, each for itself: one may be the cause."""
        if len(batch) == 1:
            batch[0].fail(error)
            return
        _log.warning("a batch of %d texts failed, each is tried alone: %s", len(batch), error)
        for waiting in reversed(batch):
            waiting.alone = True
            self._queue.appendleft(waiting)
            self._tokens_waiting += waiting.tokens

    def _encode(self, batch: Sequence[WaitingText]) -> tuple[list[WaitingText], Vectors]:
        """Run on a thread of the pool, perhaps some time after the batch was taken."""
        now = self._clock()
        wanted = [waiting for waiting in batch if waiting.loss(now) is None]
        encoder = batch[0].encoder
        if not wanted:
            return wanted, np.empty((0, encoder.dim), dtype=np.float32)
        self._metrics.batch_size.observe(len(wanted))
        for waiting in wanted:
            self._metrics.queue_wait.observe(now - waiting.arrived)
        try:
            vectors = encoder.encode_queries([waiting.text for waiting in wanted])
            _check(vectors, len(wanted), encoder)
        except EncodingFailed:
            raise
        except Exception as error:
            # The edge of the thread: whatever a model raises is a failure of this batch alone.
            raise EncodingFailed(f"{encoder.identity} failed: {type(error).__name__}.") from error
        return wanted, vectors


def _check(vectors: Vectors, texts: int, encoder: Encoder) -> None:
    if vectors.shape != (texts, encoder.dim):
        raise EncodingFailed(
            f"{encoder.identity} gave vectors of shape {vectors.shape} for {texts} texts, "
            f"expected ({texts}, {encoder.dim})."
        )
    if not np.isfinite(vectors).all():
        raise EncodingFailed(f"{encoder.identity} gave a vector that is NaN or infinite.")
