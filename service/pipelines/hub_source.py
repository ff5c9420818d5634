"""Model files from a hub: only the allowed ones, at the pinned revision, or a clear refusal."""

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from service.encoders.registry import ModelRecord
from service.errors import HashMismatch, HubUnavailable, ModelNotFound, ModelRejected
from service.pipelines.model_intake import REQUIRED_FILES, is_allowed

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

_T = TypeVar("_T")
FIRST_ANSWER_S = 5.0
_REQUEST_TIMEOUT_S = 4.0
_HINT = "Check the network, or set HF_ENDPOINT to a mirror."
_HUB_LOGGERS = ("huggingface_hub", "httpx2", "httpcore2", "filelock")


def fetch_from_hub(
    record: ModelRecord, folder: Path, *, endpoint: str | None, progress: Progress
) -> None:
    """Download the allowed files of a model at its pinned revision, and no others.

    Args:
        record: the model; `revision` is a full commit.
        folder: an empty folder that receives the files.
        endpoint: address of a mirror; None is the Hugging Face hub itself.
        progress: called as bytes arrive.

    Raises:
        HubUnavailable: no answer, or one that says to come back later.
        ModelNotFound: the hub has no such model or revision.
        ModelRejected: the hub answered for another revision.
        HashMismatch: the hub announces or sends a file of another size or hash.
    """
    with _quiet_hub(), _hub_errors_named(record):
        wanted = _within(FIRST_ANSWER_S, lambda: _list_files(record, endpoint))
        counter = _ByteCounter(sum(file.size or 0 for file in wanted), progress)
        for file in wanted:
            _download(record, file, folder, endpoint, counter)
    # The client's own notes about what it downloaded.
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _list_files(record: ModelRecord, endpoint: str | None) -> "list[RepoSibling]":
    model = _describe(record, endpoint)
    if model.sha != record.revision:
        raise ModelRejected(
            f"{record.id}: asked for revision {record.revision}, the hub answered for {model.sha}."
        )
    wanted = [file for file in model.siblings or () if is_allowed(file.rfilename)]
    names = {file.rfilename for file in wanted}
    for name in sorted(REQUIRED_FILES - names):
        raise ModelRejected(
            f"{record.id}: the hub has no {name} for it, and we take no other format."
        )
    for name in sorted(record.files.keys() - names):
        raise HashMismatch(f"{record.id}: {name} is pinned, but the hub does not list it.")
    for file in wanted:
        _check_announced(record, file)
    return sorted(wanted, key=lambda file: file.size or 0)


def _describe(record: ModelRecord, endpoint: str | None) -> "ModelInfo":
    from huggingface_hub import HfApi

    try:
        return HfApi(endpoint=endpoint, token=False).model_info(
            record.hub_id,
            revision=record.revision,
            files_metadata=True,
            timeout=_REQUEST_TIMEOUT_S,
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        # A proxy's or a hotel's page, with status 200.
        raise HubUnavailable("what answered is no hub.", _HINT) from error


def _check_announced(record: ModelRecord, file: "RepoSibling") -> None:
    """Refuse before the download what the hub itself says is another file."""
    pin = record.files.get(file.rfilename)
    if pin is None:
        return
    is_other_size = None not in (file.size, pin.size_bytes) and file.size != pin.size_bytes
    if is_other_size or (file.lfs is not None and file.lfs.sha256 != pin.sha256):
        raise HashMismatch(
            f"{record.id}: the hub announces another {file.rfilename} than the registry pins."
        )


def _download(
    record: ModelRecord,
    file: "RepoSibling",
    folder: Path,
    endpoint: str | None,
    counter: "_ByteCounter",
) -> None:
    from huggingface_hub import hf_hub_download

    path = hf_hub_download(
        record.hub_id,
        file.rfilename,
        revision=record.revision,
        local_dir=folder,
        endpoint=endpoint,
        token=False,
        etag_timeout=_REQUEST_TIMEOUT_S,
        # The client only calls it, and says so; its annotation asks for a class all the same.
        tqdm_class=cast("type[_Bar]", counter.bar),
    )
    size = Path(path).stat().st_size
    if file.size is not None and size != file.size:
        raise HashMismatch(
            f"{record.id}: {file.rfilename} arrived with {size} bytes; "
            f"the hub announced {file.size}."
        )
    counter.finish_file(size)


class _ByteCounter:
    """Turns the hub client's many progress bars into one count over all files."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._in_file = 0
        self._received = 0

    def bar(self, **_options: object) -> "_Bar":
        """Stand in for a tqdm class; the client passes options for drawing, which we ignore."""
        self._in_file = 0
        return _Bar(self)

    def advance(self, size: int) -> None:
        """Count bytes that arrived."""
        self._in_file += size
        self._received += max(size, 0)
        # The client starts over as often as bytes arrive; a server that always breaks off
        # would keep it busy for ever.
        if self._total and self._received > 3 * self._total:
            raise HubUnavailable("the hub keeps breaking off and starting over.")
        self._progress(min(self._done + self._in_file, self._total), self._total)

    def finish_file(self, size: int) -> None:
        """Count a finished file by its true size, whatever its bar was told."""
        self._done += size
        self._in_file = 0
        self._progress(min(self._done, self._total), self._total)


class _Bar:
    """The part of tqdm that the hub client uses."""

    def __init__(self, counter: _ByteCounter) -> None:
        self._counter = counter

    def update(self, size: int = 1) -> None:
        self._counter.advance(size)

    def close(self) -> None:
        """Nothing is drawn, so nothing is closed."""

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Keep the client from reporting on us, and from writing into our terminal."""
    from huggingface_hub import constants

    before = (constants.HF_HUB_DISABLE_TELEMETRY, constants.HF_HUB_DISABLE_XET)
    loggers = [logging.getLogger(name) for name in _HUB_LOGGERS]
    levels = [logger.level for logger in loggers]
    constants.HF_HUB_DISABLE_TELEMETRY = True
    # The xet protocol fetches chunks from hosts of its own choice; plain HTTP is enough.
    constants.HF_HUB_DISABLE_XET = True
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY, constants.HF_HUB_DISABLE_XET = before
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _hub_errors_named(record: ModelRecord) -> Iterator[None]:
    """Translate the client's errors into ours, without the addresses they carry."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ModelNotFound(
            f"the hub has no {record.hub_id} at revision {record.revision}, or does not show it.",
            "Check the record in models/registry.toml, or use another hub (HF_ENDPOINT).",
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise ModelRejected(f"{record.id}: the hub lists a file that it has not.") from error
    except errors.HfHubHTTPError as error:
        # Also a 404 without the header by which a hub says what is missing.
        status = error.response.status_code
        raise HubUnavailable(f"the hub answered with status {status}.", _HINT) from error
    except (httpx2.HTTPError, errors.LocalEntryNotFoundError, ConnectionError) as error:
        reason = type(error.__cause__ or error).__name__
        raise HubUnavailable(f"no hub answered ({reason}).", _HINT) from error
    except errors.HFValidationError as error:
        raise ModelRejected(f"{record.id}: {record.hub_id!r} is no name of a model.") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # The client's consistency check raises a bare OSError without a number.
        raise HashMismatch(f"{record.id}: a file broke off during the download.") from error


def _within(seconds: float, call: Callable[[], _T]) -> _T:
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
    return _only(results, faults, seconds)


def _only(results: Sequence[_T], faults: Sequence[Exception], seconds: float) -> _T:
    if faults:
        raise faults[0]
    if not results:
        raise HubUnavailable(f"no hub answered within {seconds:.0f} seconds.", _HINT)
    return results[0]
