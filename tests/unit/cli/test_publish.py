import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Magpie = Callable[..., Any]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    path = tmp_path / "films.csv"
    titles = ["garden", "kitchen", "balcony", "table", "bread", "flower", "lamp", "chair"]
    rows = [f"{n},{titles[n % 8]} {titles[n // 8 % 8]} {n}" for n in range(150)]
    path.write_text("\n".join(["id,title", *rows]) + "\n", encoding="utf-8")
    return path


def build(magpie: Magpie, films: Path) -> None:
    ran = magpie("index", "build", str(films), "--name", "films", "--text", "title")
    assert ran.code == 0, ran.err


def shorten(films: Path, lines: int) -> None:
    films.write_text(
        "".join(films.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]),
        encoding="utf-8",
    )


def test_publish_shows_every_gate(magpie: Magpie, films: Path) -> None:
    build(magpie, films)
    ran = magpie("index", "publish", "films")
    assert ran.code == 0, ran.err
    for name in ("hashes", "canary", "recall@10", "empty lists", "items", "hubs", "overlap@10"):
        assert name in ran.out
    assert "first publication" in ran.out


def test_refused_version_ends_with_4_and_names_the_gate(
    magpie: Magpie, films: Path, tmp_path: Path
) -> None:
    build(magpie, films)
    assert magpie("index", "publish", "films").code == 0
    shorten(films, 101)
    build(magpie, films)
    served = (tmp_path / "indexes" / "films" / "CURRENT").read_text(encoding="utf-8")

    refused = magpie("index", "publish", "films")
    assert refused.code == 4
    assert "failed" in refused.out
    assert "items 100, wanted 150" in refused.err
    assert "--force" in refused.err
    assert (tmp_path / "indexes" / "films" / "CURRENT").read_text(encoding="utf-8") == served

    forced = magpie("index", "publish", "films", "--force")
    assert forced.code == 0
    assert "in spite of the gates" in forced.out


def test_second_publisher_ends_with_3_and_says_why(
    magpie: Magpie, films: Path, tmp_path: Path
) -> None:
    build(magpie, films)
    with (tmp_path / "indexes" / "films" / ".publish.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = magpie("index", "publish", "films")
    assert ran.code == 3
    assert "another publisher of films is at work" in ran.err


def test_prune_lists_what_goes_and_with_yes_asks_nothing(
    magpie: Magpie, films: Path, tmp_path: Path
) -> None:
    for lines in (151, 150, 149, 148):
        shorten(films, lines)
        build(magpie, films)
        assert magpie("index", "publish", "films").code == 0
    versions = sorted(path.name for path in (tmp_path / "indexes" / "films").glob("20*"))
    ran = magpie("index", "prune", "films", "--keep", "1", "--yes")
    assert ran.code == 0, ran.err
    assert all(version in ran.out for version in versions[:2])
    assert "Deleted 2 versions" in ran.out
    assert "Nothing to delete" in magpie("index", "prune", "films", "--keep", "1").out
