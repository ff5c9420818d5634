"""MAGPIE_* variables as one frozen value. Only `cli` and `api` read it; the rest gets arguments."""

from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import InvalidSettings

_MIB = 1 << 20


class Settings(BaseSettings):
    """What an operator may choose. Every field is the variable MAGPIE_<FIELD IN CAPITALS>."""

    model_config = SettingsConfigDict(env_prefix="MAGPIE_", frozen=True, hide_input_in_errors=True)

    catalogue: str = Field("pins", description="Which catalogue under the indexes folder to serve.")
    model: str = Field(
        "bge-small-en-v1.5", description="Model for new indexes; a served index names its own."
    )
    models_dir: Path = Field(Path("models"), description="Folder of registry.toml and models.")
    indexes_dir: Path = Field(Path("indexes"), description="Folder of one folder per catalogue.")

    hf_endpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("HF_ENDPOINT"),
        description="A mirror of the Hugging Face hub; the hub itself when unset.",
    )

    host: str = Field(
        "127.0.0.1", description="Address to bind. Loopback unless you say otherwise."
    )
    port: int = Field(8000, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    workers: int = Field(
        1,
        ge=1,
        le=256,
        description="Processes that serve together, over one index in memory; each grants its "
        "part of a key's rate.",
    )
    worker_silence_s: float = Field(
        1.5,
        ge=0.5,
        le=3600,
        description="Of several workers one whose event loop stands still for so long is replaced.",
    )
    encoder_threads: int = Field(1, ge=1, le=256, description="Threads of one text encoding.")
    compute_threads: int = Field(1, ge=1, le=256, description="Encodings and rankings at once.")
    compute_queue: int = Field(
        64,
        ge=0,
        le=100_000,
        description="Requests that may wait for a compute thread; more get 503.",
    )
    batch_tokens: int = Field(
        384, ge=16, le=1_000_000, description="Tokens of search texts encoded in one batch."
    )
    queue_tokens: int = Field(
        8192,
        ge=0,
        le=100_000_000,
        description="Tokens of search texts that may wait for a batch; more get 503.",
    )
    queue_wait_s: float = Field(
        0.05,
        gt=0,
        le=3600,
        description="Longest wait for a turn; a request that would wait longer gets 503 at once.",
    )
    request_timeout_s: float = Field(
        2.0,
        gt=0,
        le=3600,
        description="Longest wait for an answer; a client may ask for less: Request-Timeout-Ms.",
    )
    reload_interval_s: float = Field(
        0.5, gt=0, le=3600, description="How often to look for a newly published index version."
    )
    writable: bool = Field(
        False,
        description="Whether PUT, PATCH and DELETE of items are served; where there are keys, to "
        "those of scope write.",
    )
    keys_file: Path | None = Field(
        None, description="File of API keys, from `magpie key create`; every request needs one."
    )
    insecure: bool = Field(
        False,
        description="Serve without keys where others can reach the service. Read-only, and loud.",
    )
    admin_host: str = Field("127.0.0.1", description="Address of the admin listener.")
    admin_port: int | None = Field(
        None, ge=1, le=65535, description="Port of the admin listener; there is none when unset."
    )
    trusted_proxies: str = Field(
        "",
        description="Addresses, comma separated, whose X-Forwarded headers are believed.",
    )
    fresh_items_max: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Items that may be new or changed beside an index before a rebuild is due.",
    )
    drain_s: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="How long to serve on after SIGTERM, unready, until every balancer knows.",
    )
    header_timeout_s: float = Field(
        10.0, gt=0, le=3600, description="Longest time for the headers of a request; then 408."
    )
    body_timeout_s: float = Field(
        15.0, gt=0, le=3600, description="Longest time for the body of a request; then 408."
    )
    write_timeout_s: float = Field(
        15.0, gt=0, le=3600, description="How long a client may leave its answer unread."
    )
    keep_alive_s: float = Field(
        75.0, gt=0, le=3600, description="How long a connection may wait for its next request."
    )
    connections_max: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Open connections of a worker; beyond it the longest idle one is closed.",
    )
    max_body_bytes: int = Field(_MIB, ge=1024, description="Largest request body; more gets 413.")

    cursor_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="Signs the cursors of paged lists, the same in every process; when unset it "
        "follows from the index version.",
    )
    http_cache_s: int = Field(
        0,
        ge=0,
        le=86_400,
        description="How long browsers may reuse an answer of a GET form without asking; with 0 "
        "they ask each time, and get 304 while nothing has changed.",
    )

    redis_url: SecretStr | None = Field(
        None, description="redis:// or rediss:// URL of the shared cache; unset means none."
    )
    redis_bytes: int = Field(
        1024 * _MIB,
        ge=0,
        description="Where the Redis server has no maxmemory: nothing is written while it holds "
        "more than this.",
    )
    redis_min_cost_ms: float = Field(
        0.1,
        ge=0,
        le=3_600_000,
        description="Kinds of questions that take less to answer stay out of Redis, as the trip "
        "would cost as much, and so do dearer ones of which Redis has next to nothing; 0 sends "
        "all.",
    )
    cache_bytes: int = Field(64 * _MIB, ge=0, description="Memory bound of the in-process cache.")
    cache_ttl_s: float = Field(3600.0, gt=0, description="How long an answer may be reused.")
    warm_queries: int = Field(
        200,
        ge=0,
        le=100_000,
        description="How many of the most frequent questions a new index version answers before "
        "it goes live; 0 for none. They are kept in memory only.",
    )
    warm_start_queries: int = Field(
        30,
        ge=0,
        le=100_000,
        description="How many questions, made of the newest items, a process answers before it is "
        "ready; 0 for none.",
    )
    warm_limit_s: float = Field(
        5.0, gt=0, le=3600, description="Longest delay of a start or a new version by that."
    )
    cache_negative_ttl_s: float = Field(
        30.0, gt=0, description="How long it is remembered that an id is unknown."
    )

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment.

        Raises:
            InvalidSettings: a variable has a value that cannot be used; names it, not its value.
        """
        try:
            return cls()
        except ValidationError as error:
            wrong = "; ".join(
                f"MAGPIE_{'_'.join(str(part) for part in each['loc']).upper()}: {each['msg']}"
                for each in error.errors(include_input=False, include_url=False)
            )
            raise InvalidSettings(wrong, "Correct or unset it.") from None
