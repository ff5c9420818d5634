from collections.abc import Callable

import pytest

from service.index.index_builder import Plan, build_stored
from service.index.manifest import EfSearch
from service.index.recall_queries import RecallQueries
from service.index.search_cost import search_cost_us
from service.types import Vectors

MakeVectors = Callable[..., Vectors]


@pytest.fixture
def queries(make_vectors: MakeVectors) -> RecallQueries:
    return RecallQueries.sample(make_vectors(3000, 64, clusters=30), seed=1)


@pytest.mark.parametrize("factory", ["IVF32,RaBitQfs", "IVF32,PQ32x4fs", "IVF32,SQ8"])
def test_every_list_that_is_looked_into_costs_the_same_again(
    queries: RecallQueries, factory: str
) -> None:
    stored = build_stored(queries.vectors, Plan(factory), seed=1)
    costs = [
        search_cost_us(stored, queries, EfSearch(at_10=lists, at_100=lists), 10)
        for lists in (1, 5, 9)
    ]
    assert costs[1] - costs[0] == pytest.approx(costs[2] - costs[1])
    assert costs[0] < costs[1]


def test_short_lists_cost_more_where_each_needs_tables_of_the_question(
    queries: RecallQueries,
) -> None:
    effort = EfSearch(at_10=16, at_100=16)
    with_tables, without = (
        search_cost_us(build_stored(queries.vectors, Plan(each), seed=1), queries, effort, 10)
        for each in ("IVF128,RaBitQfs", "IVF128,SQ8")
    )
    assert with_tables > without
