"""The bill of materials of a model: CycloneDX 1.6, one component a model, one part a file.

The CycloneDX library writes all but the model card, which it does not know yet; the card is put
in as the schema describes it, and the whole is validated against that schema.
"""

import json
import warnings
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from service import __version__
from service.errors import ModelError
from service.pipelines.lock_sections import Conversion, Interface, OriginClaims
from service.pipelines.model_lock import LockedFile, ModelLock
from service.pipelines.safetensors_header import Json


def write_sbom(lock: ModelLock, *, now: datetime) -> bytes:
    """Make the bill of materials of a locked model.

    Args:
        lock: of the model, as fresh as `magpie model lock` makes it.
        now: the time that goes into the document, with a time zone.

    Returns:
        CycloneDX 1.6 as JSON, validated against its schema.

    Raises:
        ModelError: the document is not valid; a bug of ours.
    """
    bom = Bom(
        # The same lock at the same time gives the same document.
        serial_number=uuid5(NAMESPACE_URL, f"urn:sha256:{lock.digest}:{now.isoformat()}"),
        metadata=BomMetaData(
            timestamp=now,
            component=_model(lock),
            tools=ToolRepository(
                components=[
                    Component(type=ComponentType.APPLICATION, name="magpie", version=__version__)
                ]
            ),
        ),
        components=[_export(lock, each) for each in lock.provenance.conversions],
    )
    assert bom.metadata.component is not None
    for export in bom.components:
        bom.register_dependency(export, [bom.metadata.component])
    with warnings.catch_warnings():
        # The library would have the model depend on something; it is what others depend on.
        warnings.simplefilter("ignore")
        document = json.loads(JsonV1Dot6(bom).output_as_string())
    document["metadata"]["component"]["modelCard"] = _model_card(lock)
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        reason = str(fault.data).partition("\n")[0]
        raise ModelError(f"the bill of materials is not valid CycloneDX: {reason}.")
    return text.encode()


def _model(lock: ModelLock) -> Component:
    origin = lock.provenance.origin
    publisher = origin.publisher if isinstance(origin, OriginClaims) else lock.hub_id.split("/")[0]
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=lock.hub_id,
        version=lock.revision,
        bom_ref=f"model:{lock.id}@{lock.revision}",
        supplier=OrganizationalEntity(name=publisher),
        licenses=[DisjunctiveLicense(id=lock.licence)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=lock.digest)],
        components=[_file(lock, file) for file in lock.files],
        properties=[
            Property(name="magpie:lock:digest", value=lock.digest),
            Property(name="magpie:lock:source", value=lock.source),
            Property(name="magpie:lock:retrieved_at", value=lock.retrieved_at),
        ],
    )


def _file(lock: ModelLock, file: LockedFile) -> Component:
    return Component(
        type=ComponentType.FILE,
        name=file.path,
        bom_ref=f"file:{lock.id}/{file.path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file.sha256)],
        properties=[
            Property(name="magpie:role", value=file.role),
            Property(name="magpie:media_type", value=file.media_type),
            Property(name="magpie:size_bytes", value=str(file.size_bytes)),
        ],
    )


def _export(lock: ModelLock, made: Conversion) -> Component:
    files = [
        Component(
            type=ComponentType.FILE,
            name=name,
            bom_ref=f"export:{made.digest[:12]}/{name}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
        )
        for name, sha256 in sorted(made.files.items())
    ]
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=f"{lock.id} (ONNX, {made.precision})",
        version=made.digest[:12],
        bom_ref=f"export:{made.digest}",
        licenses=[DisjunctiveLicense(id=lock.licence)],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=made.digest)],
        components=files,
        properties=[
            Property(name="magpie:upstream_digest", value=made.upstream_digest),
            Property(name="magpie:derived_from", value=made.derived_from or "upstream files"),
            Property(name="magpie:parity:min_cosine", value=repr(made.min_cosine)),
            Property(name="magpie:parity:texts", value=str(made.texts)),
        ],
    )


def _model_card(lock: ModelLock) -> Json:
    interface = lock.provenance.interface
    card: dict[str, Json] = {
        "modelParameters": {
            "task": "sentence embedding",
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "unit vector"}],
        }
    }
    if isinstance(interface, Interface):
        card["modelParameters"] = {
            "task": "sentence embedding",
            "architectureFamily": interface.architecture.split(",")[0].split(" ")[0],
            "modelArchitecture": interface.architecture,
            "inputs": [{"format": f"text, {interface.max_tokens} tokens at most"}],
            "outputs": [{"format": f"unit vector of {interface.dim} numbers"}],
        }
        card["properties"] = [
            {"name": "magpie:pooling", "value": interface.pooling},
            {"name": "magpie:query_instruction", "value": interface.query_instruction},
            {"name": "magpie:item_instruction", "value": interface.item_instruction},
        ]
    claim = lock.provenance.origin
    training = claim.training_data if isinstance(claim, OriginClaims) else "unknown"
    card["considerations"] = {
        "technicalLimitations": [f"training data: {training}", "red-team report: see the lock"]
    }
    return card
