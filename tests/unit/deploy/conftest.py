"""The container files as parsed values."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, its continuation lines folded."""

    stage: str
    verb: str
    text: str


@dataclass(frozen=True, slots=True)
class Compose:
    """What compose.yaml says, by service. A setting that is one value is a list of one."""

    services: dict[str, dict[str, list[str]]]
    internal_networks: frozenset[str]


def read_dockerfile(path: Path) -> list[Instruction]:
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    folded = re.sub(r"\\\n\s*", "", "\n".join(lines))
    instructions = []
    stage = ""
    for line in filter(None, folded.splitlines()):
        verb, text = line.split(maxsplit=1)
        if verb == "FROM":
            stage = text.rpartition(" AS ")[2]
        instructions.append(Instruction(stage, verb, text))
    return instructions


def read_compose(path: Path) -> Compose:
    content = yaml.safe_load(path.read_text())
    return Compose(
        services={
            name: {
                key: [str(each) for each in value] if isinstance(value, list) else [str(value)]
                for key, value in service.items()
            }
            for name, service in content["services"].items()
        },
        internal_networks=frozenset(
            name for name, network in content["networks"].items() if (network or {}).get("internal")
        ),
    )


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def dockerfile() -> list[Instruction]:
    return read_dockerfile(REPOSITORY / "Dockerfile")


@pytest.fixture(scope="session")
def runtime(dockerfile: list[Instruction]) -> list[Instruction]:
    """The stage that ships."""
    return [each for each in dockerfile if each.stage == "runtime"]


@pytest.fixture(scope="session")
def compose() -> Compose:
    return read_compose(REPOSITORY / "compose.yaml")
