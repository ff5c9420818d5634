"""May this version be served? Every byte is hashed, then a child process opens it first."""

import logging
from dataclasses import dataclass
from pathlib import Path

from service.errors import CorruptArtifact
from service.index import journal
from service.index.canary import examine, look
from service.index.figures import Parity
from service.index.gates import Gate, Limits, Measured, judge
from service.index.manifest import Manifest
from service.index.snapshot import Snapshot, open_snapshot
from service.index.verification import fingerprint, verify_folder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A version that is whole and can be opened, measured beside the one that is served.

    `previous` is None where there is none to compare with, and `why_alone` says why.
    """

    candidate: Measured
    previous: Measured | None
    parity: Parity | None
    why_alone: str
    examined: journal.Examined

    def judge(self, limits: Limits) -> tuple[Gate, ...]:
        """Hold it against the gates; the first two are those it has passed to be here."""
        files = len(self.candidate.manifest.files)
        whole = Gate(
            name="hashes",
            figure=files,
            limit="every file",
            verdict="passed",
            note="sha256 as in the manifest",
        )
        opened = Gate(
            name="canary",
            figure=self.candidate.figures.probes,
            limit="opens, answers",
            verdict="passed",
            note="items asked, in a child process with limits",
        )
        rest = judge(self.candidate, self.previous, self.parity, limits, why_alone=self.why_alone)
        return (whole, opened, *rest)


def admit(folder: Path, served: Path | None = None) -> Admitted:
    """Verify and examine a version, and the one that is served beside it.

    Args:
        folder: `<indexes>/<catalogue>/<version>`.
        served: the version to compare it with; one that is damaged is not compared with.

    Raises:
        CorruptArtifact: a file is not the one that was built, or the version cannot be opened.
    """
    files = fingerprint(folder)
    manifest = verify_folder(folder)
    examined = journal.Examined(seal=manifest.seal, files=files)
    previous, why_alone = _whole(served)
    # What a child has opened before, and nobody has written to since, needs no second child.
    is_known = examined == journal.examined(journal.read(folder.parent), folder.name)
    found = (look if is_known else examine)(folder, served if previous else None)
    if fingerprint(folder) != files:
        raise CorruptArtifact(
            f"{folder.name} was written to while it was examined.", "Build the index again."
        )
    return Admitted(
        candidate=Measured(manifest, found.candidate),
        previous=Measured(previous, found.previous) if previous and found.previous else None,
        parity=found.parity,
        why_alone=why_alone,
        examined=examined,
    )


def examine_again(folder: Path) -> journal.Examined:
    """Admit a version that may have been admitted before; nearly free if nothing was written.

    Raises:
        CorruptArtifact: see `admit`; also an extra or missing file, a link or another size.
    """
    manifest = verify_folder(folder, hashes=False)
    now = journal.Examined(seal=manifest.seal, files=fingerprint(folder))
    if now == journal.examined(journal.read(folder.parent), folder.name):
        return now
    return admit(folder).examined


def open_admitted(folder: Path) -> Snapshot:
    """Open a version for serving: hashed always, by a child process first if never published.

    The journal of the catalogue says what a child has opened, by the seal of its manifest, so a
    published version costs a look into the journal. It costs a child, about a second, where
    somebody moved the pointer by hand or copied a version without its journal.

    Raises:
        CorruptArtifact: a file is not the one that was built, or the version cannot be opened.
    """
    manifest = verify_folder(folder)
    seen = journal.examined(journal.read(folder.parent), folder.name)
    if seen is None or seen.seal != manifest.seal:
        _log.info("%s was not published here: a child process opens it first", folder.name)
        examine(folder)
    return open_snapshot(folder, verify=False)


def _whole(served: Path | None) -> tuple[Manifest | None, str]:
    if served is None:
        return None, "first publication"
    try:
        return verify_folder(served), ""
    except CorruptArtifact as error:
        _log.warning("the served version is not compared with: %s", error.message)
        return None, f"the served version is damaged: {error.message}"
