"""Vectors that a team brings along, instead of texts that we encode."""

from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.artifacts import sha256_bytes, sha256_file
from service.catalogue.ids import Places
from service.catalogue.rows import cut
from service.errors import InvalidCatalogue
from service.index.vectors import VectorFile
from service.pipelines.build_report import Embedded, Stages
from service.types import EXTERNAL, Item, ModelIdentity, Rows, Vectors

_BLOCK_ROWS = 8192


class ExternalVectors:
    """A matrix on disk, and which of its rows belongs to which item.

    Args:
        path: `.npy`, float32 or float16 (n, dim), C order.
        model: what made them, as people call it: `external@<model>` in answers and manifests.
            Versions with one name count as comparable; whoever changes the model changes the name.
        ids_path: the id of each row: text, one a line, or `.npy` of texts or whole numbers. Without
            it row i belongs to the i-th row of the catalogue.
        is_scaled: whether to scale every row to unit length; scores are then cosines.

    Raises:
        InvalidCatalogue: not such a matrix, or ids that do not fit it.
    """

    def __init__(
        self, path: Path, model: str, *, ids_path: Path | None = None, is_scaled: bool = False
    ) -> None:
        self._path = path
        self._matrix = _open_matrix(path)
        self._is_scaled = is_scaled
        self._rows = array("q")
        self._read = 0
        self._ids_path = ids_path
        self._places = None if ids_path is None else _places(ids_path, len(self._matrix))
        self.identity = ModelIdentity(
            EXTERNAL, model, sha256_bytes(f"{EXTERNAL}\n{model}\n{self.dim}".encode())
        )

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self._matrix.shape[1])

    @property
    def sha256(self) -> str:
        """Over the files and how they are read."""
        ids = sha256_file(self._ids_path) if self._ids_path else ""
        return sha256_bytes(f"{sha256_file(self._path)}\n{ids}\n{self._is_scaled}".encode())

    def refuse(self, item: Item) -> str:
        """Say that an item has no vector, if it has none."""
        if self._places is None or self._places.get(item.id) is not None:
            return ""
        return f"no vector for the id {cut(item.id)}"

    def take(self, item: Item, position: int) -> None:
        """Note the next item of the table; `position` is its place among all rows."""
        row = position if self._places is None else self._places.get(item.id)
        assert row is not None  # `refuse` has seen to it
        self._rows.append(row)

    def write(self, path: Path, rows_read: int, stages: Stages) -> Embedded:
        """Write the vectors of all items taken, in their order.

        Args:
            path: where to write float32 (items, dim) as `.npy`.
            rows_read: rows of the catalogue, rejected ones included.
            stages: told about `gather`.

        Raises:
            InvalidCatalogue: without ids, there are more or fewer vectors than rows.
        """
        if self._places is None and rows_read != len(self._matrix):
            raise InvalidCatalogue(
                f"{self._path.name} has {len(self._matrix):,} vectors, "
                f"the catalogue has {rows_read:,} rows.",
                "Bring one vector a row, or name the ids of the vectors: --vector-ids FILE",
            )
        rows = np.frombuffer(self._rows, dtype=np.int64)
        with (
            stages.stage("gather", len(rows)) as report,
            VectorFile(path, len(rows), self.dim) as file,
        ):
            done = 0
            for block in self._blocks(rows):
                file.write(block)
                done += len(block)
                report(done)
        return Embedded(unused=len(self._matrix) - len(np.unique(rows)))

    def _blocks(self, rows: Rows) -> Iterator[Vectors]:
        for start in range(0, len(rows), _BLOCK_ROWS):
            chosen = rows[start : start + _BLOCK_ROWS]
            block: Vectors = self._matrix[chosen].astype(np.float32)
            if self._is_scaled:
                # Rows that are zero or infinite stay useless, for the check that names their items.
                with np.errstate(over="ignore", invalid="ignore"):
                    lengths = np.linalg.norm(block, axis=1, keepdims=True)
                    block /= np.where(lengths > 0, lengths, 1)
            yield block


def _open_matrix(path: Path) -> NDArray[np.float32] | NDArray[np.float16]:
    try:
        matrix: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidCatalogue(f"{path} cannot be read as .npy: {error}.") from error
    shape = getattr(matrix, "shape", ())
    if len(shape) != 2 or 0 in shape or matrix.dtype not in (np.float32, np.float16):
        raise InvalidCatalogue(
            f"{path.name} is not a matrix of float32 or float16.",
            "Write one row an item: numpy.save(path, vectors.astype('float32'))",
        )
    return matrix


def _places(path: Path, vectors: int) -> Places:
    places = Places()
    for row, item_id in enumerate(_read_ids(path)):
        first = places.first(item_id, row)
        if first != row:
            raise InvalidCatalogue(
                f"{path.name} has the id {cut(item_id)} twice: rows {first + 1} and {row + 1}."
            )
    if len(places) != vectors:
        raise InvalidCatalogue(f"{path.name} has {len(places):,} ids for {vectors:,} vectors.")
    return places


def _read_ids(path: Path) -> Iterator[str]:
    try:
        if path.suffix == ".npy":
            ids = np.load(path, mmap_mode="r", allow_pickle=False)
            if ids.ndim != 1 or ids.dtype.kind not in "Uiu":
                raise InvalidCatalogue(f"{path.name} is not a list of texts or whole numbers.")
            yield from (str(each) for each in ids)
        else:
            with path.open(encoding="utf-8-sig") as file:
                yield from (line.rstrip("\r\n") for line in file)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidCatalogue(f"{path} cannot be read: {error}.") from error
