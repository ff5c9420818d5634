"""Whether the threads that compute fit the cores there are."""

import os

from service.settings import Settings


def cores() -> int:
    """How many cores this process may use."""
    # Where the system knows no affinity, all of them.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def too_many_threads(settings: Settings, available: int) -> str | None:
    """Say what is wrong if computing threads would push each other off the cores; else None.

    A worker computes on its event loop and on `compute_threads` others, each of which encodes on
    `encoder_threads`. FAISS keeps to the thread that asks it.
    """
    each = settings.compute_threads * settings.encoder_threads
    wanted = settings.workers * each
    if wanted <= available:
        return None
    return (
        f"{settings.workers} workers of {settings.compute_threads} x {settings.encoder_threads} "
        f"threads are {wanted} for {available} cores: they will wait for each other. Lower "
        "MAGPIE_WORKERS, MAGPIE_COMPUTE_THREADS or MAGPIE_ENCODER_THREADS."
    )
