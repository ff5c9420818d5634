"""Computing threads of all workers together fit the cores, or whoever starts them is told."""

from pathlib import Path

import pytest

from service.server.cores import cores, too_many_threads
from service.settings import Settings


def test_as_it_comes_it_fits_one_core() -> None:
    assert cores() >= 1
    assert too_many_threads(Settings(indexes_dir=Path()), 1) is None


@pytest.mark.parametrize(
    ("workers", "compute", "encoder", "fits"),
    [(2, 1, 1, True), (4, 1, 1, True), (5, 1, 1, False), (2, 2, 1, True), (2, 2, 2, False)],
)
def test_all_threads_that_compute_are_counted(
    workers: int, compute: int, encoder: int, fits: bool
) -> None:
    """G49: workers x compute threads x threads of an encoding, for four cores."""
    settings = Settings(workers=workers, compute_threads=compute, encoder_threads=encoder)
    problem = too_many_threads(settings, 4)
    assert (problem is None) == fits
    if problem is not None:
        assert str(workers * compute * encoder) in problem
        assert "MAGPIE_WORKERS" in problem
