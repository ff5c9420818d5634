"""What a version must hold up to before it is served: each gate a figure, a limit, a verdict."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from service.index.figures import RECALL_PROBES, Figures, Parity
from service.index.manifest import Manifest

COMPARABLE_ITEMS = 100
"""Below this one item more or less moves every share: small versions are not compared."""

# Three standard errors of a share of 0.95 in 640 neighbours.
_SAMPLING_ERROR = 0.03


class Gate(BaseModel):
    """One check. `figure` is None where there was nothing to measure; `note` says why."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str
    figure: float | None
    limit: str
    verdict: Literal["passed", "failed", "skipped"]
    note: str = ""

    @property
    def shown(self) -> str:
        """The figure as people read it; `-` where there is none."""
        if self.figure is None:
            return "-"
        return f"{self.figure:,.0f}" if self.figure.is_integer() else f"{self.figure:g}"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much worse than the served version a new one may be.

    Attributes:
        recall: least share of the 10 true neighbours that a search must find.
        items: largest change of the number of items, as a share of the number before.
        empty: largest share of empty or short lists.
        duplicates: largest rise of the share of duplicates.
        hubs: largest rise of the share of places in lists that hubs take.
        overlap: least mean overlap@10 with the served version, if one model made both.
    """

    recall: float = 0.95
    items: float = 0.20
    empty: float = 0.01
    duplicates: float = 0.05
    hubs: float = 0.05
    overlap: float = 0.60


@dataclass(frozen=True, slots=True)
class Measured:
    """A version and what it does."""

    manifest: Manifest
    figures: Figures


def judge(
    candidate: Measured,
    previous: Measured | None,
    parity: Parity | None,
    limits: Limits,
    *,
    why_alone: str = "first publication",
) -> tuple[Gate, ...]:
    """Hold a version against its limits and against the version that is served.

    Args:
        candidate: the version to be published.
        previous: the one that is served; None if there is none to compare with.
        parity: how alike they answer; None if different models made them.
        limits: what is accepted.
        why_alone: note of the gates that need a previous version where there is none.
    """
    if previous is not None and previous.manifest.items < COMPARABLE_ITEMS:
        previous, why_alone = None, f"fewer than {COMPARABLE_ITEMS} items before"
    return (*_own(candidate, limits), *_against(candidate, previous, parity, limits, why_alone))


def _own(candidate: Measured, limits: Limits) -> Iterator[Gate]:
    built, figures = candidate.manifest.recall, candidate.figures
    yield _at_least("recall@10", built.at_10, limits.recall, f"{built.queries} queries at build")
    yield _at_least(
        "recall@10 now",
        figures.recall,
        max(0.0, limits.recall - _SAMPLING_ERROR),
        f"{min(figures.probes, RECALL_PROBES)} items",
    )
    yield _at_most("empty lists", figures.empty, limits.empty, f"{figures.probes} items asked")


def _against(
    candidate: Measured,
    previous: Measured | None,
    parity: Parity | None,
    limits: Limits,
    why_alone: str,
) -> Iterator[Gate]:
    new = candidate.figures
    if previous is None:
        alone = f"nothing to compare with: {why_alone}"
        yield _skipped("items", f"±{limits.items:.0%}", alone, candidate.manifest.items)
        yield _skipped("duplicates", f"+{limits.duplicates:g}", alone, new.duplicates)
        yield _skipped("hubs", f"+{limits.hubs:g}", alone, new.hubs)
        yield _skipped("overlap@10", f"≥ {limits.overlap:g}", alone)
        return
    yield _items(candidate.manifest.items, previous.manifest.items, limits.items)
    old = previous.figures
    yield _rise("duplicates", old.duplicates, new.duplicates, limits.duplicates)
    yield _rise("hubs", old.hubs, new.hubs, limits.hubs)
    if parity is None:
        yield _skipped("overlap@10", f"≥ {limits.overlap:g}", "another model made the one before")
    else:
        note = f"{parity.sentinels} items of both"
        yield _at_least("overlap@10", parity.overlap, limits.overlap, note)


def _items(now: int, before: int, limit: float) -> Gate:
    change = (now - before) / before
    return _gate("items", now, f"{before:,} ±{limit:.0%}", abs(change) <= limit, f"{change:+.1%}")


def _rise(name: str, before: float, now: float, limit: float) -> Gate:
    bar = min(1.0, before + limit)
    return _gate(name, now, f"≤ {bar:.3f}", now <= bar, f"{before:.3f} before")


def _at_least(name: str, figure: float, floor: float, note: str) -> Gate:
    return _gate(name, figure, f"≥ {floor:g}", figure >= floor, note)


def _at_most(name: str, figure: float, ceiling: float, note: str) -> Gate:
    return _gate(name, figure, f"≤ {ceiling:g}", figure <= ceiling, note)


def _gate(name: str, figure: float, limit: str, is_passed: bool, note: str) -> Gate:
    verdict: Literal["passed", "failed"] = "passed" if is_passed else "failed"
    return Gate(name=name, figure=round(figure, 4), limit=limit, verdict=verdict, note=note)


def _skipped(name: str, limit: str, note: str, figure: float | None = None) -> Gate:
    rounded = None if figure is None else round(figure, 4)
    return Gate(name=name, figure=rounded, limit=limit, verdict="skipped", note=note)
