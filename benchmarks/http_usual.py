"""The usual shape: pydantic in, pydantic out, a plain `def` endpoint, redis-py as it comes.

Written as tutorials write it, over the very index that Magpie serves, with attributes as a list of
dictionaries in memory. It validates less, counts nothing and has no limits.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import faiss
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, Field
from redis import Redis

from service.index.snapshot import Snapshot, open_snapshot

_TTL_S = 3600


class Condition(BaseModel):
    """Equal to a value."""

    key: str
    value: str


class Body(BaseModel):
    """What is asked."""

    like: list[str]
    k: int = Field(20, ge=1, le=500)
    must: list[Condition] = []


class FoundItem(BaseModel):
    """One item of the answer."""

    id: str
    score: float
    fields: dict[str, str | int | float | bool | list[str] | None]


class Answer(BaseModel):
    """What is answered."""

    items: list[FoundItem]


class Recommender:
    """The catalogue in lists and dictionaries, and its index."""

    def __init__(self, snapshot: Snapshot) -> None:
        items = [snapshot.table.item(row) for row in range(len(snapshot.table))]
        self.ids = [item.id for item in items]
        self.rows = {str(item.id): row for row, item in enumerate(items)}
        self.fields = [dict(item.attributes) for item in items]
        self.snapshot = snapshot

    def recommend(self, body: Body) -> Answer:
        """Search with the mean of the seeds."""
        rows = [self.rows[each] for each in body.like]
        vector = self.snapshot.vectors[rows].mean(axis=0)
        allowed = self._allowed({each.key: each.value for each in body.must})
        found, scores = self.snapshot.retriever.search(
            vector[np.newaxis], body.k + len(rows), allowed
        )
        items = [
            FoundItem(id=self.ids[row], score=score, fields=self.fields[row])
            for row, score in zip(found[0].tolist(), scores[0].tolist(), strict=True)
            if row >= 0 and row not in rows
        ]
        return Answer(items=items[: body.k])

    def _allowed(
        self, must: Mapping[str, str]
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
        if not must:
            return None
        allowed = np.ones(len(self.ids), np.bool_)
        for key, value in must.items():
            allowed &= self.snapshot.table.columns[key].holding([value])
        return allowed


def create() -> FastAPI:
    """Serve the version in USUAL_VERSION; with the Redis of USUAL_REDIS, or with a dictionary."""
    faiss.omp_set_num_threads(1)
    recommender = Recommender(open_snapshot(Path(os.environ["USUAL_VERSION"]), verify=False))
    url, is_cached = os.environ.get("USUAL_REDIS"), "USUAL_CACHE" in os.environ
    client = Redis.from_url(url) if url else None
    known: dict[str, Answer] = {}
    app = FastAPI()

    @app.post("/recommend", response_model=Answer)
    def recommend(body: Body) -> Answer:
        key = body.model_dump_json()
        if client is not None:
            cached = client.get(key)
            if isinstance(cached, bytes):
                return Answer.model_validate_json(cached)
        if is_cached and key in known:
            return known[key]
        answer = recommender.recommend(body)
        if client is not None:
            client.setex(key, _TTL_S, answer.model_dump_json())
        if is_cached:
            known[key] = answer
        return answer

    return app
