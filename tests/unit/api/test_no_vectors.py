"""G59: vectors stay inside. They can be turned back into texts, so no route hands them out."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from tests.conftest import TOY_DIM

FEW = 8
"""No list of numbers of an answer is as long; a vector has many times as many."""


def longest_list_of_numbers(node: Any) -> int:
    if isinstance(node, dict):
        return max(map(longest_list_of_numbers, node.values()), default=0)
    if isinstance(node, list):
        numbers = [each for each in node if isinstance(each, int | float)]
        return max(len(numbers), *map(longest_list_of_numbers, node), 0)
    return 0


def test_no_route_answers_with_a_vector(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    bodies = {
        "/recommend": document["components"]["schemas"]["RecommendRequest"]["examples"],
        "/recommend/batch": document["components"]["schemas"]["BatchRequest"]["examples"],
        "/rank": document["components"]["schemas"]["RankRequest"]["examples"],
    }
    asked = 0
    for path, methods in document["paths"].items():
        address = path.replace("{item_id}", "pin-17")
        queries = ("", "?explain=words", "?fields=vector,vectors,embedding,_vector")
        answers = []
        if "get" in methods:
            search = "&q=rye" if path == "/search" else ""
            answers = [client.get(f"{address}{query or '?'}{search}") for query in queries]
        for body in bodies.get(path, ()):
            fields = {"fields": ["vector", "embedding"]} if path != "/recommend/batch" else {}
            answers += [client.post(path, json=body), client.post(path, json={**body, **fields})]
        for answer in answers:
            asked += 1
            if answer.headers["content-type"] == "application/json":
                assert longest_list_of_numbers(answer.json()) < FEW < TOY_DIM, path
    assert asked > 20


def test_files_of_an_index_are_not_for_others(tmp_path: Path, toy_models: Path) -> None:
    source = tmp_path / "shop.jsonl"
    source.write_text('{"id": "a", "title": "rye bread"}\n{"id": "b", "title": "white bread"}\n')
    indexes = tmp_path / "indexes"
    command = "index build shop.jsonl --name shop --text title --model toy"
    environ = {"MAGPIE_MODELS_DIR": str(toy_models), "MAGPIE_INDEXES_DIR": str(indexes)}
    # Started where a careless shell would let everybody read what is written.
    subprocess.run(
        [sys.executable, "-m", "service", *command.split()],
        cwd=tmp_path,
        env={**os.environ, **environ},
        umask=0,
        check=True,
        capture_output=True,
    )
    files = [each for each in indexes.rglob("*") if each.is_file()]
    assert len(files) > 5
    assert [each.name for each in files if stat.S_IMODE(each.stat().st_mode) & 0o007] == []
