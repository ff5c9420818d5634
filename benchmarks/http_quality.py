"""Whether fast answers are right: recall of what a server returned against an exact search."""

from pathlib import Path

import numpy as np
import orjson

from benchmarks.http_cases import Bodies
from benchmarks.http_servers import Server
from service.index.snapshot import Snapshot, open_snapshot
from service.types import Mask

_ASKED = 300


def recall_of(server: Server, version: Path, bodies: Bodies) -> float:
    """The share of the true neighbours of single items, within the filter if any, that came back.

    Args:
        server: what to ask.
        version: folder of the version that it serves.
        bodies: questions with one item each, and at most one match as a filter.
    """
    snapshot = open_snapshot(version, verify=False)
    lines = bodies.path.read_bytes().splitlines()[-_ASKED:]
    found = [_recall(server, snapshot, line) for line in lines]
    return float(np.mean(found))


def _recall(server: Server, snapshot: Snapshot, body: bytes) -> float:
    query = orjson.loads(body)
    row = snapshot.table.row(query["like"][0])
    assert row is not None, "the bodies are of this catalogue"
    scores = snapshot.vectors @ snapshot.vectors[row]
    scores[~_allowed(snapshot, query)] = -np.inf
    scores[row] = -np.inf
    best = np.argpartition(-scores, query["k"])[: query["k"]]
    true = {snapshot.table.id(int(each)) for each in best}
    answer = orjson.loads(server.post("/recommend", body)[0])
    return len(true & {each["id"] for each in answer["items"]}) / len(true)


def _allowed(snapshot: Snapshot, query: dict[str, dict[str, list[dict[str, object]]]]) -> Mask:
    allowed = np.ones(len(snapshot.table), np.bool_)
    for condition in query.get("filter", {}).get("must", []):
        match = condition["match"]
        assert isinstance(match, dict)
        allowed &= snapshot.table.columns[str(condition["key"])].holding([match["value"]])
    return allowed
