"""What every route calls: cache → encode → recommend → render."""

import asyncio
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.api.caller import Caller
from service.api.lifespan import Services
from service.api.question import Question, Task, answer_key, read_question
from service.api.render import compose, render
from service.cache.keys import cache_key
from service.cache.tiers import Made
from service.encoders.no_encoder import NoEncoder
from service.errors import InvalidInput, MagpieError
from service.index.live import Serving
from service.index.shelf import Shelf
from service.recommend.engine import recommend_all
from service.types import Query, Recommendations, Vector


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of an answer and where its time went."""

    body: bytes | None
    """None where the caller has the very same already."""
    cache: str
    """Which tier had it: `local`, `redis`, `negative`, `miss`, or the `client` itself."""
    key: bytes
    """What the cache knows it by."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)

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

    async def refresh() -> Made:
        async with Caller.nobody(services.settings.request_timeout_s) as nobody:
            return await _make(task, serving, services, nobody, {})

    async with caller:
        cached = await services.cache.get_or_compute(
            key,
            lambda: _make(task, serving, services, caller, timings),
            refresh=refresh,
            kind=_kind(task.query),
        )
    body, degraded = compose(cached.value, caller.request_id.encode("ascii"), cached.degraded)
    total_ms = (time.perf_counter() - started) * 1e3
    if not is_ours:
        if question.cursor is None:
            # A cursor goes on in its own version only.
            services.popular.note(task.canonical, task.query, key)
        _count(services, cached.tier, degraded, timings)
    return Answer(body, cached.tier, key, {"total": total_ms, **timings})


async def _make(
    task: Task,
    serving: Serving,
    services: Services,
    caller: Caller,
    timings: dict[str, float],
) -> Made:
    """Compute an answer, as the cache keeps it; `timings` gets its stages in milliseconds."""
    made = (await _make_all([task], serving, services, caller, timings))[0]
    if isinstance(made, MagpieError):
        raise made
    return made


def _kind(query: Query) -> Hashable:
    """What decides how long an answer takes, roughly: queries of a kind cost about the same."""
    seeds = len(query.like) + len(query.dislike)
    return (
        query.text is not None,
        seeds.bit_length(),
        query.k.bit_length(),
        query.diversity > 0,
        bool(query.filter),
        bool(query.limit_per),
        len(query.boost) + (query.promoted is not None),
        query.strategy,
        len(query.among or ()).bit_length(),
        len(query.shown).bit_length(),
        query.explain + query.in_words,
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
    async with caller:
        found = await _make_all(list(tasks.values()), serving, services, caller, timings)
    for place, each in zip(tasks, found, strict=True):
        answers[place] = each if isinstance(each, MagpieError) else each.value
    for stage, spent_ms in timings.items():
        services.metrics.stages.labels(stage).observe(spent_ms / 1e3)
    return answers, {"total": (time.perf_counter() - started) * 1e3, **timings}


async def _make_all(
    tasks: Sequence[Task],
    serving: Serving,
    services: Services,
    caller: Caller,
    timings: dict[str, float],
) -> list[Made | MagpieError]:
    """Encode all texts together, retrieve for all together, and render each."""
    vectors = await _text_vectors(tasks, serving, services, caller, timings)
    ready = [
        (task, vector)
        for task, vector in zip(tasks, vectors, strict=True)
        if not isinstance(vector, MagpieError)
    ]
    found = iter(await _recommend(ready, serving, services, caller))
    answers: list[Made | MagpieError] = []
    for task, vector in zip(tasks, vectors, strict=True):
        each = vector if isinstance(vector, MagpieError) else next(found)
        if isinstance(each, Recommendations):
            timings.update(each.timings_ms)
            # Nothing that was asked for exists: such answers are as many as there are wrong ids.
            is_negative = bool(task.query.like) and each.source == "fallback"
            answers.append(Made(_rendered(task, each, services, serving.shelf), is_negative))
        else:
            assert isinstance(each, MagpieError)
            answers.append(each)
    return answers


def _rendered(task: Task, found: Recommendations, services: Services, shelf: Shelf) -> bytes:
    cursor = None
    query = task.query
    # A list that is shorter than asked is at its end.
    if len(found.items) == query.k and query.among is None:
        rows = [item.row for item in found.items]
        cursor = services.cursors.write(task.canonical, shelf, query.shown, rows)
    return render(query, found, shelf, cursor)


async def _text_vectors(
    tasks: Sequence[Task],
    serving: Serving,
    services: Services,
    caller: Caller,
    timings: dict[str, float],
) -> list[Vector | MagpieError | None]:
    texts = list(dict.fromkeys(task.query.text for task in tasks if task.query.text is not None))
    if not texts:
        return [None] * len(tasks)
    started = time.perf_counter()
    wanted = [_vector_or_error(text, serving, services, caller) for text in texts]
    found = [await wanted[0]] if len(wanted) == 1 else await asyncio.gather(*wanted)
    vectors = dict(zip(texts, found, strict=True))
    timings["encode"] = (time.perf_counter() - started) * 1e3
    return [None if task.query.text is None else vectors[task.query.text] for task in tasks]


async def _vector_or_error(
    text: str, serving: Serving, services: Services, caller: Caller
) -> Vector | InvalidInput:
    # Only what is the fault of one text is told to those who sent it; all else fails for all.
    try:
        return await _text_vector(text, serving, services, caller)
    except InvalidInput as error:
        return error


async def _text_vector(text: str, serving: Serving, services: Services, caller: Caller) -> Vector:
    if isinstance(serving.encoder, NoEncoder):
        # Refused here: the batcher would tell it as a failure of the model, and as ours.
        serving.encoder.encode_queries([text])

    async def encode() -> Made:
        caller.watch()
        vector = await services.batcher.encode(text, serving.encoder, caller.deadline)
        return Made(vector.astype("<f4").tobytes())

    # A vector outlives the index version: it depends on the text and the model alone.
    key = cache_key(b"text", serving.encoder.identity.digest, text)
    cached = await services.cache.get_or_compute(key, encode, kind="text")
    return np.frombuffer(cached.value, dtype="<f4").astype(np.float32)


async def _recommend(
    ready: Sequence[tuple[Task, Vector | None]],
    serving: Serving,
    services: Services,
    caller: Caller,
) -> list[Recommendations | InvalidInput]:
    queries = [task.query for task, _ in ready]
    vectors = [vector for _, vector in ready]
    kind = (len(queries).bit_length(), *map(_kind, queries[:1]))
    # To refuse a text that is encoded already would waste what was dearest.
    is_paid = any(vector is not None for vector in vectors)
    turn = services.gate.admit(len(queries), caller.deadline, is_paid=is_paid)
    if turn is not None or not services.compute.is_short(kind):
        caller.watch()
    if turn is not None:
        await turn
    return await services.compute.run_by_cost(
        kind, lambda: recommend_all(queries, serving.shelf, vectors), caller.deadline
    )


def _count(
    services: Services, tier: str, degraded: tuple[str, ...], timings: Mapping[str, float]
) -> None:
    metrics = services.metrics
    metrics.cache.labels(tier).inc()
    waiting = services.gate.waiting + services.batcher.waiting
    metrics.queue_depth.set(services.compute.pending + services.encoding.pending + waiting)
    for reason in degraded:
        metrics.degraded.labels(reason).inc()
    for stage, spent_ms in timings.items():
        metrics.stages.labels(stage).observe(spent_ms / 1e3)
