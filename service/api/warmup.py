"""Real questions, asked before traffic comes: of a process that starts, and of a new version."""

import asyncio
import logging
import time
from collections.abc import Iterable
from itertools import islice

from service.api.answer import answer
from service.api.caller import Caller
from service.api.lifespan import Services
from service.api.question import Question
from service.errors import MagpieError
from service.index.live import Serving
from service.index.shelf import Shelf
from service.types import Query, Seed

_log = logging.getLogger(__name__)

# A text as long as people search with; the whole text of an item would be a rare thing to ask.
_SEARCH_WORDS = 5


async def warm_up(
    questions: Iterable[Query], serving: Serving, services: Services, *, limit_s: float
) -> int:
    """Answer questions from a version, into the caches and under its own keys.

    One after the other, with a turn of the event loop between them, so that requests go on.

    Args:
        questions: the most frequent first.
        serving: the version, which need not be the current one.
        services: what the lifespan opened.
        limit_s: stop after this time, whatever is left.

    Returns:
        How many were answered. One that fails is skipped: it may not fit the version.
    """
    answered = 0
    started = time.monotonic()
    for question in questions:
        left_s = limit_s - (time.monotonic() - started)
        if left_s <= 0:
            break
        try:
            caller = Caller.nobody(left_s, services.deadlines)
            await answer(Question(question), services, caller, serving=serving)
            answered += 1
        except MagpieError as error:
            _log.debug("a question could not be asked beforehand: %s", error.code)
        await asyncio.sleep(0)
    return answered


def questions_of(shelf: Shelf) -> Iterable[Query]:
    """Make up questions from the newest items, where nobody has asked any yet.

    Of each item: what is similar to it, with and without all that costs time, and a search with
    the first words of its text. They run through encoder, index, filters, ranking and rendering.
    """
    for row in shelf.newest_first.tolist():
        item = shelf.item(row)
        yield Query(like=(Seed(item.id),))
        yield Query(like=(Seed(item.id),), diversity=0.3, explain=True)
        yield Query(text=" ".join(item.text.split()[:_SEARCH_WORDS]) or item.id)


async def warm_start(services: Services) -> int:
    """Ask a process that starts some questions, so that its first caller is not the slowest.

    Call it before the process says that it is ready. Returns how many were answered.
    """
    count = services.settings.warm_start_queries
    serving = services.live.current
    questions = [
        question
        for question in islice(questions_of(serving.shelf), count)
        # Where vectors were brought along there is nothing to encode a text with.
        if question.text is None or not serving.encoder.identity.is_external
    ]
    return await warm_up(questions, serving, services, limit_s=services.settings.warm_limit_s)


async def warm_version(serving: Serving, services: Services) -> int:
    """Ask a version that is about to go live what is asked most at present.

    Returns how many were answered, within `warm_limit_s`.
    """
    questions = services.popular.most(services.settings.warm_queries)
    answered = await warm_up(questions, serving, services, limit_s=services.settings.warm_limit_s)
    services.popular.fade()
    return answered
