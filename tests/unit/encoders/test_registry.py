from pathlib import Path

import pytest

from service.encoders.registry import FileRecord, Registry
from service.errors import InvalidSettings, ModelNotFound

_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_SHA = "ab" * 32
_HEAD = 'schema_version = 1\ndefault = "m"\nfallback = "m"\n'
_RECORD = f"""
[models.m]
hub_id = "owner/m"
revision = "{_COMMIT}"
licence = "MIT"
publisher = "somebody"
languages = ["en"]
architecture = "BERT"
pooling = "cls"
dim = 8
max_tokens = 16
"""


def _load(tmp_path: Path, text: str) -> Registry:
    path = tmp_path / "registry.toml"
    path.write_text(text, encoding="utf-8")
    return Registry.load(path)


def test_a_record_without_hashes_is_trusted_on_first_use(tmp_path: Path) -> None:
    record = _load(tmp_path, _HEAD + _RECORD).get("m")
    assert record.files == {}
    assert record.package is None
    assert not record.stand_in


def test_pinned_files_carry_hash_and_size(tmp_path: Path) -> None:
    files = f'[models.m.files]\n"1_Pooling/config.json" = {{ sha256 = "{_SHA}", size_bytes = 5 }}\n'
    record = _load(tmp_path, _HEAD + _RECORD + files).get("m")
    assert record.files == {"1_Pooling/config.json": FileRecord(_SHA, 5)}


def test_an_unknown_model_names_the_known_ones(tmp_path: Path) -> None:
    registry = _load(tmp_path, _HEAD + _RECORD)
    with pytest.raises(ModelNotFound, match="It knows: m"):
        registry.get("nonesuch")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("dim = 8", "dim = 8\nlayers = 4"), "models.m.layers"),
        (("dim = 8", 'dim = "8"'), "models.m.dim"),
        (("dim = 8", "dim = 0"), "models.m.dim"),
        ((_COMMIT, _COMMIT[:7]), "full commit"),
        ((_COMMIT, "main"), "full commit"),
        (("cls", "max"), "models.m.pooling"),
        (("owner/m", "https://example.org/m"), "models.m.hub_id"),
        (('licence = "MIT"\n', ""), "models.m.licence"),
        (('["en"]', "[]"), "models.m.languages"),
        (("[models.m]", '[models."../m"]'), "models"),
        (('default = "m"', 'default = "n"'), "default names 'n'"),
        (("schema_version = 1", "schema_version = 2"), "schema_version"),
        (("dim = 8", "dim = 8\ndims = [4, 6]"), "end in dim"),
        (("dim = 8", "dim = 8\ndims = [8, 4]"), "end in dim"),
        (("dim = 8", 'dim = 8\npadding = "both"'), "models.m.padding"),
        (("dim = 8", 'dim = 8\nweights = ["ckpt"]'), "models.m.weights"),
        (("dim = 8", 'dim = 8\nmodelscope = { id = "../m" }'), "models.m.modelscope"),
        (("dim = 8", 'dim = 8\nevidence = "D"'), "models.m.evidence"),
    ],
)
def test_a_wrong_record_is_refused_and_named(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    text = _HEAD + _RECORD
    assert change[0] in text
    with pytest.raises(InvalidSettings, match=complaint):
        _load(tmp_path, text.replace(*change))


@pytest.mark.parametrize(
    "line",
    [
        '"config.json" = { sha256 = "abc" }',
        f'"config.json" = {{ sha256 = "{_SHA.upper()}" }}',
        f'"config.json" = {{ sha256 = "{_SHA}", size_bytes = 0 }}',
        f'"../config.json" = {{ sha256 = "{_SHA}" }}',
        f'"/config.json" = {{ sha256 = "{_SHA}" }}',
    ],
)
def test_a_wrong_pin_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(InvalidSettings, match=r"models\.m\.files"):
        _load(tmp_path, f"{_HEAD}{_RECORD}[models.m.files]\n{line}\n")


def test_a_package_needs_pinned_weights(tmp_path: Path) -> None:
    record = _RECORD.replace(_COMMIT, "0.1.0") + 'package = "some-package"\n'
    with pytest.raises(InvalidSettings, match="need their sha256"):
        _load(tmp_path, _HEAD + record)


@pytest.mark.parametrize("text", ["not [ toml", "\0"])
def test_what_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSettings, match="cannot read"):
        _load(tmp_path, text)


def test_a_missing_registry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot read"):
        Registry.load(tmp_path / "registry.toml")


def test_the_size_of_weights_is_pinned_or_follows_from_the_parameters(tmp_path: Path) -> None:
    assert _load(tmp_path, _HEAD + _RECORD).get("m").weights_bytes is None
    text = _HEAD + _RECORD + 'parameters = 10\ndtype = "F16"\n'
    assert _load(tmp_path, text).get("m").weights_bytes == 20
    files = f'[models.m.files]\n"model.safetensors" = {{ sha256 = "{_SHA}", size_bytes = 5 }}\n'
    assert _load(tmp_path, text + files).get("m").weights_bytes == 5


def test_the_registry_of_the_repository_knows_the_promised_models() -> None:
    root = Path(__file__).resolve().parents[3]
    records = Registry.load(root / "models" / "registry.toml").records
    bge = {
        f"bge-{size}-{tongue}-v1.5"
        for size in ("small", "base", "large")
        for tongue in ("en", "zh")
    }
    gte = {f"gte-{size}" for size in ("small", "base", "large")}
    others = {"bge-m3", "bce-embedding-base_v1", "text2vec-base-chinese", "all-minilm-l6-v2"}
    qwen = {"qwen3-embedding-0.6b", "qwen3-embedding-4b"}
    assert records.keys() == bge | gte | others | qwen
    assert all(records[name].padding == "left" and records[name].dims for name in qwen)
    # Nothing is claimed to be well known without hashes, or known at all without a place.
    for record in records.values():
        assert record.files or record.evidence != "A"
        assert record.sources or record.package or record.evidence == "C"


def test_the_registry_of_the_repository_is_valid() -> None:
    root = Path(__file__).resolve().parents[3]
    registry = Registry.load(root / "models" / "registry.toml")
    assert registry.default == "bge-small-en-v1.5"
    stand_in = registry.get(registry.fallback)
    assert stand_in.stand_in
    assert stand_in.note == "stand-in, not a Chinese model"
    assert "model.safetensors" in registry.get(registry.default).files
