"""The type of index that a catalogue was tuned to, for rebuilds that do not tune again."""

from dataclasses import dataclass
from pathlib import Path

from service.errors import VersionNotFound
from service.index.built_index import USUAL
from service.index.index_builder import Plan
from service.index.layout import version_folder
from service.index.manifest import read_manifest
from service.index.publish import current_version


@dataclass(frozen=True, slots=True)
class ServedPlan:
    """What to build, and whether what it finds is scored again with the full vectors."""

    plan: Plan = USUAL
    rescored: bool = True


def served_plan(indexes: Path, catalogue: str) -> ServedPlan:
    """The plan of the served version; the usual one if none is served, or an exact index.

    Raises:
        CorruptArtifact: the manifest of the served version is damaged.
    """
    try:
        folder = version_folder(indexes, catalogue, current_version(indexes, catalogue))
    except VersionNotFound:
        return ServedPlan()
    manifest = read_manifest(folder)
    if manifest.ef_search is None:
        return ServedPlan()
    plan = Plan(manifest.factory, manifest.ef_construction)
    return ServedPlan(plan, manifest.ef_search.rescored)
