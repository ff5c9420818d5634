"""Two versions of a catalogue side by side: which items changed, and what people see change."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from service.index.figures import K, Parity, compare
from service.index.manifest import Manifest
from service.index.snapshot import Snapshot
from service.pipelines.item_lines import ItemLine, line_of, title_of
from service.pipelines.neighbour_lists import ask, sample_rows
from service.types import Item, ItemId, Rows

SAMPLE: Final = 500
"""Items whose lists are compared where there are more."""

Progress = Callable[[str, int, int | None], None]

_REPORT_EVERY: Final = 10_000


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that the two manifests say differently, in words."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ChangedItem:
    """An item of both versions that is not the same: what it was called and what of it changed."""

    item: ItemLine
    before: str
    keys: tuple[str, ...]


@dataclass(slots=True)
class ItemChanges:
    """Every item of both versions, compared; with the first few of each kind by name.

    Attributes:
        before: items of the first version.
        after: items of the second.
        added: only in the second.
        removed: only in the first.
        new_text: in both, with another text, so another vector.
        new_attributes: in both, with the same text, but other attributes.
        keys: how many items of both changed each attribute.
    """

    before: int
    after: int
    added: int = 0
    removed: int = 0
    new_text: int = 0
    new_attributes: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    examples_added: list[ItemLine] = field(default_factory=list)
    examples_removed: list[ItemLine] = field(default_factory=list)
    examples_changed: list[ChangedItem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Listed:
    """A place in a list; `only_here`: the other version does not have the item at all."""

    item: ItemLine
    only_here: bool


@dataclass(frozen=True, slots=True)
class ChangedList:
    """What stands below one item, before and after; `shared` of them are the same."""

    item: ItemLine
    shared: int
    before: tuple[Listed, ...]
    after: tuple[Listed, ...]


@dataclass(frozen=True, slots=True)
class ListChanges:
    """The 10 nearest of a sample of items of both versions, each asked with its own vector.

    Attributes:
        asked: how many items.
        overlap: mean share of a list that stayed; 1.0 where nobody was asked.
        shared: how many lists had 0, 1, … 10 items in common.
        identical: lists that are the same in the same order.
        most_changed: those with the least in common.
    """

    asked: int
    overlap: float
    shared: tuple[int, ...]
    identical: int
    most_changed: tuple[ChangedList, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one version to another.

    `parity` is what the publish gate compares: only items that both have count; None where
    different models made the versions.
    """

    before: str
    after: str
    facts: tuple[Fact, ...]
    items: ItemChanges
    lists: ListChanges
    parity: Parity | None
    seed: int


def difference(
    before: Snapshot,
    after: Snapshot,
    *,
    seed: int = 0,
    sample: int = SAMPLE,
    show: int = 5,
    progress: Progress = lambda stage, done, total: None,
) -> Difference:
    """Compare two versions: all items, and the lists of a sample. Same seed, same findings.

    Takes 16 bytes of memory an item.

    Args:
        before: the version that people see, or saw.
        after: the version that they will see.
        seed: for the sample.
        sample: how many items to ask.
        show: how many examples of each kind.
        progress: told how far each stage is: `compare`, `ask before`, `ask after`.
    """
    changes, kept = _compare_items(before, after, show, progress)
    return Difference(
        before=before.name,
        after=after.name,
        facts=_facts(before.manifest, after.manifest),
        items=changes,
        lists=_compare_lists(before, after, kept, seed, sample, show, progress),
        parity=compare(after, before, seed)
        if before.manifest.model == after.manifest.model
        else None,
        seed=seed,
    )


def _compare_items(
    before: Snapshot, after: Snapshot, show: int, progress: Progress
) -> tuple[ItemChanges, Rows]:
    """Count what changed; also int64 (n, 2), the rows of the items that both versions have."""
    size = len(before.table)
    changes = ItemChanges(size, len(after.table))
    kept = array("q")
    guess = -1
    for row in range(size):
        old = before.table.item(row)
        # A rebuilt catalogue mostly has the order it had: look at the next row first.
        guess = _find(after, old.id, guess + 1)
        if guess < 0:
            changes.removed += 1
            if len(changes.examples_removed) < show:
                changes.examples_removed.append(ItemLine(old.id, title_of(old)))
        else:
            kept.extend((row, guess))
            _note_change(changes, old, after.table.item(guess), show)
        if not (row + 1) % _REPORT_EVERY or row + 1 == size:
            progress("compare", row + 1, size)
    rows = np.frombuffer(kept, np.int64).reshape(-1, 2) if kept else np.empty((0, 2), np.int64)
    is_new = np.ones(len(after.table), np.bool_)
    is_new[rows[:, 1]] = False
    new = np.flatnonzero(is_new)
    changes.added = len(new)
    changes.examples_added = [line_of(after.table, int(row)) for row in new[:show]]
    return changes, rows


