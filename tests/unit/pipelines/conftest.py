"""A small hub on this machine, spoken to by the real client, and small real models for it."""

import hashlib
import json
import struct
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from service.encoders.registry import FileRecord, ModelRecord
from service.index.layout import building, catalogue_folder
from service.index.snapshot import Provenance, Snapshot, open_snapshot, write_snapshot
from service.index.tuning import build_faiss
from service.pipelines.parity_texts import PARITY_TEXTS
from service.types import Item, ModelIdentity, Vectors

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LFS_BYTES = 1 << 14
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@dataclass
class LocalHub:
    """What the server holds, how it lies, and what it was asked.

    `files` are listed and served, those in `lost` only listed; `announced` replaces sizes in
    the listing; `status` answers every request with that and `page`; `sha` is the commit that
    the listing claims to be; `breaks_off` keeps back the last byte of every large file, and
    `breaks_once_at` everything behind that byte, the first time; `sends` replaces the content of
    a file without a word about it in the listing; `leads_to` is where large files are said to
    lie; `asked_from` are the first bytes that were asked for.
    """

    url: str = ""
    repo: str = "owner/tiny"
    sha: str = COMMIT
    status: int = 0
    page: bytes = b""
    breaks_off: bool = False
    breaks_once_at: int = 0
    leads_to: str = ""
    redirects_all: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    announced: dict[str, int] = field(default_factory=dict)
    sends: dict[str, bytes] = field(default_factory=dict)
    asked_from: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def listing(self) -> bytes:
        siblings = [self._sibling(name, content) for name, content in self.files.items()]
        listing = {"id": self.repo, "modelId": self.repo, "sha": self.sha, "siblings": siblings}
        return json.dumps(listing).encode()

    def scope_listing(self) -> bytes:
        """The same files in the words of ModelScope."""
        files = [
            {
                "Path": name,
                "Type": "blob",
                "Size": self.announced.get(name, len(content)),
                "Sha256": hashlib.sha256(content).hexdigest(),
            }
            for name, content in self.files.items()
        ]
        folder = {"Path": "1_Pooling", "Type": "tree", "Size": 0, "Sha256": ""}
        return json.dumps({"Code": 200, "Data": {"Files": [folder, *files]}}).encode()

    def content(self, name: str) -> bytes:
        return self.sends.get(name, self.files[name])

    def _sibling(self, name: str, content: bytes) -> dict[str, object]:
        size = self.announced.get(name, len(content))
        sibling: dict[str, object] = {"rfilename": name, "size": size, "blobId": git_id(content)}
        if is_large(content):
            sha256 = hashlib.sha256(content).hexdigest()
            sibling["lfs"] = {"sha256": sha256, "size": size, "pointerSize": 134}
        return sibling


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(content: bytes) -> bool:
    return len(content) > _LFS_BYTES


def _routes(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Routes(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for an acknowledgement

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, format: str, *args: object) -> None:
            hub.requests.append(f"{self.command} {self.path.split('?')[0]}")

        def _answer(self, *, with_body: bool) -> None:
            path = self.path.split("?")[0]
            resolve = f"/{hub.repo}/resolve/{COMMIT}/"
            if hub.status:
                self._send(hub.status, hub.page, {}, with_body)
            elif path == f"/api/models/{hub.repo}/revision/{COMMIT}":
                self._send(200, hub.listing(), {"Content-Type": "application/json"}, with_body)
            elif path == f"/api/v1/models/{hub.repo}/repo/files":
                self._send(200, hub.scope_listing(), {}, with_body)
            elif path == f"/api/v1/models/{hub.repo}/repo":
                name = parse_qs(urlsplit(self.path).query)["FilePath"][0]
                self._send(200, hub.content(name), {}, with_body)
            elif path.removeprefix(resolve) in hub.files.keys() - hub.lost:
                self._resolve(hub.content(path.removeprefix(resolve)), with_body)
            elif path.startswith(resolve):
                self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
            elif path.startswith("/lfs/"):
                contents = {hashlib.sha256(c).hexdigest(): c for c in map(hub.content, hub.files)}
                self._send(200, contents[path.removeprefix("/lfs/")], {}, with_body)
            else:
                self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, with_body)

        def _resolve(self, content: bytes, with_body: bool) -> None:
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{git_id(content)}"'}
            if not is_large(content) and not hub.redirects_all:
                self._send(200, content, headers, with_body)
                return
            sha256 = hashlib.sha256(content).hexdigest()
            # Another host name, as the real hub sends large files from another host.
            elsewhere = hub.leads_to or hub.url.replace("127.0.0.1", "localhost")
            headers |= {
                "X-Linked-Etag": f'"{sha256}"',
                "X-Linked-Size": str(len(content)),
                "Location": f"{elsewhere}/lfs/{sha256}",
            }
            self._send(HTTPStatus.FOUND, b"", headers, with_body)

        def _send(
            self, status: int, content: bytes, headers: dict[str, str], with_body: bool
        ) -> None:
            large = is_large(content)
            start = int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])
            if status == HTTPStatus.OK and start:
                status = HTTPStatus.PARTIAL_CONTENT
                end = len(content)
                headers |= {"Content-Range": f"bytes {start}-{end - 1}/{end}"}
                content = content[start:]
            if large and with_body:
                hub.asked_from.append(start)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            cut = hub.breaks_once_at if large else 0
            if with_body and large and (cut or hub.breaks_off):
                self.wfile.write(content[: cut or -1])
                self.close_connection = True
                hub.breaks_once_at = 0
            elif with_body:
                self.wfile.write(content)

    return Routes


