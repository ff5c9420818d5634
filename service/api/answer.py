"""What every route calls: one answer from the cache, or computed; many computed together."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from service.api.caller import Caller
from service.api.computation import compute, compute_all, compute_here, is_quick
from service.api.lifespan import Services
from service.api.question import Question, Task, answer_key, read_question
from service.api.render import compose
from service.cache.tiers import Cached, Made
from service.errors import MagpieError
from service.index.live import Serving


class Answer(NamedTuple):
    """The bytes of an answer and where its time went."""

    body: bytes | None
    """None where the caller has the very same already."""
    cache: str
    """Which tier had it: `local`, `redis`, `negative`, `miss`, or the `client` itself."""
    key: bytes
    """What the cache knows it by."""
    timings_ms: Mapping[str, float]

    def server_timing(self) -> str:
        """The Server-Timing header: total first, then the stages."""
        stages = [f"{name};dur={spent:.3f}" for name, spent in self.timings_ms.items()]
        return ", ".join([*stages, f'cache;desc="{self.cache}"'])


async def answer(
    question: Question,
    services: Services,
    caller: Caller,
    held: Sequence[bytes] = (),
    serving: Serving | None = None,
) -> Answer:
    """Answer a question from the index version that is current now.

    Args:
        question: what is asked.
        services: what the lifespan opened.
        caller: who asks; its id goes into the body.
        held: keys of answers that the caller has kept.
        serving: another version than the current one, asked by ourselves before it goes live;
            then the answer is stored and not counted.

    Raises:
        InvalidFilter, InvalidQuery: the query does not fit the catalogue.
        InvalidCursor, CursorExpired: there is no going on from here.
        Overloaded: too much work is waiting.
        DeadlineExceeded: the caller waits no longer.
        RequestRefused: the caller has left while the query waited.
        EncodingFailed: the model gave no usable vector for the text.
    """
    started = time.perf_counter()
    # Taken once: every part of one answer comes from one version and one state of its changes,
    # whatever is published or put meanwhile.
    is_ours = serving is not None
    serving = serving or services.live.current
    timings: dict[str, float] = {}
    task = read_question(question, services.cursors, serving.shelf)
    key = answer_key(task, question.cursor, serving.shelf)
    if key in held:
        return Answer(None, "client", key, {"total": (time.perf_counter() - started) * 1e3})
    cached = await _from_cache(task, key, serving, services, caller, timings)
    body, degraded = compose(cached.value, caller.request_id.encode("ascii"), cached.degraded)
    total_ms = (time.perf_counter() - started) * 1e3
    if not is_ours:
        if question.cursor is None:
            # A cursor goes on in its own version only.
            services.popular.note(task.canonical, task.query, key)
        _count(services, cached.tier, degraded, timings)
    return Answer(body, cached.tier, key, {"total": total_ms, **timings})


async def _from_cache(
    task: Task,
    key: bytes,
    serving: Serving,
    services: Services,
    caller: Caller,
    timings: dict[str, float],
) -> Cached:
    cache, kind = services.cache, task.kind

    async def refresh() -> Made:
        with Caller.nobody(services.settings.request_timeout_s, services.deadlines) as nobody:
            return await compute(task, serving, services, nobody, {})

    cached = cache.find(key, refresh=refresh, kind=kind)
    if cached is None and is_quick(task, services) and not cache.has_to_wait(key, kind):
        # The gate keeps the deadline. Whether the caller has left is not watched: that takes as
        # long as the work.
        turn = services.gate.admit(1.0, caller.deadline)
        if turn is not None:
            await turn
            # Somebody else may have asked the same and gone first.
            cached = cache.find(key, kind=kind)
        cached = cached or cache.make(
            key, lambda: compute_here(task, serving, services, timings), kind=kind
        )
    if cached is not None:
        return cached
    with caller:
        return await cache.fill(
            key, lambda: compute(task, serving, services, caller, timings), kind=kind
        )


async def answer_together(
    questions: Sequence[Question], services: Services, caller: Caller
) -> tuple[list[bytes | MagpieError], Mapping[str, float]]:
    """Answer many questions from one version, with one retrieval; each its own body or error.

    The bodies are not cached, as such lists are rarely asked twice; vectors of texts are.

    Args:
        questions: what is asked.
        services, caller: as for `answer`.

    Returns:
        For each question the rendered bytes or its error, and the milliseconds by stage.

    Raises:
        Overloaded, DeadlineExceeded, RequestRefused: nothing could be answered.
    """
    started = time.perf_counter()
    serving = services.live.current
    timings: dict[str, float] = {}
    answers: list[bytes | MagpieError] = []
    tasks: dict[int, Task] = {}
    for place, question in enumerate(questions):
        answers.append(b"")
        try:
            tasks[place] = read_question(question, services.cursors, serving.shelf)
        except MagpieError as error:
            answers[place] = error
    with caller:
        found = await compute_all(list(tasks.values()), serving, services, caller, timings)
    for place, each in zip(tasks, found, strict=True):
        answers[place] = each if isinstance(each, MagpieError) else each.value
    for stage, spent_ms in timings.items():
        services.metrics.stages.labels(stage).observe(spent_ms / 1e3)
    return answers, {"total": (time.perf_counter() - started) * 1e3, **timings}


def _count(
    services: Services, tier: str, degraded: tuple[str, ...], timings: Mapping[str, float]
) -> None:
    metrics = services.metrics
    metrics.cache.labels(tier).inc()
    for reason in degraded:
        metrics.degraded.labels(reason).inc()
    for stage, spent_ms in timings.items():
        metrics.stages.labels(stage).observe(spent_ms / 1e3)
