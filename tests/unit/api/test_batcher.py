"""The batcher around a model that can be held, and that fails on command."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest

from service.api.batcher import QueryBatcher
from service.api.compute import ComputePool
from service.api.metrics import Metrics
from service.api.waiting_text import estimate_tokens
from service.errors import DeadlineExceeded, EncodingFailed, Overloaded
from service.types import ModelIdentity, Vectors

DIM = 8
LATER = 1000.0


class GatedEncoder:
    """Gives each text a vector of its own; while the gate is shut, calls wait in their thread."""

    dim = DIM
    max_tokens = 64

    def __init__(self, name: str = "gated") -> None:
        self.identity = ModelIdentity(name, "0" * 40, name)
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        self.entered.release()
        assert self.gate.wait(10)
        if "raises" in texts:
            raise RuntimeError("the model broke")
        vectors = self.encode_items(texts)
        if "nan" in texts:
            vectors[texts.index("nan"), 3] = np.nan
        return vectors[:, :-1] if "narrow" in texts else vectors

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        digests = [hashlib.sha256(f"{self.identity.id} {text}".encode()) for text in texts]
        raw = np.frombuffer(b"".join(d.digest()[:DIM] for d in digests), np.uint8)
        vectors = raw.reshape(len(texts), DIM).astype(np.float32) + 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A batcher, and what stands around it."""

    def __init__(
        self, batch_tokens: int, queue_tokens: int, threads: int, wait_s: float = float("inf")
    ) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.compute = ComputePool(threads, queue=64)
        self.batcher = QueryBatcher(
            self.compute,
            self.metrics,
            batch_tokens=batch_tokens,
            queue_tokens=queue_tokens,
            wait_s=wait_s,
            batches_at_once=threads,
            clock=self.clock,
        )

    def ask(
        self, text: str, encoder: GatedEncoder, deadline: float = LATER
    ) -> "asyncio.Task[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]":
        return asyncio.create_task(self.batcher.encode(text, encoder, deadline))

    def dropped(self, reason: str) -> float:
        labels = {"reason": reason}
        return self.metrics.registry.get_sample_value("rec_encode_dropped_total", labels) or 0.0

    def measured(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(name) or 0.0


MakeBench = Callable[..., Bench]


@pytest.fixture
async def make_bench() -> AsyncIterator[MakeBench]:
    made: list[Bench] = []

    def make(
        batch_tokens: int = 512,
        queue_tokens: int = 8192,
        threads: int = 1,
        wait_s: float = float("inf"),
    ) -> Bench:
        made.append(Bench(batch_tokens, queue_tokens, threads, wait_s))
        return made[-1]

    yield make
    for bench in made:
        await bench.batcher.aclose()
        bench.compute.close()


async def running(encoder: GatedEncoder) -> None:
    """Wait until the model has been called once more."""
    assert await asyncio.to_thread(encoder.entered.acquire, timeout=10)


async def settle() -> None:
    """Let everything happen that needs no thread."""
    for _ in range(5):
        await asyncio.sleep(0)


def vector_of(encoder: GatedEncoder, text: str) -> Vectors:
    return np.asarray(encoder.encode_items([text])[0])


async def test_a_lone_text_goes_at_once_without_waiting_for_company(
    make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    timers: list[object] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_at", lambda *a, **_: timers.append(a))
    vector = await bench.batcher.encode("bread", encoder, LATER)
    np.testing.assert_array_equal(vector, vector_of(encoder, "bread"))
    assert timers == []
    assert bench.measured("rec_queue_wait_seconds_count") == 1
    assert bench.measured("rec_queue_wait_seconds_sum") == 0


async def test_texts_that_arrive_in_one_turn_of_the_loop_go_together(
    make_bench: MakeBench,
) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    await asyncio.gather(*(bench.ask(text, encoder) for text in "abcd"))
    assert encoder.batches == [["a", "b", "c", "d"]]


async def test_texts_that_arrive_while_a_batch_runs_form_the_next(make_bench: MakeBench) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    encoder.gate.clear()
    first = bench.ask("first", encoder)
    await running(encoder)
    others = []
    for text in "abc":
        others.append(bench.ask(text, encoder))
        await settle()
    assert bench.batcher.waiting == 3
    bench.clock.now = 0.5
    encoder.gate.set()
    await asyncio.gather(first, *others)
    assert encoder.batches == [["first"], ["a", "b", "c"]]
    assert bench.measured("rec_batch_size_sum") == 4
    assert bench.measured("rec_queue_wait_seconds_sum") == 1.5


async def test_who_asks_again_at_once_goes_along_with_those_who_wait(
    make_bench: MakeBench,
) -> None:
    """A network gives the next request after the turn in which the last one was answered."""
    bench, encoder = make_bench(), GatedEncoder()
    encoder.gate.clear()

    async def ask_twice() -> None:
        await bench.batcher.encode("first", encoder, LATER)
        for _ in range(2):
            await asyncio.sleep(0)
        await bench.batcher.encode("again", encoder, LATER)

    twice = asyncio.create_task(ask_twice())
    await running(encoder)
    waits = bench.ask("waits", encoder)
    await settle()
    encoder.gate.set()
    await asyncio.gather(twice, waits)
    assert encoder.batches == [["first"], ["waits", "again"]]


async def test_every_caller_gets_the_vector_of_its_own_text(make_bench: MakeBench) -> None:
    bench, encoder = make_bench(batch_tokens=40, threads=3), GatedEncoder()
    texts = [f"text {n} " + "x" * (n * 7 % 40) for n in range(300)]
    vectors = await asyncio.gather(*(bench.ask(text, encoder) for text in texts))
    np.testing.assert_array_equal(np.stack(vectors), encoder.encode_items(texts))
    assert bench.measured("rec_batch_size_sum") == 300


async def test_a_batch_holds_no_more_tokens_than_allowed_and_keeps_the_order(
    make_bench: MakeBench,
) -> None:
    bench, encoder = make_bench(batch_tokens=20), GatedEncoder()
    texts = ["a" * 18, "b" * 18, "c" * 18, "d" * 180, "e" * 18]
    assert [estimate_tokens(text, 64) for text in texts] == [8, 8, 8, 62, 8]
    await asyncio.gather(*(bench.ask(text, encoder) for text in texts))
    a, b, c, d, e = texts
    assert encoder.batches == [[a, b], [c], [d], [e]]


async def test_more_tokens_than_may_wait_are_refused_at_once(make_bench: MakeBench) -> None:
    bench, encoder = make_bench(queue_tokens=30), GatedEncoder()
    encoder.gate.clear()
    tasks = [bench.ask("running", encoder)]
    await running(encoder)
    # One long text takes the place of many short ones.
    tasks.append(bench.ask("x" * 60, encoder))
    await settle()
    with pytest.raises(Overloaded):
        await bench.batcher.encode("y" * 60, encoder, LATER)
    tasks.append(bench.ask("short", encoder))
    await settle()
    encoder.gate.set()
    assert len(await asyncio.gather(*tasks)) == 3
    assert len(await bench.batcher.encode("y" * 60, encoder, LATER)) == DIM


async def slow_batch(bench: Bench, encoder: GatedEncoder, seconds: float) -> None:
    """Encode a text of 8 tokens, which takes so long on the batcher's clock."""
    encoder.gate.clear()
    task = bench.ask("s" * 18, encoder)
    await running(encoder)
    bench.clock.now += seconds
    encoder.gate.set()
    await task


async def test_a_text_that_would_wait_too_long_for_its_batch_is_refused_when_it_comes(
    make_bench: MakeBench,
) -> None:
    """8 tokens a second, as was seen: so 24 tokens ahead are three seconds."""
    bench, encoder = make_bench(wait_s=2.5), GatedEncoder()
    await slow_batch(bench, encoder, seconds=1.0)
    encoder.gate.clear()
    tasks = [bench.ask("r" * 18, encoder)]
    await running(encoder)
    for _ in range(2):
        assert not bench.batcher.is_full
        tasks.append(bench.ask("w" * 18, encoder))
        await settle()
    assert (bench.batcher.wait_s, bench.batcher.is_full) == (3.0, True)
    with pytest.raises(Overloaded):
        await bench.batcher.encode("n", encoder, LATER)
    encoder.gate.set()
    assert len(await asyncio.gather(*tasks)) == 3
    assert not bench.batcher.is_full


async def test_a_caller_with_less_time_than_the_queue_takes_is_refused_earlier(
    make_bench: MakeBench,
) -> None:
    bench, encoder = make_bench(wait_s=100.0), GatedEncoder()
    await slow_batch(bench, encoder, seconds=1.0)
    encoder.gate.clear()
    tasks = [bench.ask("r" * 18, encoder)]
    await running(encoder)
    tasks.append(bench.ask("w" * 18, encoder))
    await settle()
    with pytest.raises(Overloaded):
        await bench.batcher.encode("n", encoder, bench.clock() + 1.0)
    encoder.gate.set()
    await asyncio.gather(*tasks)


async def test_a_text_that_finds_nobody_waiting_is_never_refused_however_slow_the_model(
    make_bench: MakeBench,
) -> None:
    bench, encoder = make_bench(wait_s=0.001), GatedEncoder()
    await slow_batch(bench, encoder, seconds=60.0)
    assert len(await bench.batcher.encode("next", encoder, LATER)) == DIM


async def test_a_text_whose_caller_has_left_is_never_encoded(make_bench: MakeBench) -> None:
    bench, encoder = make_bench(queue_tokens=10), GatedEncoder()
    encoder.gate.clear()
    first = bench.ask("first", encoder)
    await running(encoder)
    leaver = bench.ask("leaver", encoder)
    await settle()
    leaver.cancel()
    await settle()
    assert (bench.batcher.waiting, bench.dropped("left")) == (0, 1)
    # Its place in the queue is free again.
    stayer = bench.ask("stayer", encoder)
    await settle()
    encoder.gate.set()
    await asyncio.gather(first, stayer)
    assert encoder.batches == [["first"], ["stayer"]]


async def test_a_text_whose_deadline_has_passed_is_never_encoded(make_bench: MakeBench) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    encoder.gate.clear()
    first = bench.ask("first", encoder)
    await running(encoder)
    late = bench.ask("late", encoder, deadline=1.0)
    patient = bench.ask("patient", encoder, deadline=3.0)
    await settle()
    bench.clock.now = 2.0
    encoder.gate.set()
    await asyncio.gather(first, patient)
    with pytest.raises(DeadlineExceeded):
        await late
    assert encoder.batches == [["first"], ["patient"]]
    assert (bench.dropped("expired"), bench.dropped("left")) == (1, 0)


async def test_a_deadline_that_passes_while_other_work_has_the_thread_counts_too(
    make_bench: MakeBench,
) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    ranking = threading.Event()
    other = asyncio.create_task(bench.compute.run(lambda: ranking.wait(10)))
    await settle()
    late = bench.ask("late", encoder, deadline=1.0)
    leaver = bench.ask("leaver", encoder)
    await settle()
    assert bench.batcher.waiting == 0
    bench.clock.now = 2.0
    leaver.cancel()
    ranking.set()
    assert await other
    with pytest.raises(DeadlineExceeded):
        await late
    assert encoder.batches == []
    assert (bench.dropped("expired"), bench.dropped("left")) == (1, 1)


async def test_a_caller_who_leaves_does_not_end_the_running_batch_of_others(
    make_bench: MakeBench,
) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    encoder.gate.clear()
    leaver, stayer = bench.ask("leaver", encoder), bench.ask("stayer", encoder)
    await running(encoder)
    leaver.cancel()
    await settle()
    encoder.gate.set()
    np.testing.assert_array_equal(await stayer, vector_of(encoder, "stayer"))
    assert encoder.batches == [["leaver", "stayer"]]
    assert bench.dropped("left") == 0


@pytest.mark.parametrize("poison", ["raises", "nan", "narrow"])
async def test_a_poisonous_text_fails_alone_and_the_next_is_served(
    make_bench: MakeBench, poison: str
) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    asked = [bench.ask(text, encoder) for text in ("a", poison, "b")]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(outcomes[1], EncodingFailed)
    for text, outcome in (("a", outcomes[0]), ("b", outcomes[2])):
        np.testing.assert_array_equal(np.asarray(outcome), vector_of(encoder, text))
    assert encoder.batches == [["a", poison, "b"], ["a"], [poison], ["b"]]
    assert len(await bench.batcher.encode("next", encoder, LATER)) == DIM
    assert bench.batcher.waiting == 0


async def test_texts_that_arrive_meanwhile_do_not_join_the_retries(make_bench: MakeBench) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    encoder.gate.clear()
    failing = [bench.ask(text, encoder) for text in ("a", "raises")]
    await running(encoder)
    late = [bench.ask(text, encoder) for text in ("c", "d")]
    await settle()
    encoder.gate.set()
    outcomes = await asyncio.gather(*failing, *late, return_exceptions=True)
    assert encoder.batches == [["a", "raises"], ["a"], ["raises"], ["c", "d"]]
    assert [isinstance(each, EncodingFailed) for each in outcomes] == [False, True, False, False]


async def test_a_model_that_always_fails_fails_everybody_and_keeps_nobody_waiting(
    make_bench: MakeBench,
) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    asked = [bench.ask("raises", encoder) for _ in range(3)]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(each, EncodingFailed) for each in outcomes)
    assert len(encoder.batches) == 4


async def test_texts_for_two_models_never_share_a_batch(make_bench: MakeBench) -> None:
    bench, old, new = make_bench(), GatedEncoder("old"), GatedEncoder("new")
    asked = [bench.ask(f"text {n}", (old, new)[n % 2]) for n in range(10)]
    vectors = await asyncio.gather(*asked)
    assert old.batches == [[f"text {n}" for n in range(0, 10, 2)]]
    assert new.batches == [[f"text {n}" for n in range(1, 10, 2)]]
    for n, vector in enumerate(vectors):
        np.testing.assert_array_equal(vector, vector_of((old, new)[n % 2], f"text {n}"))


async def test_a_pool_that_refuses_fails_the_batch_and_no_other(make_bench: MakeBench) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    held = threading.Event()
    works = [asyncio.create_task(bench.compute.run(lambda: held.wait(10))) for _ in range(65)]
    await settle()
    with pytest.raises(Overloaded):
        await bench.batcher.encode("refused", encoder, LATER)
    held.set()
    await asyncio.gather(*works)
    assert len(await bench.batcher.encode("next", encoder, LATER)) == DIM


async def test_closing_cancels_what_waits_and_awaits_what_runs(make_bench: MakeBench) -> None:
    bench, encoder = make_bench(), GatedEncoder()
    encoder.gate.clear()
    first = bench.ask("first", encoder)
    await running(encoder)
    second = bench.ask("second", encoder)
    await settle()
    closing = asyncio.create_task(bench.batcher.aclose())
    await settle()
    encoder.gate.set()
    await closing
    assert len(await first) == DIM
    assert second.cancelled() or (await asyncio.wait([second]))[0]
    assert encoder.batches == [["first"]]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 2), ("bread", 4), ("阳台上的小花园", 9), ("x" * 10_000, 64), ("\ud800", 3)],
)
def test_tokens_are_estimated_from_the_length_alone(text: str, tokens: int) -> None:
    assert estimate_tokens(text, 64) == tokens
