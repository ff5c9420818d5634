"""What the kernel is really asked, in which order: every byte before the name that shows it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Catalogue = Any
Runner = Any


def traced(catalogue: Catalogue, runner: Runner, log: Path, *arguments: str) -> list[str]:
    """Run `magpie` under strace; returns its fsyncs and renames, `fsync PATH` or `rename A B`."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: the order of system calls is not looked at")
    environment = {
        **os.environ,
        "MAGPIE_MODELS_DIR": str(runner.models),
        "MAGPIE_INDEXES_DIR": str(catalogue.indexes),
        "MAGPIE_MODEL": "toy",
    }
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2"
    command = [strace, "-f", "-y", "-s", "500", "-e", calls, "-o", str(log)]
    ran = subprocess.run(
        [*command, sys.executable, "-m", "service", *arguments],
        env=environment,
        capture_output=True,
        check=False,
    )
    if b"PTRACE" in ran.stderr or b"ptrace" in ran.stderr:
        pytest.skip("processes cannot be traced here: the order of system calls is not looked at")
    assert ran.returncode == 0, ran.stderr
    lines = []
    for line in log.read_text(encoding="utf-8").splitlines():
        if found := re.search(r"fsync\(\d+<(.*?)>\)", line):
            lines.append(f"fsync {found[1]}")
        elif found := re.search(r'rename\w*\((?:AT_FDCWD\S*, )?"(.*?)", .*?"(.*?)"', line):
            lines.append(f"rename {found[1]} {found[2]}")
    folder = f"{catalogue.folder}/"
    return [
        re.sub(
            r"[0-9a-f]{8}\.tmp", "TMP", re.sub(r"(-[0-9a-f]{4})-[0-9a-f]{8}", r"\1", each)
        ).replace(folder, "")
        for each in lines
        if str(catalogue.folder) in each
    ]


def test_publication_forces_journal_then_pointer_then_their_folder(
    catalogue: Catalogue, runner: Runner, tmp_path: Path
) -> None:
    calls = traced(catalogue, runner, tmp_path / "trace", "index", "publish", "pins")
    assert calls[-5:] == [
        "fsync JOURNAL.jsonl",
        f"fsync {catalogue.folder}",
        "fsync .CURRENT.TMP",
        "rename .CURRENT.TMP CURRENT",
        f"fsync {catalogue.folder}",
    ]


def test_version_is_forced_whole_before_it_has_its_name(
    catalogue: Catalogue, runner: Runner, tmp_path: Path
) -> None:
    before = {path.name for path in catalogue.folder.iterdir()}
    calls = traced(catalogue, runner, tmp_path / "trace", *catalogue.commands["build"])
    (version,) = (
        path for path in catalogue.folder.iterdir() if path.name not in before and path.is_dir()
    )
    named = next(n for n, call in enumerate(calls) if call.endswith(f" {version.name}"))
    staging = calls[named].split()[1]
    forced = {call.removeprefix(f"fsync {staging}").lstrip("/") for call in calls[:named]}
    inside = {str(path.relative_to(version)) for path in version.rglob("*")}
    assert inside | {""} <= forced
    assert calls[named - 1] == f"fsync {staging}"
    assert calls[named + 1] == f"fsync {catalogue.folder}"
