"""The three strategies on real histories of likes and dislikes, through the engine itself."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality_sets import Films, History
from service.index.shelf import Shelf
from service.index.snapshot import Provenance, open_snapshot, write_snapshot
from service.index.tuning import build_faiss
from service.recommend.engine import recommend
from service.types import Item, ItemId, ModelIdentity, Query, Seed, Strategy

STRATEGIES: Final[tuple[Strategy, ...]] = ("average_vector", "sum_scores", "best_score")
DEPTHS: Final = (1, 3, 10, 30)
_K = 10

Tried: TypeAlias = dict[tuple[str, int, bool], NDArray[np.float64]]
"""NDCG@10 of every person, by strategy, number of likes, and whether dislikes were given."""


def try_strategies(
    films: Films,
    folder: Path,
    ndcg: Callable[[NDArray[np.int64], Mapping[int, float]], float],
) -> Tried:
    """Ask with the last likes, and as many dislikes, of everybody for what they liked later.

    What somebody has rated is excluded, so that only later films can be found.
    """
    shelf = _shelf(films, folder)
    tried: Tried = {}
    for depth in DEPTHS:
        for has_dislikes in (False, True):
            for strategy in STRATEGIES:
                gained = []
                for history in films.histories:
                    query = _query(history, depth, has_dislikes, strategy)
                    found = recommend(query, shelf, None)
                    rows = np.array([each.row for each in found.items], np.int64)
                    gained.append(ndcg(rows, {int(row): 1.0 for row in history.later}))
                tried[strategy, depth, has_dislikes] = np.array(gained)
    return tried


def _query(history: History, depth: int, has_dislikes: bool, strategy: Strategy) -> Query:
    seen = np.concatenate([history.liked, history.disliked])
    return Query(
        like=_seeds(history.liked[-depth:]),
        dislike=_seeds(history.disliked[-depth:]) if has_dislikes else (),
        strategy=strategy,
        exclude=tuple(ItemId(str(row)) for row in seen.tolist()),
        k=_K,
    )


def _seeds(rows: NDArray[np.int64]) -> tuple[Seed, ...]:
    return tuple(Seed(ItemId(str(row))) for row in rows.tolist())


def _shelf(films: Films, folder: Path) -> Shelf:
    items = [Item(ItemId(str(row)), text) for row, text in enumerate(films.texts)]
    version = write_snapshot(
        folder,
        "films",
        items=items,
        vectors=films.vectors,
        built=build_faiss(films.vectors, seed=0),
        provenance=Provenance(
            model=ModelIdentity("stand-in", "0" * 40, "0" * 64),
            stand_in=True,
            template_pattern="{text}",
            template_sha256="0" * 64,
            source_name="movies.csv",
            source_sha256="0" * 64,
            rejects=0,
            seed=0,
            tools={},
        ),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return Shelf.of_snapshot(open_snapshot(folder / "films" / version))
