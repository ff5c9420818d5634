"""Catalogues from standard input and from URLs, over real connections on this machine."""

import gzip
import io
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.artifacts import sha256_bytes
from service.catalogue.column_map import ColumnMap
from service.catalogue.reader import Reject, read_items
from service.catalogue.sources import Source
from service.catalogue.text import TextTemplate
from service.errors import InvalidCatalogue, InvalidSettings
from service.pipelines.catalogue_source import opened_source
from service.types import Item

CSV = b"id,title\n1,A\n2,B\n"
COLUMNS = ColumnMap("id", TextTemplate("{title}"))


def ids(source: Source) -> list[str]:
    return [item.id for item in read_items(source, COLUMNS) if isinstance(item, Item)]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Serve the folder `web`; yields its URL."""
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "x.csv").write_bytes(CSV)
    (folder / "y.jsonl.gz").write_bytes(gzip.compress(b'{"id":"1","title":"again"}\n'))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_standard_input_is_read_in_the_format_named(tmp_path: Path) -> None:
    with opened_source(["-"], file_format="csv", stdin=io.BytesIO(CSV)) as source:
        assert ids(source) == ["1", "2"]
        assert (source.name, source.sha256) == ("stdin", sha256_bytes(CSV))


def test_standard_input_can_be_packed_and_stand_beside_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(b"id,title\n9,Z\n"))
    packed = io.BytesIO(gzip.compress(CSV))
    with opened_source([str(tmp_path / "a"), "-"], file_format="csv.gz", stdin=packed) as source:
        assert ids(source) == ["9", "1", "2"]


def test_standard_input_without_a_format_is_refused() -> None:
    with (
        pytest.raises(InvalidCatalogue, match="--format jsonl"),
        opened_source(["-"], stdin=io.BytesIO(CSV)),
    ):
        pass


def test_url_is_fetched_hashed_and_deleted_afterwards(web: str) -> None:
    seen: list[tuple[int, int | None]] = []
    with opened_source(
        [f"{web}/x.csv?signature=secret"], progress=lambda *done: seen.append(done)
    ) as source:
        assert ids(source) == ["1", "2"]
        assert ids(source) == ["1", "2"]
        assert (source.name, source.sha256) == ("x.csv", sha256_bytes(CSV))
        (path,) = (part.path for part in source.parts)
        assert path
        assert path.exists()
    assert not path.exists()
    assert seen == [(len(CSV), len(CSV))]


def test_urls_and_files_are_one_catalogue_with_their_own_names(web: str, tmp_path: Path) -> None:
    (tmp_path / "z.csv").write_bytes(b"id,title\n3,C\n")
    places = [f"{web}/x.csv", str(tmp_path / "*.csv"), f"{web}/y.jsonl.gz"]
    with opened_source(places) as source:
        rows = list(read_items(source, COLUMNS))
    assert [row.id for row in rows if isinstance(row, Item)] == ["1", "2", "3"]
    (reject,) = (row for row in rows if isinstance(row, Reject))
    assert (reject.where, reject.reason) == (
        "y.jsonl.gz:1",
        "duplicate id '1', first in x.csv:2",
    )


def test_any_store_that_fsspec_knows_can_list_files(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("b", "a"):
        memory.pipe(f"/shop/{name}.csv", b"id,title\n%s,T\n" % name.encode())
    with opened_source(["memory://shop/*.csv"]) as source:
        assert ids(source) == ["a", "b"]
    with (
        pytest.raises(InvalidCatalogue, match=r"No file matches memory://shop"),
        opened_source(["memory://shop/*.tsv"]),
    ):
        pass
    memory.rm("/shop", recursive=True)


def test_what_is_not_there_is_told_without_the_secrets_of_the_url(web: str) -> None:
    url = web.replace("http://", "http://user:password@") + "/absent.csv?signature=secret"
    with (
        pytest.raises(InvalidCatalogue, match=r"absent\.csv cannot be fetched") as caught,
        opened_source([url]),
    ):
        pass
    told = str(caught.value)
    assert "password" not in told
    assert "secret" not in told


def test_unknown_protocol_and_missing_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidCatalogue, match="cannot be read"), opened_source(["nope://x.csv"]):
        pass
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InvalidSettings, match="s3fs") as caught, opened_source(["s3://b/x.csv"]):
        pass
    assert "magpie[fsspec]" in caught.value.hint
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with (
        pytest.raises(InvalidSettings, match=r"magpie\[fsspec\]"),
        opened_source(["http://127.0.0.1/x.csv"]),
    ):
        pass