def _find(snapshot: Snapshot, item_id: ItemId, guess: int) -> int:
    if guess < len(snapshot.table) and snapshot.table.id(guess) == item_id:
        return guess
    row = snapshot.table.row(item_id)
    return -1 if row is None else row


def _note_change(changes: ItemChanges, old: Item, new: Item, show: int) -> None:
    if old == new:
        return
    keys = sorted(
        key
        for key in old.attributes.keys() | new.attributes.keys()
        if old.attributes.get(key) != new.attributes.get(key)
    )
    for key in keys:
        changes.keys[key] = changes.keys.get(key, 0) + 1
    if old.text != new.text:
        changes.new_text += 1
    else:
        changes.new_attributes += 1
    if len(changes.examples_changed) < show:
        line = ItemLine(new.id, title_of(new))
        changes.examples_changed.append(ChangedItem(line, title_of(old), tuple(keys)))


def _compare_lists(
    before: Snapshot,
    after: Snapshot,
    kept: Rows,
    seed: int,
    sample: int,
    show: int,
    progress: Progress,
) -> ListChanges:
    pairs = _choose(before, after, kept, seed, sample)
    if not len(pairs):
        return ListChanges(0, 1.0, (0,) * (K + 1), 0, ())
    old = ask(before, pairs[:, 0], K, lambda done: progress("ask before", done, len(pairs)))
    new = ask(after, pairs[:, 1], K, lambda done: progress("ask after", done, len(pairs)))
    shared, shares, identical = [], [], 0
    for old_rows, new_rows in zip(old.listings(), new.listings(), strict=True):
        old_ids = [before.table.id(int(row)) for row in old_rows]
        new_ids = [after.table.id(int(row)) for row in new_rows]
        shared.append(len(set(old_ids) & set(new_ids)))
        longest = max(len(old_ids), len(new_ids))
        shares.append(shared[-1] / longest if longest else 1.0)
        identical += old_ids == new_ids
    worst = [place for place in np.argsort(shares, kind="stable")[:show] if shares[place] < 1]
    return ListChanges(
        asked=len(pairs),
        overlap=float(np.mean(shares)),
        shared=tuple(np.bincount(shared, minlength=K + 1).tolist()),
        identical=identical,
        most_changed=tuple(
            ChangedList(
                item=line_of(after.table, int(pairs[place, 1])),
                shared=shared[place],
                before=_listed(before, after, old.listings()[place]),
                after=_listed(after, before, new.listings()[place]),
            )
            for place in worst
        ),
    )


def _choose(before: Snapshot, after: Snapshot, kept: Rows, seed: int, sample: int) -> Rows:
    # As many as the slower of the two indexes answers in reasonable time.
    for snapshot in (before, after):
        sample = min(sample, len(sample_rows(snapshot, sample, seed)))
    if len(kept) <= sample:
        return kept
    chosen = np.random.default_rng(seed).choice(len(kept), sample, replace=False)
    return kept[np.sort(chosen)]


def _listed(snapshot: Snapshot, other: Snapshot, rows: Rows) -> tuple[Listed, ...]:
    lines = (line_of(snapshot.table, int(row)) for row in rows)
    return tuple(Listed(line, other.table.row(line.id) is None) for line in lines)


def _facts(before: Manifest, after: Manifest) -> tuple[Fact, ...]:
    old, new = _described(before), _described(after)
    return tuple(
        Fact(name, old.get(name, "-"), new.get(name, "-"))
        for name in old | new
        if old.get(name) != new.get(name)
    )


def _described(manifest: Manifest) -> dict[str, str]:
    """What a manifest says, in words; not its times and hashes, which always differ."""
    size = sum(entry.size_bytes for entry in manifest.files.values())
    effort = manifest.ef_search
    return {
        "items": f"{manifest.items:,}",
        "rows left out": f"{manifest.rejects:,}",
        "model": str(manifest.model) + (" (stand-in)" if manifest.stand_in else ""),
        "export": manifest.model.digest[:12],
        "model check": manifest.model_check or "none",
        "template": manifest.template_pattern,
        "source": manifest.source_name,
        "source sha256": manifest.source_sha256[:12],
        "dimensions": f"{manifest.dim:,}",
        "type": manifest.factory,
        "effort at 10 and 100": f"{effort.at_10} and {effort.at_100}" if effort else "exact",
        "recall@10": f"{manifest.recall.at_10:.4f}",
        "recall@100": f"{manifest.recall.at_100:.4f}",
        "size": f"{size / 1e6:,.1f} MB",
        **{f"tool {name}": version for name, version in sorted(manifest.tools.items())},
    }
