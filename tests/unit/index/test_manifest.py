from collections.abc import Callable
from pathlib import Path

import jsonschema
import orjson
import pytest

from service.errors import CorruptArtifact
from service.index.manifest import Manifest, read_manifest

SCHEMA = Path(__file__).parents[3] / "indexes" / "manifest.schema.json"


@pytest.fixture
def content(write_version: Callable[..., str], indexes: Path) -> bytes:
    return (indexes / "pins" / write_version() / "manifest.json").read_bytes()


def test_manifest_survives_reading_and_writing(content: bytes) -> None:
    assert Manifest.from_json(content).to_json() == content


def test_manifest_says_what_a_version_is(content: bytes) -> None:
    manifest = Manifest.from_json(content)
    assert (manifest.catalogue, manifest.items, manifest.rejects, manifest.dim) == (
        "pins",
        30,
        3,
        8,
    )
    assert (manifest.metric, manifest.factory, manifest.recall_at_10) == (
        "inner_product",
        "Flat",
        1,
    )
    assert manifest.version.endswith(manifest.content_sha256[:4])
    assert str(manifest.model) == "bag-of-words@0000000"
    assert manifest.stand_in
    assert {"magpie", "python", "numpy", "faiss", "onnxruntime"} <= manifest.tools.keys()
    assert {"vectors.npy", "index.faiss", "items/items.jsonl"} <= manifest.files.keys()


def test_real_manifest_fits_the_published_schema(content: bytes) -> None:
    schema = orjson.loads(SCHEMA.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(orjson.loads(content))


def test_published_schema_names_every_field() -> None:
    published, own = orjson.loads(SCHEMA.read_bytes()), Manifest.model_json_schema()
    assert published["properties"].keys() == own["properties"].keys()
    optional = {"model_lock", "model_check", "contained_changes"}
    assert sorted(published["required"]) == sorted(own["properties"].keys() - optional)
    for part, named in (
        ("ef_search", "EfSearch"),
        ("recall", "Recall"),
        ("model", "ModelIdentity"),
    ):
        assert published["properties"][part]["properties"].keys() == (
            own["$defs"][named]["properties"].keys()
        )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_version", 2),
        ("catalogue", "Pins"),
        ("version", "2026-11-23T10-15-02Z-0000"),
        ("created_at", "2026-11-23T10:15:02+01:00"),
        ("items", "30"),
        ("items", 0),
        ("items", True),
        ("dim", 8.0),
        ("metric", "l2"),
        ("factory", "IVF16,Flat"),
        ("factory", "HNSW32,SQ8"),
        ("model", {"id": "x"}),
        ("stand_in", 1),
        ("recall", {"at_10": 1.5, "at_100": 1.0, "queries": 1}),
        ("files", {}),
        ("files", {"../evil": {"sha256": "0" * 64, "size_bytes": 1}}),
        ("extra", 1),
        ("rejects", 4),
    ],
)
def test_changed_field_is_refused(content: bytes, field: str, value: object) -> None:
    changed = {**orjson.loads(content), field: value}
    with pytest.raises(CorruptArtifact, match=r"manifest\.json"):
        Manifest.from_json(orjson.dumps(changed))


def test_missing_field_is_named(content: bytes) -> None:
    changed = orjson.loads(content)
    del changed["seed"]
    with pytest.raises(CorruptArtifact, match="seed: Field required"):
        Manifest.from_json(orjson.dumps(changed))


def test_every_flipped_bit_is_refused(content: bytes) -> None:
    for position in range(0, len(content), 3):
        changed = bytearray(content)
        changed[position] ^= 1 << (position % 8)
        with pytest.raises(CorruptArtifact):
            Manifest.from_json(bytes(changed))


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"items": NaN}'])
def test_other_bytes_are_refused(broken: bytes) -> None:
    with pytest.raises(CorruptArtifact, match=r"manifest\.json is not valid"):
        Manifest.from_json(broken)


def test_absent_or_huge_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        read_manifest(tmp_path)
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(CorruptArtifact, match="larger than"):
        read_manifest(tmp_path)
