"""Vectors that were encoded before, by text: what a rebuild need not encode again.

One store for each catalogue, model and template, in segments that are only ever added; an
interrupted build loses the batch it was in. Whoever writes holds the build lock of the catalogue.

    indexes/<catalogue>/vectors/<model digest, 12 digits>-<template sha256, 12 digits>/
        store.json                    for people: which model and template
        000012-<sha256>.npy           a segment, see `vector_segment`
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b, sha256
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from service.artifacts import fsync_path, write_atomic
from service.errors import IndexFailure
from service.index.vector_segment import KEY, Keys, Segment
from service.types import ModelIdentity, Rows, Vectors

_log = logging.getLogger(__name__)

FOLDER = "vectors"
"""The stores of a catalogue, in its folder."""
SEGMENT_ROWS = 16_384
"""Vectors in a segment that was made of small ones: 25 MB at 384 numbers."""

_SMALL_ROWS = SEGMENT_ROWS // 2
_SMALL_SEGMENTS = 8


class TextKeys:
    """Turns texts into the keys of one store. Equal texts have equal keys."""

    def __init__(self, model: ModelIdentity, template_sha256: str) -> None:
        self._salt = sha256(f"{model.digest}\n{template_sha256}".encode()).digest()

    def key(self, text: str) -> tuple[int, int]:
        """Digest a text (BLAKE2b, keyed, 128 bits) into the two halves of a `KEY`."""
        digest = blake2b(text.encode(), digest_size=16, key=self._salt).digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")

    def keys(self, texts: Sequence[str]) -> Keys:
        """Digest several texts."""
        return np.array([self.key(text) for text in texts], dtype=KEY)


class VectorStore:
    """Finds vectors by the key of their text, and takes new ones; get one from `open`.

    Attributes:
        folder: where it lies.
        dim: numbers in a vector.
        dropped: files that were torn, damaged or foreign, and have been deleted.
    """

    def __init__(self, folder: Path, dim: int, segments: list[Segment], dropped: int) -> None:
        self.folder = folder
        self.dim = dim
        self.dropped = dropped
        self._segments = segments
        self._lookup = _Lookup.of(segments)

    @classmethod
    def open(
        cls, catalogue: Path, model: ModelIdentity, template_sha256: str, dim: int
    ) -> "VectorStore":
        """Open the store of a model and template, empty if there is none; reads every byte.

        Args:
            catalogue: folder of the catalogue, whose build lock the caller holds.
            model: which model makes the vectors.
            template_sha256: of the template that makes the texts.
            dim: numbers in a vector.

        Raises:
            IndexFailure: the disk refuses.
        """
        folder = store_folder(catalogue, model, template_sha256)
        with _disk_failures(folder):
            folder.mkdir(parents=True, exist_ok=True)
            described = {
                "schema_version": 1,
                "model": {"id": model.id, "revision": model.revision, "digest": model.digest},
                "template_sha256": template_sha256,
                "dim": dim,
            }
            write_atomic(
                folder / "store.json", orjson.dumps(described, option=orjson.OPT_INDENT_2) + b"\n"
            )
            segments, dropped = _open_segments(folder, dim)
        return cls(folder, dim, segments, dropped)

    def __len__(self) -> int:
        return sum(segment.rows for segment in self._segments)

    @property
    def size_bytes(self) -> int:
        """What the segments take on the disk."""
        return sum(segment.path.stat().st_size for segment in self._segments)

    def find(self, keys: Keys) -> Rows:
        """Return the position of each key in the store, -1 where it is not there."""
        return self._lookup.find(keys)

    def append(self, keys: Keys, vectors: Vectors) -> None:
        """Add vectors as a segment of their own, on the disk before this returns.

        They can be found after `refresh`.

        Args:
            keys: of their texts.
            vectors: float32 (len(keys), dim).

        Raises:
            IndexFailure: the disk refuses; what was stored before stays.
        """
        with _disk_failures(self.folder):
            self._segments.append(Segment.write(self.folder, self._next(), keys, vectors))

    def refresh(self) -> None:
        """Make everything that was appended findable.

        Raises:
            IndexFailure: the disk refuses.
        """
        with _disk_failures(self.folder):
            self._lookup = _Lookup.of(self._segments)

    def gather(self, positions: Rows) -> Vectors:
        """Read vectors; positions as `find` gave them, none of them -1.

        Returns:
            float32 (len(positions), dim).

        Raises:
            IndexFailure: a segment is gone, or a position is -1.
        """
        if positions.size and positions.min() < 0:
            raise IndexFailure(
                f"the vector store {self.folder.name} lacks a vector it should have."
            )
        vectors = np.empty((len(positions), self.dim), dtype=np.float32)
        owners = self._lookup.starts.searchsorted(positions, side="right") - 1
        for owner in np.unique(owners):
            lines = np.flatnonzero(owners == owner)
            rows = positions[lines] - self._lookup.starts[owner]
            with _disk_failures(self.folder):
                vectors[lines] = self._segments[int(owner)].vectors(rows)
        return vectors

    def compact(self) -> None:
        """Join small segments into larger ones, once there are several.

        Killed in between, some vectors are stored twice until the next time.
        """
        small = [segment for segment in self._segments if segment.rows < _SMALL_ROWS]
        if len(small) > _SMALL_SEGMENTS:
            with _disk_failures(self.folder):
                self._rewrite(small, keep=None)

    def keep_only(self, keys: Keys) -> int:
        """Delete all vectors but those of some keys; returns how many are gone.

        Raises:
            IndexFailure: the disk refuses; no vector that was to be kept is lost.
        """
        before = len(self)
        wanted = _Lookup.of_keys(keys)
        with _disk_failures(self.folder):
            touched = [
                segment
                for segment in self._segments
                if (wanted.find(segment.keys()) < 0).any() or segment.rows < _SMALL_ROWS
            ]
            self._rewrite(touched, keep=wanted)
        return before - len(self)

    def _rewrite(self, segments: list[Segment], keep: "_Lookup | None") -> None:
        """Write what is worth keeping of some segments anew, then delete them."""
        replaced = set(segments)
        kept = [segment for segment in self._segments if segment not in replaced]
        sequence, pending, waiting = self._next(), list[tuple[Keys, Vectors]](), 0
        for segment in segments:
            keys = segment.keys()
            rows = np.arange(len(keys)) if keep is None else np.flatnonzero(keep.find(keys) >= 0)
            pending.append((keys[rows], segment.vectors(rows)))
            waiting += len(rows)
            if waiting >= _SMALL_ROWS:
                kept.append(_write_joined(self.folder, sequence, pending))
                sequence, pending, waiting = sequence + 1, [], 0
        if waiting:
            kept.append(_write_joined(self.folder, sequence, pending))
        for segment in segments:
            segment.path.unlink()
        fsync_path(self.folder)
        self._segments = kept
        self.refresh()

    def _next(self) -> int:
        return max((segment.sequence for segment in self._segments), default=0) + 1


def store_folder(catalogue: Path, model: ModelIdentity, template_sha256: str) -> Path:
    """Name the folder of a store; it need not exist."""
    return catalogue / FOLDER / f"{model.digest[:12]}-{template_sha256[:12]}"


class _Lookup:
    """Keys in ascending order and the position that each has in the store."""

    __slots__ = ("_high", "_low", "_positions", "starts")

    def __init__(self, keys: Keys, starts: NDArray[np.int64]) -> None:
        order = np.argsort(keys["high"], kind="stable")
        self._high = keys["high"][order]
        self._low = keys["low"][order]
        self._positions = order.astype(np.int64)
        self.starts = starts

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> "_Lookup":
        sizes = [segment.rows for segment in segments]
        starts = np.cumsum([0, *sizes], dtype=np.int64)[:-1]
        parts = [segment.keys() for segment in segments]
        return cls(np.concatenate(parts) if parts else np.empty(0, KEY), starts)

    @classmethod
    def of_keys(cls, keys: Keys) -> "_Lookup":
        return cls(keys, np.zeros(1, np.int64))

    def find(self, keys: Keys) -> Rows:
        found = np.full(len(keys), -1, dtype=np.int64)
        if not len(self._high):
            return found
        places = self._high.searchsorted(keys["high"])
        last = len(self._high) - 1
        # Nearly always one round: more only where different texts share 64 bits of a digest.
        open_lines = np.arange(len(keys))
        while len(open_lines):
            at = np.minimum(places[open_lines], last)
            alike = (self._high[at] == keys["high"][open_lines]) & (places[open_lines] <= last)
            same = alike & (self._low[at] == keys["low"][open_lines])
            found[open_lines[same]] = self._positions[at[same]]
            open_lines = open_lines[alike & ~same]
            places[open_lines] += 1
        return found


def _open_segments(folder: Path, dim: int) -> tuple[list[Segment], int]:
    segments, dropped = list[Segment](), 0
    for path in sorted(folder.iterdir()):
        if path.name == "store.json":
            continue
        segment = Segment.open(path, dim) if path.is_file() and not path.is_symlink() else None
        if segment is not None:
            segments.append(segment)
            continue
        # What a crash left under a temporary name was never counted on.
        if not path.name.startswith("."):
            dropped += 1
            _log.warning("%s is damaged; its texts are encoded again", path)
        path.unlink()
    return segments, dropped


@contextmanager
def _disk_failures(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IndexFailure(
            f"the vector store {folder.name} cannot be used: {error.strerror or error}.",
            "See whether the disk is full or read-only; what was stored before is not lost.",
        ) from error


def _write_joined(folder: Path, sequence: int, parts: list[tuple[Keys, Vectors]]) -> Segment:
    keys = np.concatenate([keys for keys, _ in parts])
    # After a crash some texts may be there twice; the first is as good as the second.
    _, rows = np.unique(keys, return_index=True)
    rows = np.sort(rows)
    vectors = np.concatenate([vectors for _, vectors in parts])
    return Segment.write(folder, sequence, keys[rows], vectors[rows])
