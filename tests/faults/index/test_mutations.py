"""Versions that somebody changed after they were built: none is accepted, nothing dies."""

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import faiss
import numpy as np
import pytest

from service.encoders.encoder import Encoder
from service.errors import CorruptArtifact, MagpieError
from service.index import canary
from service.index.built_index import measured
from service.index.index_builder import Plan, build_stored
from service.index.layout import building, catalogue_folder
from service.index.live import Live
from service.index.manifest import FileEntry, read_manifest
from service.index.publish import current_version, publish
from service.index.recall_queries import RecallQueries
from service.index.snapshot import Provenance, open_snapshot, write_snapshot
from service.index.verification import verify_folder
from service.types import Item, ItemId, ModelIdentity, Vectors

MUTANTS = 10_000
SAMPLE = 300
DIM = 16
ITEMS = 700
PLANS = {
    plan.factory: plan
    for plan in (
        Plan("Flat"),
        Plan("HNSW32,SQ8", 100),
        Plan("PCA8,HNSW16,SQ8", 100),
        Plan("IVF8,SQ8"),
        Plan("IVF8,PQ8x4fs"),
        Plan("IVF8,RaBitQfs"),
    )
}
"""One index of every type that we build."""
HOSTILE = {factory: 250 if factory in ("Flat", "HNSW32,SQ8") else 100 for factory in PLANS}
# A sparse file takes no space: 1 TiB would take an hour to hash.
HUGE = 1 << 40

Catalogue = Any
Count = Counter[str]
Mutate: TypeAlias = Callable[[Path, Path, random.Random], None]
"""Spoils the first folder; the second is another version of the same catalogue."""


def some_file(folder: Path, chance: random.Random) -> Path:
    return chance.choice(sorted(path for path in folder.rglob("*") if path.is_file()))


def flip_bits(folder: Path, other: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    content = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 1, 1, 2, 8, 64))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def flip_header(folder: Path, other: Path, chance: random.Random) -> None:
    """The first bytes are the ones that say type, dimension, metric, counts."""
    file = folder / chance.choice(("index.faiss", "vectors.npy", "items/ids.rows.npy"))
    content = bytearray(file.read_bytes())
    content[chance.randrange(min(64, len(content)))] ^= chance.randrange(1, 256)
    file.write_bytes(content)


