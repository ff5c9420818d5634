"""Model files from ModelScope: the same bytes as on the hub, or none.

ModelScope keeps a history of its own, so its revision proves nothing about the commit that is
pinned. Only hashes do: what decides the vectors must be pinned before the first byte is asked for.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from pydantic import BaseModel, Field, ValidationError

from service.encoders.registry import ModelRecord, ModelScopeName
from service.errors import HubUnavailable, ModelNotFound
from service.pipelines.http_download import HINT, Hosts
from service.pipelines.hub_source import (
    FIRST_ANSWER_S,
    fetch_files,
    http_client,
    read_listing,
    within,
)
from service.pipelines.remote_files import Order, RemoteFile, choose_files

if TYPE_CHECKING:
    import httpx2

MODELSCOPE = "https://www.modelscope.cn"
_DECLARED_HOSTS = ("modelscope.cn", "aliyuncs.com")


def fetch_from_modelscope(order: Order, folder: Path) -> None:
    """Download the wanted files of a model from ModelScope; arguments as `fetch_from_hub`.

    Raises:
        HubUnavailable: no answer, or one that says to come back later.
        ModelNotFound: ModelScope has no such model or revision.
        ModelRejected: a necessary file is not there, or an answer leads elsewhere.
        HashMismatch: a file of another size or hash is announced or sent.
    """
    base = (order.endpoint or MODELSCOPE).rstrip("/")
    with http_client() as client:
        listed = within(FIRST_ANSWER_S, lambda: _list_files(order.record, client, base))
        files = choose_files(order, listed)
        hosts = Hosts(base, (*_DECLARED_HOSTS, *order.hosts))
        fetch_files(client, files, folder, hosts, order.progress)


class _File(BaseModel):
    path: str = Field(alias="Path")
    kind: str = Field(alias="Type")
    size: int | None = Field(None, alias="Size")
    sha256: str | None = Field(None, alias="Sha256")


class _Content(BaseModel):
    files: list[_File] = Field(alias="Files")


class _Listing(BaseModel):
    content: _Content = Field(alias="Data")


def _list_files(record: ModelRecord, client: "httpx2.Client", base: str) -> list[RemoteFile]:
    name = record.modelscope or ModelScopeName(record.hub_id)
    repository = f"{base}/api/v1/models/{name.id}/repo"
    query = urlencode({"Revision": name.revision, "Recursive": "true"})
    status, _, body = read_listing(client, f"{repository}/files?{query}")
    if status == 404:
        raise ModelNotFound(
            f"ModelScope has no {name.id} at revision {name.revision}, or does not show it.",
            "Check `modelscope` in the record, or pull from the hub.",
        )
    if status != 200:
        raise HubUnavailable(f"ModelScope answered with status {status}.", HINT)
    try:
        listing = _Listing.model_validate(json.loads(body))
    except (ValueError, ValidationError, RecursionError) as error:
        raise HubUnavailable("what answered is not ModelScope.", HINT) from error
    return [
        RemoteFile(
            name=each.path,
            size_bytes=each.size,
            sha256=each.sha256 or None,
            url=f"{repository}?{urlencode({'Revision': name.revision, 'FilePath': each.path})}",
        )
        for each in listing.content.files
        if each.kind != "tree"
    ]
