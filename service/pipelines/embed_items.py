"""Vectors for a table of items: what is new is encoded, the rest comes out of the store."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from service.catalogue.table import ItemTable
from service.encoders.encoder import Encoder
from service.errors import EncodingFailed
from service.index.vector_segment import Keys
from service.index.vector_store import VectorStore
from service.index.vectors import VectorFile, check_vectors, refuse_useless
from service.pipelines.build_report import Embedded, Stages
from service.types import Item, Rows, Vectors

BATCH_TEXTS = 512
"""Texts encoded, and forced to the disk, at once: what a crash can cost."""

_GATHERED_ROWS = 8192


def embed_items(
    table: ItemTable,
    keys: Keys,
    encoder: Encoder,
    store: VectorStore,
    path: Path,
    stages: Stages,
    *,
    batch_texts: int = BATCH_TEXTS,
) -> Embedded:
    """Write the vectors of all items to a file.

    A text that several items share is encoded once. The batches are cut from the missing texts
    in the order of the table, so that a build which goes on after a crash encodes the same batches
    as one that never stopped: a model's rounding depends on what shares a batch.

    Args:
        table: the items.
        keys: of their texts, in the order of the table.
        encoder: encodes what the store lacks.
        store: of this encoder's model and dimension.
        path: where to write float32 (items, dim) as `.npy`.
        stages: told about `encode` and `gather`.
        batch_texts: texts to encode at once.

    Raises:
        EncodingFailed: a wrong shape, or vectors that are NaN, infinite or zero, with their ids.
        IndexFailure: the store cannot be written.
    """
    firsts = _first_rows(keys)
    missing = firsts[store.find(keys[firsts]) < 0]
    with stages.stage("encode", len(missing)) as report:
        for start in range(0, len(missing), batch_texts):
            rows = missing[start : start + batch_texts]
            store.append(keys[rows], _encode(table, rows, encoder))
            report(start + len(rows))
        store.refresh()
    with (
        stages.stage("gather", len(keys)) as report,
        VectorFile(path, len(keys), store.dim) as file,
    ):
        for start in range(0, len(keys), _GATHERED_ROWS):
            block = keys[start : start + _GATHERED_ROWS]
            file.write(store.gather(store.find(block)))
            report(start + len(block))
    return Embedded(
        distinct=len(firsts),
        encoded=len(missing),
        reused=len(firsts) - len(missing),
        dropped_segments=store.dropped,
    )


def _encode_batch(texts: Sequence[str], encoder: Encoder, first_id: str) -> Vectors:
    """Encode texts and check the shape of what comes back.

    Raises:
        EncodingFailed: not one vector of the model's dimension for each text.
    """
    vectors = encoder.encode_items(texts)
    if vectors.shape != (len(texts), encoder.dim):
        raise EncodingFailed(
            f"{encoder.identity} gave vectors of shape {vectors.shape} for {len(texts)} texts, "
            f"expected ({len(texts)}, {encoder.dim}); first id: {first_id!r}."
        )
    return vectors


def encode_all(items: Sequence[Item], encoder: Encoder, progress: Callable[[int], None]) -> Vectors:
    """Encode the texts of items that fit into memory, some hundred at a time, storing nothing.

    Returns:
        float32 (len(items), encoder.dim), C order, fit to be indexed.

    Raises:
        EncodingFailed: a wrong shape, or vectors that are NaN, infinite or zero, with their ids.
    """
    vectors = np.empty((len(items), encoder.dim), dtype=np.float32)
    for start in range(0, len(items), BATCH_TEXTS):
        texts = [item.text for item in items[start : start + BATCH_TEXTS]]
        vectors[start : start + len(texts)] = _encode_batch(texts, encoder, items[start].id)
        progress(start + len(texts))
    check_vectors(vectors, [item.id for item in items], encoder.dim)
    return vectors


def _encode(table: ItemTable, rows: Rows, encoder: Encoder) -> Vectors:
    texts = [table.text(int(row)) for row in rows]
    vectors = _encode_batch(texts, encoder, table.id(int(rows[0])))
    # Before it is stored: a useless vector would otherwise be reused for ever.
    refuse_useless(vectors, lambda line: table.id(int(rows[line])))
    return vectors


def _first_rows(keys: Keys) -> Rows:
    """Return the first row of every different key, ascending."""
    order = np.lexsort((keys["low"], keys["high"]))
    ordered = keys[order]
    is_new = np.ones(len(keys), dtype=np.bool_)
    is_new[1:] = (ordered["high"][1:] != ordered["high"][:-1]) | (
        ordered["low"][1:] != ordered["low"][:-1]
    )
    # The sort is stable, so the first of equal keys is the one in the lowest row.
    return np.sort(order[is_new]).astype(np.int64)
