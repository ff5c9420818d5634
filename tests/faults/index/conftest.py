"""A catalogue of three versions, a disk that fails where it is told to, and what must hold."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from service.index.layout import is_version_name, version_names
from service.index.publish import current_version
from service.index.snapshot import open_snapshot
from service.index.verification import verify_folder

_BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
_WORDS = ["garden", "bread", "flower", "pot", "rye", "lamp", "chair"]


@dataclass(frozen=True)
class Ran:
    """How a command ended: `signal` if it was killed, else `code`. `calls` it made to the disk."""

    code: int | None
    signal: int
    calls: list[str]
    told: str


@dataclass
class Runner:
    """Runs `magpie` on an indexes folder, with or without a fault."""

    process: subprocess.Popen[str]
    models: Path
    minutes: int = 0
    points: dict[str, list[str]] = field(default_factory=dict)

    def run(
        self,
        indexes: Path,
        *arguments: str,
        mode: str = "none",
        point: int = -1,
        code: int = 0,
        kill_after_s: float | None = None,
    ) -> Ran:
        self.minutes += 1
        request = {
            "arguments": arguments,
            "root": str(indexes),
            "mode": mode,
            "point": point,
            "errno": code,
            "kill_after_s": kill_after_s,
            "now": (_BEGIN + timedelta(minutes=self.minutes)).isoformat(),
            "environment": {
                "MAGPIE_MODELS_DIR": str(self.models),
                "MAGPIE_INDEXES_DIR": str(indexes),
                "MAGPIE_MODEL": "toy",
                "COLUMNS": "200",
            },
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return Ran(**json.loads(self.process.stdout.readline()))


@dataclass(frozen=True)
class Catalogue:
    """A folder of indexes with versions 1, 2 and 3 published in turn and 4 only built."""

    indexes: Path
    source: Path
    versions: tuple[str, str, str, str]

    @property
    def folder(self) -> Path:
        return self.indexes / "pins"

    @property
    def commands(self) -> dict[str, tuple[str, ...]]:
        return {
            # Half of the texts are new, so that vectors are stored as well as reused.
            "build": (*BUILD, "--name", "pins", str(self.source.with_name("changed.jsonl"))),
            "publish": ("index", "publish", "pins"),
            "rollback": ("index", "rollback", "pins"),
            "prune": ("index", "prune", "pins", "--keep", "1", "--yes"),
        }

    def copy(self, to: Path) -> "Catalogue":
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.indexes, to)
        return Catalogue(to, self.source, self.versions)

    def expected(self, command: str) -> str | None:
        """The version that is served when a command has succeeded; None: as before."""
        return {"publish": self.versions[3], "rollback": self.versions[1]}.get(command)

    def leftovers(self) -> list[str]:
        """What no reader knows: unfinished versions, pointers, reports. A folder counts once."""
        hidden = [
            path.relative_to(self.folder)
            for path in self.folder.rglob("*")
            if path.name.startswith(".") and not path.name.endswith(".lock")
        ]
        return sorted(str(path) for path in hidden if not set(path.parents) & set(hidden))

    def assert_sound(self) -> str:
        """The pointer names a version that verifies and opens, as all versions do; returns it."""
        served = current_version(self.indexes, "pins")
        for name in version_names(self.folder):
            verify_folder(self.folder / name)
        assert open_snapshot(self.folder / served).version == served
        for path in self.folder.iterdir():
            # Nothing has a version's name that is not one, whole.
            assert not is_version_name(path.name) or (path / "manifest.json").is_file()
        return served


BUILD = ("index", "build", "--id", "id", "--text", "{title}")


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory, toy_models: Path) -> Iterator[Runner]:
    report = tmp_path_factory.mktemp("runner") / "report"
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("fault_runner.py")), str(report)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    with process:
        yield Runner(process, toy_models)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, runner: Runner) -> Catalogue:
    folder = tmp_path_factory.mktemp("catalogue")
    source = folder / "pins.jsonl"
    rows = [
        {"id": f"pin-{n}", "title": f"{_WORDS[n % 7]} {_WORDS[n // 2 % 7]}", "price": n}
        for n in range(12)
    ]
    source.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    changed = [{**row, "title": f"{row['title']} {_WORDS[3]}"} for row in rows[:6]] + rows[6:]
    (folder / "changed.jsonl").write_bytes(b"\n".join(map(orjson.dumps, changed)))
    indexes = folder / "indexes"
    for number in range(4):
        ran = runner.run(indexes, *BUILD, "--name", "pins", str(source))
        assert ran.code == 0, ran.told
        if number < 3:
            ran = runner.run(indexes, "index", "publish", "pins")
            assert ran.code == 0, ran.told
    first, second, third, fourth = version_names(indexes / "pins")
    return Catalogue(indexes, source, (first, second, third, fourth))


@pytest.fixture
def catalogue(template: Catalogue, tmp_path: Path) -> Catalogue:
    return template.copy(tmp_path / "indexes")
