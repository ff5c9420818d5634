"""Model files from a hub: only the allowed ones, at the pinned revision, or a clear refusal.

Plain HTTP, so that a pull needs no machine-learning library and reports to nobody.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from service.encoders.registry import ModelRecord
from service.errors import HubUnavailable, ModelNotFound, ModelRejected
from service.pipelines.http_download import HINT, TIMEOUT_S, ByteCount, Hosts, download
from service.pipelines.remote_files import Order, Progress, RemoteFile, choose_files

if TYPE_CHECKING:
    import httpx2

HUB = "https://huggingface.co"
_DECLARED_HOSTS = ("hf.co", "huggingface.co")
FIRST_ANSWER_S = 5.0
_LISTING_LIMIT = 8 << 20
_NOT_THERE = frozenset({"RepoNotFound", "RevisionNotFound"})

_T = TypeVar("_T")


def fetch_from_hub(order: Order, folder: Path) -> None:
    """Download the wanted files of a model at its pinned revision, and no others.

    Args:
        order: what is wanted; the record's revision is a full commit.
        folder: receives the files; may hold parts of an earlier attempt.

    Raises:
        HubUnavailable: no answer, or one that says to come back later.
        ModelNotFound: the hub has no such model or revision.
        ModelRejected: the hub answered for another revision, or leads elsewhere.
        HashMismatch: the hub announces or sends a file of another size or hash.
    """
    base = (order.endpoint or HUB).rstrip("/")
    with http_client() as client:
        listed = within(FIRST_ANSWER_S, lambda: _list_files(order.record, client, base))
        files = choose_files(order, listed)
        hosts = Hosts(base, (*_DECLARED_HOSTS, *order.hosts))
        fetch_files(client, files, folder, hosts, order.progress)


def fetch_files(
    client: "httpx2.Client",
    files: Sequence[RemoteFile],
    folder: Path,
    hosts: Hosts,
    progress: Progress,
) -> None:
    """Download files one after the other, small ones first, as listed."""
    count = ByteCount(sum(file.size_bytes or 0 for file in files), progress)
    for file in files:
        download(client, file, folder, hosts, count)


@contextmanager
def http_client() -> "Iterator[httpx2.Client]":
    """Open a client that follows no redirect by itself and sends no cookie or token."""
    import httpx2

    from service import __version__

    headers = {"User-Agent": f"magpie/{__version__}"}
    with httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False, headers=headers) as client:
        try:
            yield client
        except httpx2.HTTPError as error:
            reason = type(error.__cause__ or error).__name__
            raise HubUnavailable(f"no hub answered ({reason}).", HINT) from error
        except httpx2.InvalidURL as error:
            raise HubUnavailable("the hub's address cannot be used.", HINT) from error


def read_listing(client: "httpx2.Client", url: str) -> "tuple[int, httpx2.Headers, bytes]":
    """Ask for a list of files; returns status, headers and at most some MiB of body."""
    with client.stream("GET", url) as response:
        body = b""
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _LISTING_LIMIT:
                raise HubUnavailable("what answered is no hub: its list has no end.", HINT)
        return response.status_code, response.headers, body


class _Lfs(BaseModel):
    sha256: str


class _Sibling(BaseModel):
    rfilename: str
    size: int | None = None
    lfs: _Lfs | None = None


class _Listing(BaseModel):
    sha: str
    siblings: list[_Sibling]


def _list_files(record: ModelRecord, client: "httpx2.Client", base: str) -> list[RemoteFile]:
    url = f"{base}/api/models/{record.hub_id}/revision/{record.revision}?blobs=true"
    status, headers, body = read_listing(client, url)
    if status == 401 or headers.get("X-Error-Code") in _NOT_THERE:
        raise ModelNotFound(
            f"the hub has no {record.hub_id} at revision {record.revision}, or does not show it.",
            "Check the record in models/registry.toml, or use another hub (HF_ENDPOINT).",
        )
    if status != 200:
        raise HubUnavailable(f"the hub answered with status {status}.", HINT)
    try:
        listing = _Listing.model_validate(json.loads(body))
    except (ValueError, ValidationError, RecursionError) as error:
        # A proxy's or a hotel's page, with status 200.
        raise HubUnavailable("what answered is no hub.", HINT) from error
    if listing.sha != record.revision:
        raise ModelRejected(
            f"{record.id}: asked for revision {record.revision}, "
            f"the hub answered for {listing.sha[:64]}."
        )
    resolve = f"{base}/{record.hub_id}/resolve/{record.revision}"
    return [
        RemoteFile(
            name=each.rfilename,
            size_bytes=each.size,
            sha256=None if each.lfs is None else each.lfs.sha256,
            url=f"{resolve}/{quote(each.rfilename)}",
        )
        for each in listing.siblings
    ]


def within(seconds: float, call: Callable[[], _T]) -> _T:
    """Run `call` in a thread and wait for it no longer than this.

    Name resolution has no timeout in Python, and a connection tries every address in turn with
    the full timeout each; the thread is left behind and dies with the process.

    Raises:
        HubUnavailable: no result in time.
    """
    results: list[_T] = []
    faults: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # handed to the caller's thread below
            faults.append(error)

    thread = threading.Thread(target=run, name="hub-first-answer", daemon=True)
    thread.start()
    thread.join(seconds)
    if faults:
        raise faults[0]
    if not results:
        raise HubUnavailable(f"no hub answered within {seconds:.0f} seconds.", HINT)
    return results[0]
