"""Builds in processes that may be killed: one line of JSON in, the process id and its end out.

Started once, it forks for every build, so that a kill costs no new imports.
"""

import os
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson

from service.catalogue.column_map import ColumnMap
from service.catalogue.text import TextTemplate
from service.pipelines.build_index import build
from service.types import ModelIdentity, Vectors

BATCH_TEXTS = 16
DIM = 16
IDENTITY = ModelIdentity("slow", "0" * 40, "5" * 64)


@dataclass(frozen=True)
class SlowEncoder:
    """Writes down how many texts it was given; what it gives depends on the whole batch.

    A real model rounds differently in different company. This one differs by far more, so that
    a batch of other texts would show.
    """

    log: Path
    identity: ModelIdentity = IDENTITY
    dim: int = DIM
    max_tokens: int = 64
    delay_s: float = 0.003

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        with self.log.open("ab") as file:
            file.write(b"%d\n" % len(texts))
        time.sleep(self.delay_s)
        company = zlib.crc32("\n".join(texts).encode())
        return np.stack(
            [
                np.random.default_rng([company, zlib.crc32(text.encode())]).random(DIM, np.float32)
                for text in texts
            ]
        )

    encode_queries = encode_items


def run(indexes: Path, source: Path, second: int) -> None:
    build(
        source,
        ColumnMap("id", TextTemplate("{title}")),
        name="films",
        models=indexes,
        indexes=indexes,
        model_id="slow",
        now=datetime(2026, 11, 23, 10, second // 60, second % 60, tzinfo=UTC),
        encoder=SlowEncoder(indexes / "encoded.log"),
        batch_texts=BATCH_TEXTS,
    )


def serve() -> None:
    for line in sys.stdin.buffer:
        indexes, source, second = orjson.loads(line)
        child = os.fork()
        if child == 0:
            run(Path(indexes), Path(source), second)
            os._exit(0)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
