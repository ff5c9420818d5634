import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from service.encoders.registry import ModelRecord
from service.pipelines.lock_sections import Conversion
from service.pipelines.model_lock import ModelLock, measure
from service.pipelines.model_provenance import new_lock
from service.pipelines.model_sbom import write_sbom

Files = dict[str, bytes]
NOW = datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC)
MADE = Conversion(
    digest="ab" * 32,
    upstream_digest="cd" * 32,
    derived_from=None,
    precision="float32",
    opset=17,
    files={"model.onnx": "ef" * 32},
    tools={},
    min_cosine=0.99999,
    mean_cosine=1.0,
    texts=144,
    created_at=NOW.isoformat(),
)


@pytest.fixture
def lock(
    plain_model: Files,
    record_for: Callable[..., ModelRecord],
    place: Callable[[Files, Path], Path],
    tmp_path: Path,
) -> ModelLock:
    folder = tmp_path / "tiny"
    files = measure(place(plain_model, folder / "upstream"))
    record = record_for(plain_model)
    made = new_lock(record, files, folder=folder, source="hub", now=NOW, tools={})
    known = made.provenance.model_copy(update={"conversions": (MADE,)})
    return made.model_copy(update={"provenance": known})


def test_the_document_is_valid_cyclonedx(lock: ModelLock) -> None:
    text = write_sbom(lock, now=NOW).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_it_says_what_the_model_is_and_of_what_it_consists(lock: ModelLock) -> None:
    document = json.loads(write_sbom(lock, now=NOW))
    model = document["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "owner/tiny")
    assert model["licenses"] == [{"license": {"id": "MIT"}}]
    assert model["hashes"] == [{"alg": "SHA-256", "content": lock.digest}]
    assert {part["name"] for part in model["components"]} == {file.path for file in lock.files}
    assert model["modelCard"]["modelParameters"]["architectureFamily"] == "BERT"
    assert model["modelCard"]["considerations"]["technicalLimitations"][0].endswith("unknown")


def test_exports_are_components_that_depend_on_the_model(lock: ModelLock) -> None:
    document = json.loads(write_sbom(lock, now=NOW))
    (export,) = document["components"]
    assert export["hashes"][0]["content"] == MADE.digest
    needs = {each["ref"]: each.get("dependsOn", []) for each in document["dependencies"]}
    assert needs[export["bom-ref"]] == [document["metadata"]["component"]["bom-ref"]]


def test_the_same_lock_at_the_same_time_gives_the_same_document(lock: ModelLock) -> None:
    assert write_sbom(lock, now=NOW) == write_sbom(lock, now=NOW)


def test_a_lock_of_the_first_form_has_a_document_too(lock: ModelLock) -> None:
    bare = ModelLock(**lock.model_dump(exclude={"provenance", "seal"}))
    card = json.loads(write_sbom(bare, now=NOW))["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["task"] == "sentence embedding"
