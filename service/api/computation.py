"""How answers are computed, one or many together: encode → recommend → render."""

import asyncio
import time
from collections.abc import Hashable, Sequence

import numpy as np

from service.api.caller import Caller
from service.api.lifespan import Services
from service.api.question import Task
from service.api.render import render
from service.cache.keys import cache_key
from service.cache.tiers import Made
from service.encoders.no_encoder import NoEncoder
from service.errors import InvalidInput, MagpieError
from service.index.live import Serving
from service.index.shelf import Shelf
from service.recommend.engine import recommend_all
from service.types import Recommendations, Vector


async def compute(
    task: Task,
    serving: Serving,
    services: Services,
    caller: Caller,
    timings: dict[str, float],
) -> Made:
    """Compute an answer, as the cache keeps it; `timings` gets its stages in milliseconds."""
    made = (await compute_all([task], serving, services, caller, timings))[0]
    if isinstance(made, MagpieError):
        raise made
    return made


def is_quick(task: Task, services: Services) -> bool:
    """Whether a task is done sooner than handed over to a thread."""
    return task.query.text is None and services.compute.is_short(task.kind)


def compute_here(
    task: Task, serving: Serving, services: Services, timings: dict[str, float]
) -> Made:
    """Do the same for a task that `is_quick`, without a turn of the event loop."""
    query, shelf = task.query, serving.shelf
    found = services.compute.run_here(task.kind, lambda: recommend_all([query], shelf, [None]))[0]
    if isinstance(found, InvalidInput):
        raise found
    return _made(task, found, services, shelf, timings)


async def compute_all(
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
            answers.append(_made(task, each, services, serving.shelf, timings))
        else:
            assert isinstance(each, MagpieError)
            answers.append(each)
    return answers


def _made(
    task: Task,
    found: Recommendations,
    services: Services,
    shelf: Shelf,
    timings: dict[str, float],
) -> Made:
    query, cursor = task.query, None
    timings.update(found.timings_ms)
    # A list that is shorter than asked is at its end.
    if len(found.rows) == query.k and query.among is None:
        cursor = services.cursors.write(task.canonical, shelf, query.shown, found.rows)
    # Nothing that was asked for exists: such answers are as many as there are wrong ids.
    is_negative = bool(query.like) and found.source == "fallback"
    return Made(render(query, found, shelf, cursor), is_negative)


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
    # One alone is of the kind that it is where it is computed at once.
    kind = ready[0][0].kind if len(ready) == 1 else _kind_of_many(ready)
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


def _kind_of_many(ready: Sequence[tuple[Task, Vector | None]]) -> Hashable:
    return (len(ready).bit_length(), *(task.kind for task, _ in ready[:1]))
