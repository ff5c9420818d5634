"""Everything about a catalogue before anything is built of it."""

from pathlib import Path

import orjson
import pytest

from service.catalogue.sources import local_source
from service.catalogue.text import TextTemplate
from service.errors import InvalidCatalogue
from service.pipelines.check_catalogue import CatalogueCheck, check_catalogue, describe


def check(folder: Path, **named: str) -> CatalogueCheck:
    text = TextTemplate(named["text"]) if "text" in named else None
    return check_catalogue(local_source([f"{folder}/*.jsonl"]), item_id=named.get("id"), text=text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows: list[object] = [
        {"sku": f"s{row}", "title": f"Film {row % 90}", "price": row / 2, "tags": ["a", "b"]}
        for row in range(100)
    ]
    rows[50] = {"sku": "s7", "title": "Film again"}
    rows[51] = {"sku": "s51", "price": 1}
    (tmp_path / "a.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    (tmp_path / "b.jsonl").write_bytes(b'{"sku":"s3","title":"X"}\n{broken\n')
    return tmp_path


def test_columns_are_proposed_and_their_consequences_shown(folder: Path) -> None:
    found = check(folder)
    assert found.proposal.id == "sku"
    assert found.proposal.text == TextTemplate("{title}")
    assert found.items is not None
    assert (found.items.count, found.items.rejects) == (98, 4)
    assert found.items.reasons == {"duplicate id": 2, "missing text": 1, "bad JSON": 1}
    assert [reject.where for reject in found.items.examples] == [
        "a.jsonl:51",
        "a.jsonl:52",
        "b.jsonl:1",
        "b.jsonl:2",
    ]
    assert found.items.repeated_texts == 10
    assert found.items.sample_text == "Film 0"


def test_named_columns_win_over_proposed_ones(folder: Path) -> None:
    found = check(folder, id="title", text="{sku}")
    assert (found.proposal.id, found.proposal.text) == ("title", TextTemplate("{sku}"))
    with pytest.raises(InvalidCatalogue, match="no column 'nothing'"):
        check(folder, id="nothing")


def test_without_a_usable_id_only_columns_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a":1}\n{"a":1}\n')
    found = check(tmp_path)
    assert found.items is None
    assert found.profile.rows == 2
    assert describe(found)["items"] is None


def test_description_is_json_with_every_figure(folder: Path) -> None:
    told = orjson.loads(orjson.dumps(describe(check(folder))))
    price = next(column for column in told["columns"] if column["name"] == "price")
    assert (price["min"], price["max"], price["kind"]) == (0, 49.5, "number")
    assert price["fill_rate"] == pytest.approx(99 / 101, abs=1e-4)
    assert told["proposal"] == {"id": "sku", "text": "{title}", "split": {}}
    assert told["items"]["rejects"] == 4
    assert told["items"]["examples"][0]["reason"].startswith("duplicate id 's7'")
