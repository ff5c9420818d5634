"""The serving encoder: one ONNX graph, one tokenizer, no training stack."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from service.encoders.batching import length_sorted_batches
from service.encoders.exports import GRAPH, TOKENIZER, ExportManifest
from service.errors import CorruptArtifact, EncodingFailed
from service.types import ModelIdentity, Rows, Vectors

# Small batches stay in the cache of a core and pad little. Measured in int8 on one thread with
# texts of 33 tokens: 256 to 512 lie within 5 % of the best, 128 and 64 lose 14 and 35 %.
TOKEN_BUDGET = 384
_EMBEDDING = "embedding"
_UNIT_TOLERANCE = 1e-3
_QUIET = 3
# onnxruntime 1.32 fuses an addition into the norm after it, and takes eight times as long for
# the two as one after the other: 14 % of all the time of a plainly quantised graph.
_SLOWER_FUSIONS = ["SkipLayerNormFusion"]

# How to fill each input that a graph may have.
_INPUTS: Final[Mapping[str, Callable[[Encoding], Sequence[int]]]] = {
    "input_ids": attrgetter("ids"),
    "attention_mask": attrgetter("attention_mask"),
    "token_type_ids": attrgetter("type_ids"),
}
_ONLY: Final[Rows] = np.zeros(1, np.int64)

_Feeds = dict[str, NDArray[np.int64]]


class OnnxEncoder:
    """Encodes with an exported graph that pools and normalises by itself.

    Safe to call from several threads at once: a session and a tokenizer keep no state between
    calls. One call uses `threads` cores.
    """

    def __init__(
        self,
        manifest: ExportManifest,
        tokenizer: Tokenizer,
        session: ort.InferenceSession,
        *,
        threads: int = 1,
        token_budget: int = TOKEN_BUDGET,
    ) -> None:
        self._manifest = manifest
        self._tokenizer = tokenizer
        self._session = session
        self._inputs = frozenset(node.name for node in session.get_inputs())
        self._threads = threads
        self._token_budget = token_budget

    @classmethod
    def open(
        cls,
        export: Path,
        *,
        threads: int = 1,
        verify: bool = True,
        token_budget: int = TOKEN_BUDGET,
    ) -> "OnnxEncoder":
        """Open an export folder.

        Args:
            export: a folder with `model.onnx`, `tokenizer.json` and `export.json`.
            threads: cores that one call may use, each for batches of its own: a batch alone
                is too little work to share, and comes out the same on any number of threads.
            verify: compare every file with the manifest first.
            token_budget: tokens in one padded batch.

        Raises:
            ModelNotFound: the folder holds no export.
            CorruptArtifact: a file is not the one the manifest names, or cannot be loaded.
        """
        manifest = ExportManifest.read(export)
        if verify:
            manifest.verify(export)
        tokenizer = _open_tokenizer(export / TOKENIZER, manifest.max_tokens)
        session = _open_session(export / GRAPH)
        return cls(manifest, tokenizer, session, threads=threads, token_budget=token_budget)

    @property
    def identity(self) -> ModelIdentity:
        """Which model made the vectors."""
        return self._manifest.model

    @property
    def manifest(self) -> ExportManifest:
        """Everything the export says about itself."""
        return self._manifest

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self._manifest.dim

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read, special tokens included."""
        return self._manifest.max_tokens

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Encode search texts; returns float32 (len(texts), dim), unit rows, in order.

        Raises:
            EncodingFailed: the model gave something that is no unit vector.
        """
        return self._encode(texts, self._manifest.query_instruction)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        """Encode item texts; returns float32 (len(texts), dim), unit rows, in order.

        Raises:
            EncodingFailed: the model gave something that is no unit vector.
        """
        return self._encode(texts, self._manifest.item_instruction)

    def _encode(self, texts: Sequence[str], instruction: str) -> Vectors:
        vectors = np.empty((len(texts), self.dim), dtype=np.float32)
        if not texts:
            return vectors
        prompts = [instruction + text for text in texts]
        if len(prompts) == 1:
            return self._run(self._tokenizer.encode_batch_fast(prompts), _ONLY)
        if self._threads == 1:
            encodings = self._tokenizer.encode_batch_fast(prompts)
            for rows in self._batches(encodings):
                vectors[rows] = self._run([encodings[row] for row in rows], rows)
            return vectors
        # The tokenizer and the session let go of the interpreter's lock while they work.
        with ThreadPoolExecutor(self._threads) as pool:
            share = -(-len(prompts) // self._threads)
            parts = [prompts[at : at + share] for at in range(0, len(prompts), share)]
            encodings = [
                each for part in pool.map(self._tokenizer.encode_batch_fast, parts) for each in part
            ]
            # The longest first, so that no thread is left with one of them at the end.
            batches = list(self._batches(encodings))[::-1]
            runs = pool.map(lambda rows: self._run([encodings[row] for row in rows], rows), batches)
            for rows, found in zip(batches, runs, strict=True):
                vectors[rows] = found
        return vectors

    def _batches(self, encodings: Sequence[Encoding]) -> Iterator[Rows]:
        lengths = [len(encoding) for encoding in encodings]
        return length_sorted_batches(lengths, token_budget=self._token_budget)

    def _run(self, encodings: Sequence[Encoding], rows: Rows) -> Vectors:
        (vectors,) = self._session.run([_EMBEDDING], _padded(encodings, self._inputs))
        expected = (len(encodings), self.dim)
        if vectors.shape != expected or vectors.dtype != np.float32:
            raise EncodingFailed(
                f"{self.identity} gave {vectors.dtype} {vectors.shape}, not float32 {expected}."
            )
        norms = np.sqrt(np.vecdot(vectors, vectors))
        # A NaN or an infinity anywhere in a row makes its norm fail this comparison too.
        is_unit = np.abs(norms - 1.0) <= _UNIT_TOLERANCE
        if not is_unit.all():
            raise EncodingFailed(
                f"{self.identity} gave no unit vector for text {int(rows[~is_unit][0])} "
                "of the batch."
            )
        return np.asarray(vectors)


def _padded(encodings: Sequence[Encoding], inputs: Collection[str]) -> _Feeds:
    """Pad on the right with zeros: the mask hides them, whatever the padding token's id is."""
    shape = (len(encodings), max(map(len, encodings)))
    feeds = {name: np.zeros(shape, dtype=np.int64) for name in _INPUTS if name in inputs}
    for row, encoding in enumerate(encodings):
        length = len(encoding)
        for name, feed in feeds.items():
            feed[row, :length] = _INPUTS[name](encoding)
    return feeds


def _open_tokenizer(path: Path, max_tokens: int) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust side raises bare Exception
        raise CorruptArtifact(f"{path.name} cannot be loaded: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _open_session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _QUIET
    # A spinning pool burns idle cores for nothing a service needs (onnxruntime issue 19968).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena keeps the memory of the largest batch ever seen (onnxruntime issue 11627), which
    # the budget bounds here; without it a batch takes 2 to 7 % longer.
    options.enable_cpu_mem_arena = True
    try:
        return ort.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=_SLOWER_FUSIONS,
        )
    except Exception as error:  # the C++ side has one class per status, all Exceptions
        raise CorruptArtifact(f"{path.name} cannot be loaded: {error}") from error
