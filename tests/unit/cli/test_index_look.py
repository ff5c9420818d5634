"""`magpie index inspect` and `diff` as a person calls them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from service.index.layout import version_names

Magpie = Callable[..., Any]

KINDS = ("baking", "cycling", "wedding")


def write(path: Path, *, first: int = 0, count: int = 24, price: int = 1) -> Path:
    rows = [
        {
            "id": f"p{n}",
            "title": f"[bold]{KINDS[n % 3]}[/bold] \x1b[31m{n}",
            "kind": KINDS[n % 3],
            "price": price,
        }
        for n in range(first, first + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def things(tmp_path: Path, magpie: Magpie) -> Path:
    """A catalogue file of which one version is published; returns the file."""
    path = write(tmp_path / "things.jsonl")
    build(magpie, path, "--publish")
    return path


def build(magpie: Magpie, path: Path, *more: str) -> None:
    ran = magpie("index", "build", str(path), "--name", "things", "--text", "{title}", *more)
    assert ran.code == 0, ran.err


def versions(tmp_path: Path) -> list[str]:
    return version_names(tmp_path / "indexes" / "things")


def test_inspecting_shows_sizes_recall_duplicates_hubs_and_outliers(
    magpie: Magpie, things: Path
) -> None:
    ran = magpie("index", "inspect", "things")
    assert ran.code == 0, ran.err
    for words in (
        "24; 0 rows were left out",
        "vectors.npy",
        "Flat, exact",
        "1.0000 at 10",
        "all 24 items",
        "Same text: 0 items in 0 groups",
        "In most lists",
        "Farthest from their own neighbours",
    ):
        assert words in ran.out


def test_titles_are_shown_as_they_are_without_markup_and_escape_sequences(
    magpie: Magpie, things: Path
) -> None:
    ran = magpie("index", "inspect", "things", "--item", "p3")
    assert ran.code == 0, ran.err
    assert "[bold]baking[/bold] [31m3 (p3)" in ran.out
    assert "\x1b" not in ran.out


def test_everything_found_is_printed_as_json(magpie: Magpie, things: Path) -> None:
    found = json.loads(magpie("index", "inspect", "things", "--json").out)
    assert found["manifest"]["items"] == found["asked"] == 24
    assert found["figures"]["recall"] == 1.0
    assert found["size_bytes"] == sum(part["size_bytes"] for part in found["parts"])
    assert [each["likeness"] for each in found["repeated"]] == [
        "same text", "same words", "same vector",
    ]  # fmt: skip
    around = json.loads(
        magpie("index", "inspect", "things", "--item", "p3", "-k", "2", "--json").out
    )
    assert around["item"]["id"] == "p3"
    assert len(around["neighbours"]) == 2


def test_map_is_drawn_where_it_was_asked_for(magpie: Magpie, things: Path, tmp_path: Path) -> None:
    path = tmp_path / "map.svg"
    ran = magpie("index", "inspect", "things", "--item", "p3", "--map", str(path))
    assert ran.code == 0, ran.err
    assert "24 items, coloured by kind" in ran.err
    assert len(ElementTree.parse(path).findall(".//{*}circle[@class='point']")) == 24


def test_map_that_is_no_svg_is_refused_before_any_work(magpie: Magpie) -> None:
    ran = magpie("index", "inspect", "nothing", "--map", "map.png")
    assert ran.code == 1
    assert "map.png is no SVG file" in ran.err


def test_unknown_item_and_attribute_are_told(magpie: Magpie, things: Path) -> None:
    ran = magpie("index", "inspect", "things", "--item", "nobody")
    assert ran.code == 1
    assert "no item 'nobody'" in ran.err
    ran = magpie("index", "inspect", "things", "--map", "map.svg", "--colour-by", "hue")
    assert ran.code == 1
    assert "kind, price, title" in ran.err


def test_damaged_version_is_not_opened(magpie: Magpie, things: Path, tmp_path: Path) -> None:
    path = tmp_path / "indexes" / "things" / versions(tmp_path)[0] / "index.faiss"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    ran = magpie("index", "inspect", "things")
    assert ran.code == 1
    assert "index.faiss" in ran.err
    assert "Traceback" not in ran.err


def test_difference_of_the_served_and_the_newest_version(
    magpie: Magpie, things: Path, tmp_path: Path
) -> None:
    write(things, first=2, count=24, price=2)
    build(magpie, things)
    ran = magpie("index", "diff", "things")
    assert ran.code == 0, ran.err
    assert "24 → 24; 2 added, 2 removed, 0 with another text, 22 with other attributes" in ran.out
    assert "over 22 items of both" in ran.out
    assert "· new" in ran.out
    assert "\x1b" not in ran.out
    old, new = versions(tmp_path)
    found = json.loads(magpie("index", "diff", "things", old, new, "--json").out)
    assert (found["before"], found["after"]) == (f"things@{old}", f"things@{new}")
    assert found["items"]["keys"] == {"price": 22}
    assert sum(found["lists"]["shared"]) == 22
    assert 0 <= found["parity"]["overlap"] <= 1


def test_version_is_not_compared_with_itself(magpie: Magpie, things: Path) -> None:
    ran = magpie("index", "diff", "things")
    assert ran.code == 1
    assert "magpie index list things" in ran.err


def test_difference_of_nothing_says_how_to_begin(magpie: Magpie) -> None:
    ran = magpie("index", "diff", "nothing")
    assert ran.code == 1
    assert "magpie index build" in ran.err
