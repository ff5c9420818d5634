import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from service.encoders.encoder import Encoder
from service.errors import CorruptArtifact, ModelMismatch, ModelNotFound, VersionNotFound
from service.index.live import Live
from service.index.publish import publish, rollback
from service.types import ModelIdentity, Vectors

WriteVersion = Callable[..., str]


@dataclass(frozen=True)
class ConstantEncoder:
    """Encodes every text as the same unit vector."""

    identity: ModelIdentity
    dim: int = 8
    max_tokens: int = 16

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.full((len(texts), self.dim), self.dim**-0.5, dtype=np.float32)

    encode_items = encode_queries


@dataclass
class Models:
    """Opens encoders and remembers for which models."""

    opened: list[ModelIdentity] = field(default_factory=list)

    def open(self, identity: ModelIdentity) -> Encoder:
        self.opened.append(identity)
        return ConstantEncoder(identity)


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def live(write_version: WriteVersion, indexes: Path, now: datetime, models: Models) -> Live:
    publish(indexes, "pins", write_version(), now=now)
    return Live(indexes, "pins", models.open)


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_start_without_a_published_version_says_what_to_run(
    write_version: WriteVersion, indexes: Path, models: Models
) -> None:
    write_version()
    with pytest.raises(
        VersionNotFound, match=r"Run: magpie index build.*magpie index publish pins"
    ):
        Live(indexes, "pins", models.open)


def test_start_with_a_damaged_version_is_refused(
    write_version: WriteVersion, indexes: Path, now: datetime, models: Models
) -> None:
    version = write_version()
    publish(indexes, "pins", version, now=now)
    flip_a_bit(indexes / "pins" / version / "vectors.npy")
    with pytest.raises(CorruptArtifact, match=r"vectors\.npy"):
        Live(indexes, "pins", models.open)


def test_nothing_new_changes_nothing(live: Live) -> None:
    before = live.current
    assert not live.refresh()
    assert live.current is before


def test_published_version_replaces_the_served_one(
    live: Live, write_version: WriteVersion, indexes: Path, now: datetime, models: Models
) -> None:
    before = live.current
    version = write_version(items=50)
    assert not live.refresh()
    publish(indexes, "pins", version, now=now)
    assert live.refresh()
    assert live.current.snapshot.name == f"pins@{version}"
    assert len(live.current.snapshot.table) == 50
    # The old version goes on for requests that hold it, and one model is opened once.
    assert len(before.snapshot.table) == 30
    assert live.current.encoder is before.encoder
    assert len(models.opened) == 1


def test_rollback_is_followed(
    live: Live, write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    first = live.current.snapshot.version
    publish(indexes, "pins", write_version(), now=now)
    live.refresh()
    rollback(indexes, "pins", now=now)
    assert live.refresh()
    assert live.current.snapshot.version == first


def test_version_of_another_model_opens_its_encoder(
    live: Live,
    write_version: WriteVersion,
    indexes: Path,
    now: datetime,
    models: Models,
    model: ModelIdentity,
) -> None:
    other = replace(model, revision="1" * 40)
    publish(indexes, "pins", write_version(made_by=other), now=now)
    assert live.refresh()
    assert live.current.encoder.identity == live.current.snapshot.manifest.model == other
    assert models.opened == [model, other]


@pytest.mark.parametrize(
    "path", ["vectors.npy", "index.faiss", "items/items.jsonl", "manifest.json"]
)
def test_version_damaged_after_publication_is_refused_and_the_old_one_serves(
    live: Live, write_version: WriteVersion, indexes: Path, now: datetime, path: str
) -> None:
    before = live.current
    version = write_version()
    publish(indexes, "pins", version, now=now)
    flip_a_bit(indexes / "pins" / version / path)
    assert not live.refresh()
    assert live.current is before
    assert live.last_error is not None
    assert Path(path).name in live.last_error
    rows, _ = live.current.snapshot.retriever.search(before.snapshot.vectors[:1], 5)
    assert (rows >= 0).all()


def test_refused_version_is_tried_again_only_after_the_pointer_moves(
    live: Live, write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    bad = write_version()
    publish(indexes, "pins", bad, now=now)
    file = indexes / "pins" / bad / "vectors.npy"
    flip_a_bit(file)
    live.refresh()
    refusal = live.last_error
    # Mended, but nobody published it again.
    flip_a_bit(file)
    assert not live.refresh()
    assert live.last_error == refusal
    good = write_version()
    publish(indexes, "pins", good, now=now)
    assert live.refresh()
    assert live.last_error is None
    assert live.current.snapshot.version == good


def test_rollback_to_the_served_version_clears_the_refusal(
    live: Live, write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    bad = write_version()
    publish(indexes, "pins", bad, now=now)
    flip_a_bit(indexes / "pins" / bad / "index.faiss")
    live.refresh()
    rollback(indexes, "pins", now=now)
    before = live.current
    assert not live.refresh()
    assert live.current is before
    assert live.last_error is None


@pytest.mark.parametrize("content", [None, b"", b"latest"])
def test_lost_pointer_keeps_the_version_in_use(
    live: Live, indexes: Path, content: bytes | None
) -> None:
    before = live.current
    pointer = indexes / "pins" / "CURRENT"
    pointer.unlink()
    if content is not None:
        pointer.write_bytes(content)
    assert not live.refresh()
    assert live.current is before
    assert live.last_error


def test_encoder_of_another_model_is_refused_at_start(
    write_version: WriteVersion, indexes: Path, now: datetime, model: ModelIdentity
) -> None:
    publish(indexes, "pins", write_version(), now=now)
    other = replace(model, digest="f" * 64)
    with pytest.raises(ModelMismatch, match="was built with bag-of-words"):
        Live(indexes, "pins", lambda identity: ConstantEncoder(other))
    with pytest.raises(ModelMismatch, match="9 numbers"):
        Live(indexes, "pins", lambda identity: ConstantEncoder(identity, dim=9))


def test_version_whose_model_is_absent_is_refused(
    write_version: WriteVersion, indexes: Path, now: datetime, model: ModelIdentity
) -> None:
    def only_this_model(identity: ModelIdentity) -> Encoder:
        if identity != model:
            raise ModelNotFound(f"{identity} has not been exported.")
        return ConstantEncoder(identity)

    publish(indexes, "pins", write_version(), now=now)
    live = Live(indexes, "pins", only_this_model)
    before = live.current
    publish(indexes, "pins", write_version(made_by=replace(model, id="other")), now=now)
    assert not live.refresh()
    assert live.current is before
    assert "other@0000000" in (live.last_error or "")


def test_readers_see_whole_versions_during_swaps(
    live: Live, write_version: WriteVersion, indexes: Path, now: datetime
) -> None:
    sizes = {live.current.snapshot.version: 30}
    for items in (31, 32):
        sizes[write_version(items=items)] = items
    mixed: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            snapshot = live.current.snapshot
            rows, _ = snapshot.retriever.search(snapshot.vectors[:1], 40)
            found = int((rows >= 0).sum())
            if not len(snapshot.table) == found == sizes[snapshot.version]:
                mixed.append(snapshot.version)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    swaps = 0
    for version in 5 * list(sizes):
        publish(indexes, "pins", version, now=now)
        swaps += live.refresh()
    done.set()
    for reader in readers:
        reader.join()
    assert mixed == []
    assert swaps == 14
