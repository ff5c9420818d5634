"""What the image promises, read from files; `make container-check` proves it on the image."""

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.deploy.conftest import Instruction

TRAINING_STACK = (
    "torch", "transformers", "sentence-transformers", "huggingface-hub", "onnx", "onnxscript",
    "safetensors",
)  # fmt: skip


def texts(instructions: "list[Instruction]", verb: str) -> list[str]:
    return [each.text for each in instructions if each.verb == verb]


def arguments(instructions: "list[Instruction]") -> dict[str, str]:
    return dict(text.split("=", 1) for text in texts(instructions, "ARG") if "=" in text)


def variables(instructions: "list[Instruction]") -> dict[str, str]:
    pairs = " ".join(texts(instructions, "ENV")).split()
    return dict(pair.split("=", 1) for pair in pairs)


def test_runs_as_a_numeric_user_that_no_host_has(runtime: "list[Instruction]") -> None:
    user, group = map(int, texts(runtime, "USER")[-1].split(":"))
    assert user >= 10_000
    assert group >= 10_000


def test_every_stage_starts_from_one_base_that_can_be_pinned(
    dockerfile: "list[Instruction]",
) -> None:
    assert texts(dockerfile, "FROM") == ["${BASE} AS build", "${BASE} AS runtime"]
    assert dockerfile[0].verb == "ARG"


def test_base_has_a_version_and_a_python_that_the_project_accepts(
    dockerfile: "list[Instruction]", repository: Path
) -> None:
    tag = arguments(dockerfile)["BASE"].partition(":")[2]
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=").split(".")[:2]
    assert re.match(r"\d+\.\d+-", tag)
    assert [int(part) for part in tag.split("-")[0].split(".")] >= [int(part) for part in oldest]


def test_runtime_installs_the_serving_lock_and_our_wheel_and_nothing_else(
    runtime: "list[Instruction]",
) -> None:
    installs = [text for text in texts(runtime, "RUN") if "pip install" in text]
    assert len(installs) == 2
    assert "--require-hashes -r requirements/serve.txt" in installs[0]
    assert "--no-index /dist/*.whl" in installs[1]
    assert all("--no-deps" in text for text in installs)


def test_serving_lock_installs_nothing_of_the_training_stack(repository: Path) -> None:
    lock = (repository / "requirements/serve.txt").read_text()
    for package in TRAINING_STACK:
        for line in re.findall(rf"^{package}==.*", lock, re.MULTILINE):
            assert "sys_platform == 'never'" in line


def test_runtime_takes_nothing_from_the_build_but_models_indexes_and_the_wheel(
    runtime: "list[Instruction]",
) -> None:
    copied = [text.split()[1] for text in texts(runtime, "COPY") if "--from=" in text]
    mounted = re.findall(r"from=build,source=(\S+),", " ".join(texts(runtime, "RUN")))
    assert copied == ["/src/models", "/src/indexes"]
    assert mounted == ["/dist"]


def test_upstream_weights_are_gone_before_models_are_copied(
    dockerfile: "list[Instruction]",
) -> None:
    last_step_of_build = [each for each in dockerfile if each.stage == "build"][-1]
    assert "rm -rf models/*/upstream" in last_step_of_build.text


def test_locks_are_installed_before_code_is_copied(dockerfile: "list[Instruction]") -> None:
    for stage, lock, code in (
        ("build", "requirements/export.txt", "COPY service"),
        ("runtime", "requirements/serve.txt", "source=/dist"),
    ):
        steps = [f"{each.verb} {each.text}" for each in dockerfile if each.stage == stage]
        installs = next(i for i, step in enumerate(steps) if f"-r {lock}" in step)
        copies = next(i for i, step in enumerate(steps) if code in step)
        assert installs < copies


def test_serves_on_every_address_with_one_openmp_thread_and_writes_no_bytecode(
    runtime: "list[Instruction]",
) -> None:
    chosen = variables(runtime)
    assert chosen["MAGPIE_HOST"] == "0.0.0.0"
    assert chosen["OMP_NUM_THREADS"] == "1"
    assert chosen["PYTHONDONTWRITEBYTECODE"] == "1"


def test_onnx_runtime_reports_to_nobody(dockerfile: "list[Instruction]") -> None:
    for stage in ("build", "runtime"):
        chosen = variables([each for each in dockerfile if each.stage == stage])
        assert chosen["ORT_DISABLE_TELEMETRY"] == "1"


def test_command_is_serve_and_receives_signals_itself(runtime: "list[Instruction]") -> None:
    assert json.loads(texts(runtime, "ENTRYPOINT")[-1]) == ["magpie"]
    assert json.loads(texts(runtime, "CMD")[-1]) == ["serve"]


def test_image_names_its_licence(runtime: "list[Instruction]") -> None:
    labels = " ".join(texts(runtime, "LABEL"))
    assert 'org.opencontainers.image.licenses="Apache-2.0"' in labels


def test_versions_installed_apart_are_those_of_the_makefile(
    dockerfile: "list[Instruction]", repository: Path
) -> None:
    makefile = (repository / "Makefile").read_text()
    chosen = dict(re.findall(r"^(TORCH|TORCH_INDEX|STAND_IN) := (\S+)$", makefile, re.MULTILINE))
    given = arguments(dockerfile)
    assert {name: given[name] for name in ("TORCH", "TORCH_INDEX", "STAND_IN")} == chosen


def test_names_no_host_but_the_index_of_cpu_builds(
    dockerfile: "list[Instruction]", repository: Path
) -> None:
    named = set()
    for name in ("Dockerfile", "compose.yaml", ".dockerignore", "deploy/check-container"):
        named |= set(re.findall(r"https?://[^\s\"'$]+", (repository / name).read_text()))
    outside = {url for url in named if not url.startswith("http://127.0.0.1")}
    assert outside == {arguments(dockerfile)["TORCH_INDEX"]}


def test_nothing_enters_the_build_context_unless_it_is_named(
    dockerfile: "list[Instruction]", repository: Path
) -> None:
    rules = (repository / ".dockerignore").read_text().splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source
        for text in texts(dockerfile, "COPY")
        if "--from=" not in text
        for source in text.split()[:-1]
    }
    assert rules[0] == "*"
    assert let_in == copied
    assert {"models/*/upstream", "models/*/exports"} < set(rules)
