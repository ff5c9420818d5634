import numpy as np

from benchmarks.index_vectors import World


def test_same_seeds_give_the_same_texts_and_others_do_not() -> None:
    world = World.make(seed=1, dim=32)
    first = world.draw(200, seed=5)
    np.testing.assert_array_equal(first, World.make(seed=1, dim=32).draw(200, seed=5))
    assert not np.array_equal(first, world.draw(200, seed=6))


def test_texts_are_unit_vectors_that_share_something_and_crowd_on_few_axes() -> None:
    texts = World.make(seed=1, dim=384).draw(3000, seed=5)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, rtol=1e-5)
    assert 0.2 < np.linalg.norm(texts.mean(axis=0)) < 0.4
    spread = np.sort(texts.var(axis=0))[::-1]
    assert 12 < np.cumsum(spread).searchsorted(spread.sum() / 2) < 35
