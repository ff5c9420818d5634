import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import ModelRejected
from service.pipelines.model_intake import admit, find_violations, is_allowed

Files = dict[str, bytes]
Place = Callable[[Files, Path], Path]
WriteSafetensors = Callable[[dict[str, object] | bytes, bytes], bytes]

_F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.fixture
def folder(plain_model: Files, place: Place, tmp_path: Path) -> Path:
    return place(plain_model, tmp_path / "model")


def _refused(folder: Path) -> dict[str, str]:
    return {violation.file: violation.reason for violation in find_violations(folder)}


def test_a_plain_model_is_admitted(folder: Path) -> None:
    admit(folder)


def test_a_licence_may_come_along(folder: Path) -> None:
    (folder / "LICENSE").write_text("Apache")
    (folder / "LICENSE.txt").write_text("Apache")
    admit(folder)


@pytest.mark.parametrize(
    "name",
    [
        "pytorch_model.bin",
        "model.pt",
        "weights.pkl",
        "model.ckpt",
        "model.h5",
        "model.joblib",
        "modeling_tiny.py",
        "kernel.so",
        "model.zip",
        "model.tar.gz",
        "vocab.txt.exe",
        "model-1-of-2.safetensors",
        "sentencepiece.bpe.model",
        ".gitattributes",
        "LICENSE.py",
    ],
)
def test_what_is_not_on_the_list_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"x")
    assert not is_allowed(name)
    with pytest.raises(ModelRejected, match=f"{name}: is not on the list"):
        admit(folder)


def test_a_foreign_folder_is_refused_whole(folder: Path) -> None:
    (folder / "openvino").mkdir()
    (folder / "openvino" / "model.bin").write_bytes(b"x")
    assert _refused(folder) == {"openvino": "is a folder that no model of ours has"}


def test_a_symbolic_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").rename(tmp_path / "elsewhere.json")
    (folder / "config.json").symlink_to(tmp_path / "elsewhere.json")
    assert _refused(folder)["config.json"] == "is a symbolic link"


def test_a_linked_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "1_Pooling").rename(tmp_path / "elsewhere")
    (folder / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    assert _refused(folder) == {"1_Pooling": "is a symbolic link"}


def test_a_hard_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").hardlink_to(folder / "model.safetensors")
    assert _refused(folder)["model.safetensors"] == "is a hard link"


def test_a_pipe_is_refused_and_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "vocab.txt")
    assert _refused(folder) == {"vocab.txt": "is not a regular file"}


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "modules.json", "model.safetensors"]
)
def test_a_missing_part_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert _refused(folder) == {name: "is missing"}


@pytest.mark.parametrize(
    "hook", ["auto_map", "_attn_implementation_internal", "custom_pipelines", "trust_remote_code"]
)
@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "1_Pooling/config.json"])
def test_a_code_hook_is_refused_at_any_depth(folder: Path, file: str, hook: str) -> None:
    (folder / file).write_text(json.dumps({"a": [{"b": {hook: "x.Y"}}]}))
    assert _refused(folder) == {file: f"has the code hook {hook!r}"}


def test_attention_code_from_a_hub_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"_attn_implementation": "owner/kernel"}')
    assert "foreign attention code" in _refused(folder)["config.json"]


@pytest.mark.parametrize(
    "module",
    [
        {"type": "modeling_tiny.Tiny"},
        {"type": "os.system"},
        {"type": "sentence_transformers.models.Dense"},
        {"type": "sentence_transformers.util.import_from_string"},
        {"type": ["sentence_transformers.models.Pooling"]},
        {"type": "sentence_transformers.models.Pooling", "path": "../elsewhere"},
        {"type": "sentence_transformers.models.Pooling", "path": "", "kwargs": {}},
    ],
)
def test_a_module_that_is_not_built_in_is_refused(folder: Path, module: dict[str, object]) -> None:
    (folder / "modules.json").write_text(json.dumps([{"idx": 0, "path": "", **module}]))
    assert "module" in _refused(folder)["modules.json"]


@pytest.mark.parametrize(
    "content", ["", "{", "[1, 2]", "[" * 100_000, "\ufeff{}", '{"a": {"auto_map": 1}, "a": 1}']
)
def test_configuration_that_is_no_object_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content, encoding="utf-8")
    assert "is not" in _refused(folder)["config.json"]


def test_an_oversized_text_file_is_refused_unread(folder: Path) -> None:
    with (folder / "tokenizer.json").open("wb") as file:
        file.truncate((32 << 20) + 1)
    assert _refused(folder) == {"tokenizer.json": "is larger than 32 MiB"}


@pytest.mark.parametrize(
    ("header", "payload", "reason"),
    [
        ({"a": _F32, "b": {**_F32, "data_offsets": [4, 12]}}, 12, "overlap"),
        ({"a": {**_F32, "data_offsets": [4, 12]}}, 12, "hole"),
        ({"a": _F32}, 4, "holds 4 bytes"),
        ({"a": _F32}, 12, "holds 12 bytes"),
        ({"a": {**_F32, "dtype": "OBJECT"}}, 8, "wrongly"),
        ({"a": {**_F32, "shape": [3]}}, 8, "wrongly"),
        ({"a": {**_F32, "shape": [-2]}}, 8, "wrongly"),
        ({"a": {**_F32, "shape": [True, 2]}}, 8, "wrongly"),
        ({"a": {**_F32, "data_offsets": [8, 0]}}, 8, "wrongly"),
        ({"a": {**_F32, "code": "x"}}, 8, "wrongly"),
        ({"a": 1}, 8, "wrongly"),
        (b"[]", 0, "not a JSON object"),
        (b"{", 0, "not JSON"),
        (b" " * ((1 << 20) + 1), 0, "are allowed"),
        ({f"t{i}": _F32 for i in range(10_001)}, 8, "names 10001 tensors"),
    ],
)
def test_malformed_weights_are_refused(
    folder: Path,
    write_safetensors: WriteSafetensors,
    header: dict[str, object] | bytes,
    payload: int,
    reason: str,
) -> None:
    (folder / "model.safetensors").write_bytes(write_safetensors(header, b"\0" * payload))
    assert reason in _refused(folder)["model.safetensors"]


@pytest.mark.parametrize("content", [b"", b"\x10", b"\x10\0\0\0\0\0\0\0{}", b"\xff" * 8])
def test_truncated_weights_are_refused(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert set(_refused(folder)) == {"model.safetensors"}


def test_metadata_in_the_weights_is_harmless(
    folder: Path, write_safetensors: WriteSafetensors
) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}, "a": _F32}
    (folder / "model.safetensors").write_bytes(write_safetensors(header, b"\0" * 8))
    admit(folder)


def test_every_violation_is_reported_at_once(folder: Path) -> None:
    (folder / "config.json").write_text('{"auto_map": {}}')
    (folder / "evil.py").write_text("")
    with pytest.raises(ModelRejected, match=r"2 file\(s\) refused: config\.json.*evil\.py"):
        admit(folder)
