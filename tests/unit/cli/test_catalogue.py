import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Magpie = Callable[..., Any]

FILMS = "movieId,title,genres\n1,Toy Story,A|B\n2,Jumanji,A|C\n3,Heat,B\n4,Sabrina,C|A\n"


@pytest.fixture
def films(tmp_path: Path) -> Path:
    path = tmp_path / "films.csv"
    path.write_text(FILMS, encoding="utf-8")
    return path


def test_check_proposes_a_command_that_builds(magpie: Magpie, films: Path, tmp_path: Path) -> None:
    checked = magpie("catalogue", "check", str(films))
    assert checked.code == 0, checked.err
    assert "4 items; 0 rows left out" in checked.out
    (line,) = (line for line in checked.out.splitlines() if line.startswith("Build it: "))
    words = line.removeprefix("Build it: magpie ").replace("NAME", "films").replace("'", "").split()
    assert magpie(*words).code == 0


def test_check_fails_where_a_build_would(magpie: Magpie, films: Path) -> None:
    films.write_text(FILMS + "4,Again,A\n")
    checked = magpie("catalogue", "check", str(films), "--id", "movieId")
    assert checked.code == 1
    assert "1 x duplicate id" in checked.out
    assert "line 6: duplicate id '4', first in line 5" in checked.out
    assert magpie("catalogue", "check", str(films), "--max-rejects", "0.5").code == 0


def test_check_prints_json(magpie: Magpie, films: Path) -> None:
    told = json.loads(magpie("catalogue", "check", str(films), "--json").out)
    assert told["rows"] == 4
    assert [column["name"] for column in told["columns"]] == ["movieId", "title", "genres"]


def test_build_reads_standard_input(
    magpie: Magpie, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(FILMS.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    ran = magpie("index", "build", "-", "--format", "csv", "--name", "films", "--id", "movieId",
                 "--text", "title")  # fmt: skip
    assert ran.code == 0, ran.err
    assert "4 texts encoded, 0 reused" in ran.out
    again = magpie("index", "build", str(films), "--name", "films", "--id", "movieId",
                   "--text", "title", "--seed", "1", "--json")  # fmt: skip
    assert json.loads(again.out)["embedded"]["reused"] == 4


def test_build_reads_a_database(magpie: Magpie, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database, database:
        database.execute("CREATE TABLE items (id INTEGER, text TEXT)")
        database.execute("INSERT INTO items VALUES (1, 'toy'), (2, 'heat')")
    (tmp_path / "query.sql").write_text("SELECT * FROM items ORDER BY id")
    ran = magpie("index", "build", "--name", "shop", "--sql", f"sqlite:///{tmp_path}/shop.db",
                 "--query", f"@{tmp_path}/query.sql")  # fmt: skip
    assert ran.code == 0, ran.err
    assert "2 items" in ran.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "No catalogue is named"),
        (("x.csv", "--query", "SELECT 1"), "--query goes with --sql"),
        (("--sql", "sqlite://"), "--sql needs --query"),
        (("-",), "--format"),
    ],
)
def test_sources_that_make_no_sense_are_refused(
    magpie: Magpie, options: tuple[str, ...], message: str
) -> None:
    ran = magpie("index", "build", "--name", "films", *options)
    assert ran.code == 1
    assert message in ran.err


def test_own_vectors_are_indexed_under_the_name_of_their_model(
    magpie: Magpie, films: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "v.npy", np.eye(4, 6, dtype=np.float32))
    (tmp_path / "ids.txt").write_text("1\n2\n3\n4\n")
    columns = ("--name", "films", "--id", "movieId", "--text", "title")
    own = ("--vectors", str(tmp_path / "v.npy"), "--vector-ids", str(tmp_path / "ids.txt"))
    ran = magpie("index", "build", str(films), *columns, *own)
    assert "--vector-model" in ran.err
    ran = magpie("index", "build", str(films), *columns, *own, "--vector-model", "two-tower")
    assert ran.code == 0, ran.err
    assert "external@two-tower" in ran.out
    lonely = magpie("index", "build", str(films), *columns, "--unit-vectors")
    assert "go with --vectors" in lonely.err