def truncate(folder: Path, other: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    os.truncate(file, chance.choice((0, 1, chance.randrange(file.stat().st_size))))


def append(folder: Path, other: Path, chance: random.Random) -> None:
    with some_file(folder, chance).open("ab") as file:
        file.write(chance.choice((b"\0", b"\n", b" ", chance.randbytes(100))))


def swap_between_versions(folder: Path, other: Path, chance: random.Random) -> None:
    names = [
        path.relative_to(folder)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.read_bytes() != (other / path.relative_to(folder)).read_bytes()
    ]
    name = chance.choice(names)
    shutil.copyfile(other / name, folder / name)


def swap_within_version(folder: Path, other: Path, chance: random.Random) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    first, second = chance.sample(files, 2)
    if first.read_bytes() == second.read_bytes():
        second = folder / "manifest.json"
    first_bytes, second_bytes = first.read_bytes(), second.read_bytes()
    first.write_bytes(second_bytes)
    second.write_bytes(first_bytes)


def replay_manifest(folder: Path, other: Path, chance: random.Random) -> None:
    shutil.copyfile(other / "manifest.json", folder / "manifest.json")


def replay_everything(folder: Path, other: Path, chance: random.Random) -> None:
    """Another whole version under this one's name."""
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def missing(folder: Path, other: Path, chance: random.Random) -> None:
    some_file(folder, chance).unlink()


def extra(folder: Path, other: Path, chance: random.Random) -> None:
    name = chance.choice(("extra.bin", "items/more.npy", ".hidden", "index.faiss.bak", "a/b.py"))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(chance.randbytes(10))


def symbolic_link(folder: Path, other: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    target = folder.parent / f"{file.name}.elsewhere"
    shutil.move(file, target)
    file.symlink_to(target)


def hard_link(folder: Path, other: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    os.link(file, folder.parent / f"{file.name}.second-name")


def linked_folder(folder: Path, other: Path, chance: random.Random) -> None:
    target = folder.with_name("items-elsewhere")
    shutil.move(folder / "items", target)
    (folder / "items").symlink_to(target)


def special_file(folder: Path, other: Path, chance: random.Random) -> None:
    file = some_file(folder, chance)
    file.unlink()
    os.mkfifo(file)


def sparse_giant(folder: Path, other: Path, chance: random.Random) -> None:
    os.truncate(some_file(folder, chance), HUGE)


def edit_manifest(folder: Path, other: Path, chance: random.Random) -> None:
    """Another model, dimension, metric, type, count or hash, in JSON that is otherwise right."""
    file = folder / "manifest.json"
    text = file.read_text(encoding="utf-8")
    before, after = chance.choice(
        [
            ('"id": "toy"', '"id": "tom"'),
            ('"dim": 48', '"dim": 49'),
            ('"metric": "inner_product"', '"metric": "l2"'),
            ('"factory": "Flat"', '"factory": "HNSW32,SQ8"'),
            ('"factory": "Flat"', '"factory": "IVF4096,PQ48"'),
            ('"items": 12', '"items": 13'),
            ('"stand_in": true', '"stand_in": false'),
            ('"schema_version": 1', '"schema_version": 2'),
            ('"catalogue": "pins"', '"catalogue": "pans"'),
            ("vectors.npy", "../../CURRENT"),
            ("{\n", "{ \n"),
            ("{\n", '{\n  "seed": 0,\n'),
        ]
    )
    assert before in text, before
    file.write_text(text.replace(before, after, 1), encoding="utf-8")


MUTATIONS: list[Mutate] = [
    flip_bits, flip_bits, flip_header, truncate, append, swap_between_versions,
    swap_within_version, replay_manifest, replay_everything, missing, extra, symbolic_link,
    hard_link, linked_folder, special_file, sparse_giant, edit_manifest,
]  # fmt: skip


def test_no_mutated_version_is_accepted(
    template: Catalogue, tmp_path: Path, everything: bool, counts: Count
) -> None:
    good, other = template.folder / template.versions[3], template.folder / template.versions[0]
    chance = random.Random(11)
    slowest = 0.0
    for number in range(MUTANTS if everything else SAMPLE):
        mutate = MUTATIONS[number % len(MUTATIONS)]
        folder = tmp_path / str(number) / "pins" / good.name
        shutil.copytree(good, folder)
        mutate(folder, other, chance)
        started = time.perf_counter()
        with pytest.raises(CorruptArtifact) as refusal:
            open_snapshot(folder)
        slowest = max(slowest, time.perf_counter() - started)
        assert refusal.value.hint, mutate.__name__
        counts[f"mutant refused: {mutate.__name__.replace('_', ' ')}"] += 1
        shutil.rmtree(tmp_path / str(number))
    # A giant in a small file's place is refused by its size, unread.
    assert slowest < 5.0


@pytest.mark.parametrize("mutate", dict.fromkeys(MUTATIONS), ids=lambda mutate: mutate.__name__)
def test_mutated_version_is_neither_published_nor_served(
    mutate: Mutate, template: Catalogue, tmp_path: Path
) -> None:
    case = template.copy(tmp_path / "indexes")
    served = case.versions[2]
    live = Live(case.indexes, "pins", _no_other_encoder)
    mutate(case.folder / case.versions[3], case.folder / case.versions[0], random.Random(3))
    with pytest.raises(MagpieError):
        publish(case.indexes, "pins", case.versions[3], now=datetime(2026, 12, 1, tzinfo=UTC))
    assert current_version(case.indexes, "pins") == served
    # Past the publisher, by hand:
    (case.folder / "CURRENT").write_text(case.versions[3] + "\n", encoding="utf-8")
    assert not live.refresh()
    assert live.last_error
    assert live.current.snapshot.version == served


def _no_other_encoder(identity: ModelIdentity) -> Encoder:
    return ConstantEncoder(identity)


@dataclass(frozen=True)
class ConstantEncoder:
    """Says that it is of whatever model is asked for: the index is what is under test."""

    identity: ModelIdentity
    dim: int = 48
    max_tokens: int = 16

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.full((len(texts), self.dim), self.dim**-0.5, dtype=np.float32)

    encode_items = encode_queries


def reseal(folder: Path) -> None:
    """Write the manifest that somebody would write who may write here: every hash is right."""
    manifest = read_manifest(folder)
    files = {path: FileEntry.of(folder / path) for path in manifest.files}
    (folder / "manifest.json").write_bytes(manifest.model_copy(update={"files": files}).to_json())


def hostile_bytes(file: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    kind = chance.randrange(4)
    if kind == 0:
        for _ in range(chance.choice((1, 4, 32))):
            content[chance.randrange(len(content))] = chance.randrange(256)
    elif kind == 1:
        # Counts and sizes: 8 bytes that claim to be huge, negative or odd.
        at = chance.randrange(max(1, len(content) - 8))
        value = chance.choice((1 << 62, (1 << 64) - 1, 1 << 40, chance.getrandbits(64)))
        content[at : at + 8] = value.to_bytes(8, "little")
    elif kind == 2:
        del content[chance.randrange(len(content)) :]
    else:
        at = chance.randrange(len(content))
        content[at:at] = chance.randbytes(chance.randrange(1, 64))
    file.write_bytes(content)


@pytest.mark.parametrize("factory", PLANS)
def test_hostile_index_with_a_valid_hash_kills_at_most_the_canary(
    factory: str, tmp_path: Path, everything: bool, counts: Count
) -> None:
    good = write_index(tmp_path / "good", factory)
    chance = random.Random(5)
    for number in range(HOSTILE[factory] if everything else 2):
        folder = tmp_path / str(number) / "pins" / good.name
        shutil.copytree(good, folder)
        hostile_bytes(chance.choice(sorted(folder.glob("index.*"))), chance)
        reseal(folder)
        verify_folder(folder)
        try:
            canary.examine(folder)
            verdict = "opened and measured"
        except CorruptArtifact as refusal:
            verdict = "child died" if "process that opened" in refusal.message else "refused"
        counts[f"hostile {factory} with a valid hash: {verdict}"] += 1
        shutil.rmtree(tmp_path / str(number))


def test_index_type_that_we_do_not_build_is_not_even_given_to_faiss(
    tmp_path: Path, counts: Count
) -> None:
    """Types on the list of readers of FAISS, but not on ours, under a valid hash."""
    good = write_index(tmp_path / "good", "Flat")
    vectors = np.load(good / "vectors.npy")
    for factory in (
        "IVF1,Flat",
        "SQ8",
        "IDMap,Flat",
        "LSH",
        "PCA4,Flat",
        "HNSW8",
        "Flat,Refine(Flat)",
    ):
        index = faiss.index_factory(DIM, factory)
        index.train(vectors)
        index.add_with_ids(vectors, np.arange(ITEMS)) if "ID" in factory else index.add(vectors)
        faiss.write_index(index, str(good / "index.faiss"))
        reseal(good)
        with pytest.raises(CorruptArtifact, match="not a FAISS index of type Flat"):
            open_snapshot(good)
        counts["index types refused by their first bytes"] += 1


def write_index(indexes: Path, factory: str) -> Path:
    vectors = np.random.default_rng(1).standard_normal((ITEMS, DIM)).astype(np.float32)
    items = [Item(ItemId(f"pin-{row}"), f"Pin {row}", {"price": row}) for row in range(ITEMS)]
    plan = PLANS[factory]
    stored, queries = build_stored(vectors, plan, seed=7), RecallQueries.sample(vectors, 7)
    built = measured(stored, plan, queries, (0.9, 0.9), rescored=True)
    with building(catalogue_folder(indexes, "pins")):
        version = write_snapshot(
            indexes,
            "pins",
            items=items,
            vectors=vectors,
            built=built,
            provenance=Provenance(
                model=ModelIdentity("toy", "0" * 40, "0" * 64),
                stand_in=True,
                template_pattern="{title}",
                template_sha256="0" * 64,
                source_name="pins.jsonl",
                source_sha256="0" * 64,
                rejects=0,
                seed=7,
                tools={},
            ),
            created_at=datetime(2026, 11, 1, tzinfo=UTC),
        )
    return indexes / "pins" / version
