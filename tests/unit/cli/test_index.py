import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.index.change_log import ChangeLog
from service.index.changes import Delete
from service.settings import Settings
from service.types import ItemId

Magpie = Callable[..., Any]

FILMS = """movieId,title,genres
1,Toy Story,Adventure|Animation
2,Jumanji,Adventure|Fantasy
3,Heat,Crime|Thriller
4,Sabrina,Romance
"""


@pytest.fixture
def films(tmp_path: Path) -> Path:
    path = tmp_path / "films.csv"
    path.write_text(FILMS, encoding="utf-8")
    return path


def build(magpie: Magpie, films: Path, *more: str) -> Any:
    return magpie(
        "index", "build", str(films), "--name", "films", "--id", "movieId",
        "--text", "{title}. {genres}", "--split", "genres=|", *more,
    )  # fmt: skip


def test_a_catalogue_is_built_published_listed_verified_and_asked(
    magpie: Magpie, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(magpie, films)
    assert built.code == 0, built.err
    assert "4 items, 0 rows left out" in built.out
    assert "recall@10 1.000" in built.out
    assert "magpie index publish films" in built.out

    assert magpie("index", "publish", "films").code == 0
    listed = magpie("index", "list", "films")
    assert re.search(r"→.*films|→.*Flat", listed.out)
    assert "every one as it was built" in magpie("index", "verify", "films").out

    monkeypatch.setenv("MAGPIE_CATALOGUE", "films")
    asked = magpie("recommend", "1", "--local", "--where", "genres=Adventure", "-k", "1")
    assert asked.code == 0, asked.err
    assert "Jumanji" in asked.out


def test_rollback_without_an_earlier_version_says_what_to_do(magpie: Magpie, films: Path) -> None:
    assert build(magpie, films, "--publish").code == 0
    ran = magpie("index", "rollback", "films")
    assert ran.code == 1
    assert "nothing was served before" in ran.err
    assert "magpie index list films" in ran.err


def test_a_missing_column_is_told_with_the_columns_that_exist(magpie: Magpie, films: Path) -> None:
    ran = magpie("index", "build", str(films), "--name", "films", "--id", "id", "--text", "title")
    assert ran.code == 1
    assert "movieId" in ran.err
    assert "Traceback" not in ran.err


def test_too_many_bad_rows_fail_the_build_and_name_the_rejects_file(
    magpie: Magpie, films: Path, tmp_path: Path
) -> None:
    films.write_text(FILMS + "4,Sabrina again,Romance\n,No id,Drama\n", encoding="utf-8")
    ran = build(magpie, films)
    assert ran.code == 1
    assert "duplicate id" in ran.err
    assert (tmp_path / "indexes" / "films" / "REJECTS.jsonl").read_text().count("\n") == 2
    assert build(magpie, films, "--max-rejects", "0.5").code == 0


@pytest.mark.parametrize("split", ["genres", "=|", "genres="])
def test_a_separator_that_is_not_one_is_refused(magpie: Magpie, films: Path, split: str) -> None:
    ran = magpie("index", "build", str(films), "--name", "films", "--split", split)
    assert ran.code == 1
    assert "COLUMN=SEPARATOR" in ran.err


def test_a_name_that_would_leave_the_folder_is_refused(magpie: Magpie, films: Path) -> None:
    ran = magpie("index", "build", str(films), "--name", "../films", "--id", "movieId")
    assert ran.code == 1
    assert "cannot be the name of a catalogue" in ran.err


def test_an_unknown_catalogue_lists_nothing_and_says_how_to_begin(magpie: Magpie) -> None:
    assert "has no versions" in magpie("index", "list", "nothing").out


def test_asking_where_no_service_runs_says_how_to_start_one(magpie: Magpie) -> None:
    ran = magpie("recommend", "1", "--url", "http://127.0.0.1:1")
    assert ran.code == 1
    assert "magpie serve" in ran.err


def test_serving_what_is_not_published_says_what_to_do(magpie: Magpie) -> None:
    ran = magpie("serve", "films")
    assert ran.code == 1
    assert "magpie index publish films" in ran.err


def test_a_build_names_what_was_deleted_and_is_still_in_the_source(
    magpie: Magpie, films: Path
) -> None:
    assert build(magpie, films, "--publish").code == 0
    log = ChangeLog(Settings.from_environment().indexes_dir / "films")
    with log.writing():
        log.append([Delete(0, ItemId("2"))])
    built = build(magpie, films)
    assert "3 items, 0 rows left out" in built.out
    assert "1 of the source left out, deleted here before: '2'" in built.out
