"""Each link of the chain, broken once; every break is named by both of its ends."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from service.encoders.custody import check_custody
from service.encoders.exports import (
    GRAPH,
    TOKENIZER,
    ExportedFile,
    ExportManifest,
    Identity,
    Parity,
    export_digest,
    export_folder,
)
from service.errors import ModelMismatch

MakeExport = Callable[..., ExportManifest]

FILES = [{"path": "config.json", "sha256": "aa" * 32}]


@pytest.fixture
def lock_digest(tmp_path: Path) -> str:
    digest = hashlib.sha256(orjson.dumps([("config.json", "aa" * 32)])).hexdigest()
    (tmp_path / "m").mkdir()
    _write_lock(tmp_path, digest)
    return digest


def _write_lock(models: Path, digest: str) -> None:
    (models / "m" / "lock.json").write_text(json.dumps({"digest": digest, "files": FILES}))


@pytest.fixture
def export(tmp_path: Path, lock_digest: str) -> MakeExport:
    """Make an export of real files in its real place."""

    def make(graph: bytes = b"graph", **fields: object) -> ExportManifest:
        staging = tmp_path / "staging"
        staging.mkdir(exist_ok=True)
        (staging / GRAPH).write_bytes(graph)
        (staging / TOKENIZER).write_bytes(b"tokenizer")
        files = {name: ExportedFile.of(staging / name) for name in (GRAPH, TOKENIZER)}
        digest = export_digest(files, max_tokens=8, query_instruction="q", item_instruction="")
        manifest = ExportManifest(
            identity=Identity(id="m", revision="r", digest=digest),
            dim=4,
            max_tokens=8,
            pooling="cls",
            normalize=True,
            query_instruction="q",
            item_instruction="",
            stand_in=False,
            note="",
            licence="MIT",
            opset=17,
            parity=Parity(min_cosine=1.0, mean_cosine=1.0, texts=1),
            files=files,
            upstream_digest=lock_digest,
            created_at="2026-01-01",
            tools={},
        ).model_copy(update=fields)
        folder = export_folder(tmp_path, manifest.model)
        folder.parent.mkdir(exist_ok=True)
        staging.rename(folder)
        manifest.write(folder)
        return manifest

    return make


def _broken(left: str, right: str) -> str:
    return re.escape(f"the chain is broken between {left} and {right}")


def test_a_whole_chain_passes(export: MakeExport, lock_digest: str, tmp_path: Path) -> None:
    check_custody(tmp_path, export(), index_lock=lock_digest)
    check_custody(tmp_path, export(b"other"), index_lock=None)


def test_the_link_from_upstream_files_to_lock(
    export: MakeExport, lock_digest: str, tmp_path: Path
) -> None:
    text = json.dumps({"digest": lock_digest, "files": [{**FILES[0], "sha256": "bb" * 32}]})
    (tmp_path / "m" / "lock.json").write_text(text)
    with pytest.raises(ModelMismatch, match=_broken("the upstream files of m", "its lock")):
        check_custody(tmp_path, export(), index_lock=None)


def test_the_link_from_lock_to_graph(export: MakeExport, tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match=_broken("the lock of m", "its ONNX graph")):
        check_custody(tmp_path, export(upstream_digest="0" * 64), index_lock=None)


@pytest.mark.parametrize(
    "change",
    [{"max_tokens": 9}, {"query_instruction": ""}, {"item_instruction": "i"}],
    ids=["cut-off", "query instruction", "item instruction"],
)
def test_the_link_from_tokenizer_graph_and_settings_to_the_export(
    export: MakeExport, tmp_path: Path, change: dict[str, object]
) -> None:
    ends = _broken("tokenizer, graph and instructions of m", "its export")
    with pytest.raises(ModelMismatch, match=ends):
        check_custody(tmp_path, export(**change), index_lock=None)


@pytest.mark.parametrize("name", [GRAPH, TOKENIZER])
def test_the_link_from_a_file_to_the_export(export: MakeExport, tmp_path: Path, name: str) -> None:
    manifest = export()
    other = ExportedFile(sha256="cc" * 32, size_bytes=1)
    changed = manifest.model_copy(update={"files": {**manifest.files, name: other}})
    with pytest.raises(ModelMismatch, match="tokenizer, graph and instructions"):
        check_custody(tmp_path, changed, index_lock=None)


def test_the_link_from_float_graph_to_int8_graph(
    export: MakeExport, lock_digest: str, tmp_path: Path
) -> None:
    parent = export(b"float", upstream_digest="0" * 64)
    child = export(b"int8", precision="int8", derived_from=parent.identity.digest)
    ends = r"between the graph \w+ of m and the int8 graph made from it"
    with pytest.raises(ModelMismatch, match=ends):
        check_custody(tmp_path, child, index_lock=lock_digest)


def test_an_int8_graph_may_be_served_without_the_float_one(
    export: MakeExport, lock_digest: str, tmp_path: Path
) -> None:
    child = export(b"int8", precision="int8", derived_from="ee" * 32)
    check_custody(tmp_path, child, index_lock=lock_digest)


def test_the_link_from_graph_to_index(export: MakeExport, tmp_path: Path) -> None:
    ends = _broken("the ONNX graph of m", "the index")
    with pytest.raises(ModelMismatch, match=ends):
        check_custody(tmp_path, export(), index_lock="f" * 64)


def test_a_machine_with_the_export_alone_needs_no_lock(
    export: MakeExport, lock_digest: str, tmp_path: Path
) -> None:
    (tmp_path / "m" / "lock.json").unlink()
    check_custody(tmp_path, export(), index_lock=lock_digest)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": [1], "digest": ""}'])
def test_a_lock_that_cannot_be_read_shows_nothing(
    export: MakeExport, tmp_path: Path, text: str
) -> None:
    manifest = export()
    (tmp_path / "m" / "lock.json").write_text(text)
    with pytest.raises(ModelMismatch, match="cannot be read"):
        check_custody(tmp_path, manifest, index_lock=None)