@pytest.fixture
def hub(plain_model: dict[str, bytes]) -> Iterator[LocalHub]:
    """A hub with one model in the wire format of the real one, large files by redirect."""
    local = LocalHub(files=dict(plain_model))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _routes(local))
    local.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield local
    server.shutdown()
    server.server_close()
    thread.join()


def safetensors(header: dict[str, object] | bytes, payload: bytes) -> bytes:
    """Bytes of a safetensors file, whether or not they make sense."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


@pytest.fixture(scope="session")
def write_safetensors() -> Callable[[dict[str, object] | bytes, bytes], bytes]:
    return safetensors


def _modules(*names: str) -> bytes:
    paths = ["", *(f"{i}_{name}" for i, name in enumerate(names) if i)]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{name}"}
        for i, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
    return json.dumps(modules).encode()


@pytest.fixture(scope="session")
def plain_model() -> dict[str, bytes]:
    """Well-formed files of a model that nobody can run: enough for all that only looks at files."""
    values = struct.pack("<8192f", *range(8192))
    tensor = {"dtype": "F32", "shape": [128, 64], "data_offsets": [0, len(values)]}
    return {
        "config.json": b'{"model_type": "bert"}',
        "tokenizer.json": b'{"version": "1.0"}',
        "modules.json": _modules("Transformer", "Pooling", "Normalize"),
        "1_Pooling/config.json": b"{}",
        "model.safetensors": safetensors({"weight": tensor}, values),
        "README.md": b"# tiny",
    }


@pytest.fixture(scope="session")
def record_for() -> Callable[..., ModelRecord]:
    """Make a record for some files, pinning all of them or those that are named."""

    def record(files: dict[str, bytes], pin: tuple[str, ...] = ()) -> ModelRecord:
        pins = {
            name: FileRecord(hashlib.sha256(files[name]).hexdigest(), len(files[name]))
            for name in pin
        }
        return ModelRecord(
            id="tiny",
            hub_id="owner/tiny",
            revision=COMMIT,
            licence="MIT",
            publisher="nobody",
            languages=("en",),
            architecture="BERT, 2 layers, hidden 32",
            pooling="mean",
            dim=32,
            max_tokens=48,
            files=pins,
        )

    return record


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A real WordPiece tokenizer and a real BERT with random weights, as a hub would hold them."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    words = _train_tokenizer(folder)
    _write_bert(folder, words)
    (folder / "modules.json").write_bytes(_modules("Transformer", "Pooling", "Normalize"))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 48}')
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _train_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=600, special_tokens=_SPECIAL, show_progress=False
    )
    tokenizer.train_from_iterator(PARITY_TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in vocabulary))
    configuration = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 48,
        **dict(
            zip(
                ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"),
                _SPECIAL,
                strict=True,
            )
        ),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration))
    return len(vocabulary)


def _write_bert(folder: Path, words: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from transformers import BertConfig, BertModel

        # One thread is faster for so small a model, above all on a busy machine.
        torch.set_num_threads(1)
        torch.manual_seed(11)
        config = BertConfig(
            vocab_size=words,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            # Large enough that texts differ: with BERT's 0.02 a random model says one thing.
            initializer_range=0.5,
        )
        BertModel(config).save_pretrained(folder, safe_serialization=True)


@pytest.fixture
def with_pooling(tiny_bert: dict[str, bytes]) -> Callable[[str], dict[str, bytes]]:
    """The tiny model, made to pool the way its publisher would say."""

    def pooled(pooling: str) -> dict[str, bytes]:
        names = {"cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken"}
        modes = {f"pooling_mode_{name}": key == pooling for key, name in names.items()}
        config = json.dumps({"word_embedding_dimension": 32, **modes}).encode()
        return {**tiny_bert, "1_Pooling/config.json": config}

    return pooled


@pytest.fixture
def place() -> Callable[[dict[str, bytes], Path], Path]:
    """Write files into a folder."""

    def write(files: dict[str, bytes], folder: Path) -> Path:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return folder

    return write


@pytest.fixture
def make_version(tmp_path: Path) -> Callable[..., Snapshot]:
    """Write a real version of given items and vectors, and open it; each a minute younger."""
    written = 0

    def make(
        items: Sequence[Item], vectors: Vectors, model: str = "by-hand", pattern: str = "{title}"
    ) -> Snapshot:
        nonlocal written
        written += 1
        with building(catalogue_folder(tmp_path, "things")):
            version = write_snapshot(
                tmp_path,
                "things",
                items=items,
                vectors=vectors,
                built=build_faiss(vectors, seed=1),
                provenance=Provenance(
                    model=ModelIdentity(model, "0" * 40, hashlib.sha256(b"by hand").hexdigest()),
                    stand_in=False,
                    template_pattern=pattern,
                    template_sha256=hashlib.sha256(pattern.encode()).hexdigest(),
                    source_name="things.jsonl",
                    source_sha256="0" * 64,
                    rejects=2,
                    seed=1,
                    tools={},
                ),
                created_at=datetime(2026, 11, 23, 10, written, tzinfo=UTC),
            )
        return open_snapshot(tmp_path / "things" / version)

    return make
