"""One file over HTTP: resumed where it broke off, hashed whole, and only from known hosts.

A redirect to another host is followed only to a host that the source declares for large files,
and only for a file whose sha256 is known beforehand: what such a host sends cannot be another
file, and nobody can lead us to a host of their own choice, inside a company for instance.
"""

import ipaddress
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from service.artifacts import sha256_file
from service.errors import HashMismatch, HubUnavailable, ModelRejected
from service.pipelines.remote_files import Progress, RemoteFile

if TYPE_CHECKING:
    import httpx2

PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Waits before the next try where no byte arrived; one more failure ends the download."""
HINT = "Check the network, or set HF_ENDPOINT to a mirror."
TIMEOUT_S = 15.0

_PART = ".part"
_REDIRECTS = 5
_CHUNK_BYTES = 1 << 20
# Where neither registry nor hub says how large a file is; weights always have a size.
_UNKNOWN_SIZE_LIMIT = 32 << 20
_REFUSED_STATUS = frozenset({404, 410})


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where a source may send us: its own host, and those it declares for large files."""

    endpoint: str
    declared: tuple[str, ...] = ()

    def refusal(self, url: str, *, is_hash_known: bool) -> str:
        """Say why an address must not be asked, or nothing."""
        home, there = urlsplit(self.endpoint), urlsplit(url)
        host = there.hostname or ""
        if there.scheme not in ("https", home.scheme) or there.username or there.password:
            return f"to the address scheme {there.scheme!r} on {host!r}"
        if _same_host(home.hostname or "", host):
            return ""
        is_declared = any(host == name or host.endswith(f".{name}") for name in self.declared)
        if not is_declared:
            return f"to the foreign host {host!r}"
        return "" if is_hash_known else f"to {host!r}, though its sha256 is not known beforehand"


@dataclass(slots=True)
class ByteCount:
    """Bytes over all files of a pull."""

    total: int
    progress: Progress
    done: int = field(default=0)

    def report(self, in_file: int) -> None:
        """Say how far the present file is."""
        self.progress(min(self.done + in_file, self.total), self.total)

    def finish(self, size: int) -> None:
        """Count a whole file."""
        self.done += size
        self.progress(min(self.done, self.total), self.total)


def download(
    client: "httpx2.Client",
    file: RemoteFile,
    folder: Path,
    hosts: Hosts,
    count: ByteCount,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Bring one file into a quarantined folder, whole and as announced, or raise.

    Bytes of an interrupted attempt are used again where the sha256 is known beforehand; the
    hash is always taken over the whole file.

    Raises:
        HubUnavailable: the connection broke off too often, or the host is in trouble.
        ModelRejected: the file is not there, or is elsewhere than it may be.
        HashMismatch: the file has another size or hash.
    """
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + _PART)
    if file.sha256 is None:
        part.unlink(missing_ok=True)
    if not (file.sha256 is not None and target.is_file() and sha256_file(target) == file.sha256):
        target.unlink(missing_ok=True)
        _fetch_all(client, file, part, hosts, count, pause)
        try:
            _check(file, part)
        except HashMismatch:
            part.unlink()
            raise
        part.replace(target)
    count.finish(target.stat().st_size)


def _fetch_all(
    client: "httpx2.Client",
    file: RemoteFile,
    part: Path,
    hosts: Hosts,
    count: ByteCount,
    pause: Callable[[float], None],
) -> None:
    import httpx2

    failures = 0
    while True:
        before = _size(part)
        try:
            _fetch_rest(client, file, part, hosts, count)
            return
        except (httpx2.TransportError, ConnectionError) as error:
            # A host that sends byte by byte and breaks off each time is given up as well.
            failures = 0 if _size(part) - before >= _CHUNK_BYTES else failures + 1
            if failures > len(PAUSES_S):
                raise HubUnavailable(
                    f"{file.name} broke off {failures} times ({type(error).__name__}).",
                    f"Pull again: what has arrived is kept. {HINT}",
                ) from error
            pause(PAUSES_S[max(failures - 1, 0)])


def _fetch_rest(
    client: "httpx2.Client", file: RemoteFile, part: Path, hosts: Hosts, count: ByteCount
) -> None:
    start = _size(part)
    limit = _UNKNOWN_SIZE_LIMIT if file.size_bytes is None else file.size_bytes
    if start and start == file.size_bytes:
        return
    with _answer(client, file, start if start < limit else 0, hosts) as response:
        is_rest = response.status_code == 206 and response.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {start}-")
        size = start if is_rest else 0
        with part.open("ab" if is_rest else "wb") as output:
            for chunk in response.iter_raw():
                size += len(chunk)
                if size > limit:
                    output.close()
                    part.unlink()
                    raise HashMismatch(f"{file.name} is longer than the {limit} bytes announced.")
                output.write(chunk)
                count.report(size)


@contextmanager
def _answer(
    client: "httpx2.Client", file: RemoteFile, start: int, hosts: Hosts
) -> "Iterator[httpx2.Response]":
    url = file.url
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    for _ in range(_REDIRECTS + 1):
        refusal = hosts.refusal(url, is_hash_known=file.sha256 is not None)
        if refusal:
            raise ModelRejected(f"{file.name}: the hub redirects {refusal}; refused.")
        with client.stream("GET", url, headers=headers) as response:
            if not response.has_redirect_location:
                _check_status(file, response.status_code)
                yield response
                return
            url = str(response.url.join(response.headers["Location"]))
    raise ModelRejected(f"{file.name}: the hub redirects without end; refused.")


def _check_status(file: RemoteFile, status: int) -> None:
    if status in _REFUSED_STATUS:
        raise ModelRejected(f"the hub lists a file that it has not: {file.name}.")
    if status not in (200, 206):
        raise HubUnavailable(f"the hub answered with status {status} for {file.name}.", HINT)


def _check(file: RemoteFile, path: Path) -> None:
    size = path.stat().st_size
    if file.size_bytes is not None and size != file.size_bytes:
        raise HashMismatch(
            f"{file.name} arrived with {size} bytes; the hub announced {file.size_bytes}."
        )
    if file.sha256 is None:
        return
    found = sha256_file(path)
    if found != file.sha256:
        raise HashMismatch(
            f"{file.name} has sha256 {found[:12]}…; the registry, the lock or the "
            f"hub's own list says {file.sha256[:12]}…."
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _same_host(home: str, other: str) -> bool:
    if other == home or other.endswith(f".{home}"):
        return True
    return _is_loopback(home) and _is_loopback(other)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host) in (
            ipaddress.ip_address("127.0.0.1"),
            ipaddress.ip_address("::1"),
        )
    except ValueError:
        return False
