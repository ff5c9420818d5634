"""What `magpie index inspect` and `diff` print: tables, every word of a catalogue as it is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from service.cli.console import out
from service.pipelines.item_lines import harmless

if TYPE_CHECKING:
    from service.pipelines.duplicate_items import NearPairs, Repeated
    from service.pipelines.index_difference import Difference, ItemChanges, ListChanges, Listed
    from service.pipelines.inspect_index import Hubness, Inspection, Neighbourhood, Outlier
    from service.pipelines.item_lines import ItemLine


def show_neighbourhood(around: "Neighbourhood", version: str) -> None:
    """Print an item and what is nearest to it."""
    out.print(_plain(f"{around.item.title} ({around.item.id}): {around.text}"))
    rows = [
        (f"{each.cosine:.3f}", each.item.id, each.item.title, each.text)
        for each in around.neighbours
    ]
    _print_table(f"Nearest in {version}", ("cosine", "id", "title", "text"), rows)


def show_inspection(found: "Inspection") -> None:
    """Print everything that a look inside found, except every single file."""
    manifest = found.manifest
    effort, recall = manifest.ef_search, manifest.recall
    searching = f", effort {effort.at_10} at 10, {effort.at_100} at 100" if effort else ", exact"
    stand_in = " (stand-in)" if manifest.stand_in else ""
    facts = [
        ("items", f"{manifest.items:,}; {manifest.rejects:,} rows were left out"),
        ("model", f"{manifest.model}{stand_in}; check: {manifest.model_check or 'none'}"),
        ("text", manifest.template_pattern),
        ("source", manifest.source_name),
        ("type", f"{manifest.factory}{searching}, {manifest.dim} dimensions"),
        (
            "recall",
            f"{recall.at_10:.4f} at 10, {recall.at_100:.4f} at 100 ({recall.queries} queries at "
            f"build); {found.figures.recall:.4f} at 10 now",
        ),
        (
            "size",
            f"{found.size_bytes / 1e6:,.1f} MB, {found.size_bytes / manifest.items:,.0f} bytes "
            "an item",
        ),
    ]
    _print_table(f"{manifest.catalogue}@{manifest.version}", ("", ""), facts)
    parts = [(each.name, f"{each.files}", f"{each.size_bytes:,}") for each in found.parts]
    _print_table("Files", ("what", "files", "bytes"), parts)
    keys = [(each.key, each.kind, f"{each.values:,}") for each in found.attributes]
    _print_table("Attributes", ("key", "kind", "values"), keys)
    out.print(_sampled(found))
    _print_duplicates(found.repeated, found.near)
    _print_hubs(found.hubness)
    _print_outliers(found.outliers)


def _sampled(found: "Inspection") -> str:
    items = found.manifest.items
    whom = (
        f"all {items:,} items"
        if found.asked == items
        else f"{found.asked:,} of {items:,} items, chosen with seed {found.seed}"
    )
    return f"Asked for their 10 nearest: {whom}. Read for duplicates: all {items:,}."


def _print_duplicates(repeated: "tuple[Repeated, ...]", near: "NearPairs") -> None:
    for each in repeated:
        rows = [
            (f"{twins.count}", *_titles(twins.items, more=twins.count - len(twins.items)))
            for twins in each.largest
        ]
        title = f"{each.likeness.capitalize()}: {each.items:,} items in {each.groups:,} groups"
        _print_table(title, ("items", "ids", "titles"), rows)
    pairs = [(f"{pair.cosine:.4f}", *_titles((pair.first, pair.second))) for pair in near.closest]
    title = f"Nearly the same vector: {near.pairs:,} pairs, {near.asked:,} of the items asked"
    _print_table(title, ("cosine", "ids", "titles"), pairs)


def _titles(items: "tuple[ItemLine, ...]", more: int = 0) -> tuple[str, str]:
    rest = [f"and {more:,} more"] if more else []
    titles = dict.fromkeys(item.title for item in items)
    return "\n".join([*(item.id for item in items), *rest]), "\n".join(titles)


def _print_hubs(hubness: "Hubness") -> None:
    rows = [
        (f"{hub.lists:,}", f"{hub.z:.1f}", hub.item.id, hub.item.title)
        for hub in hubness.most_listed
    ]
    unlisted = (
        "items in nobody's list: unknown, as not every item was asked"
        if hubness.unlisted is None
        else f"{hubness.unlisted:.1%} of the items are in nobody's list"
    )
    title = f"In most lists: hubs (z > 10) take {hubness.share:.1%} of all places; {unlisted}"
    _print_table(title, ("lists", "z", "id", "title"), rows)


def _print_outliers(outliers: "tuple[Outlier, ...]") -> None:
    rows = [
        (f"{each.cosine:.3f}", each.item.id, each.item.title, each.nearest.title)
        for each in outliers
    ]
    title = "Farthest from their own neighbours"
    _print_table(title, ("mean cosine", "id", "title", "nearest"), rows)


def show_difference(found: "Difference") -> None:
    """Print what changed: facts, items, lists."""
    facts = [(fact.name, fact.before, fact.after) for fact in found.facts]
    _print_table("Versions", ("", found.before, found.after), facts)
    _print_items(found.items)
    _print_lists(found.lists)
    if found.parity is not None:
        out.print(
            f"Overlap@10 as the publish gate has it, new and deleted items left out: "
            f"{found.parity.overlap:.3f} over {found.parity.sentinels} items"
        )


def _print_items(items: "ItemChanges") -> None:
    out.print(
        f"Items: {items.before:,} → {items.after:,}; {items.added:,} added, "
        f"{items.removed:,} removed, {items.new_text:,} with another text, "
        f"{items.new_attributes:,} with other attributes only"
    )
    keys = [
        (key, f"{count:,}")
        for key, count in sorted(items.keys.items(), key=lambda each: (-each[1], each[0]))
    ]
    _print_table("Attributes that changed", ("key", "items"), keys)
    rows = [("added", line.id, line.title, "") for line in items.examples_added]
    rows += [("removed", line.id, line.title, "") for line in items.examples_removed]
    for each in items.examples_changed:
        title = (
            each.item.title
            if each.before == each.item.title
            else (f"{each.before} → {each.item.title}")
        )
        rows.append(("changed", each.item.id, title, ", ".join(each.keys) or "text"))
    _print_table("Examples", ("", "id", "title", "what"), rows)


def _print_lists(lists: "ListChanges") -> None:
    out.print(
        f"Of the 10 nearest {lists.overlap:.1%} stayed, over {lists.asked:,} items of both; "
        f"{lists.identical:,} lists are the same in the same order"
    )
    most = max(lists.shared, default=0)
    rows = [
        (f"{shared}", f"{count:,}", "█" * -(-30 * count // most) if count else "")
        for shared, count in reversed([*enumerate(lists.shared)])
    ]
    if lists.asked:
        _print_table("Lists by items that stayed", ("stayed", "lists", ""), rows)
    for each in lists.most_changed:
        title = f"{each.item.title} ({each.item.id}): {each.shared} stayed"
        sides = [_side(each.before, "removed"), _side(each.after, "new")]
        longest = max(map(len, sides))
        columns = [side + [""] * (longest - len(side)) for side in sides]
        _print_table(title, ("before", "after"), [*zip(*columns, strict=True)])


def _side(listed: "tuple[Listed, ...]", word: str) -> list[str]:
    return [
        f"{each.item.title} ({each.item.id})" + (f" · {word}" if each.only_here else "")
        for each in listed
    ]


def _print_table(title: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(title=_plain(title), title_justify="left", show_header=any(headings))
    for heading in headings:
        table.add_column(_plain(heading), overflow="fold")
    for row in rows:
        table.add_row(*map(_plain, row))
    out.print(table if rows else _plain(title))


def _plain(text: str) -> Text:
    """Show text as it is: square brackets are no markup, and an escape sequence stays harmless."""
    return Text("\n".join(map(harmless, text.split("\n"))))
