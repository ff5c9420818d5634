"""An explanation as one English sentence, of nothing but titles and attributes that exist."""

import re
from collections.abc import Iterable, Mapping, Sequence

from service.index.shelf import Shelf
from service.recommend.plan import Plan
from service.types import ItemId, Scalar, Share, Why

_TITLES = ("title", "name")
_VALUES_NAMED = 3
_PLACEHOLDER = re.compile(r"{(\w+)}")


def sentence(score: float, why: Why, plan: Plan, shelf: Shelf, *, is_promoted: bool) -> str:
    """Tell why an item is in the list, in words."""
    if plan.wish is None:
        is_given = plan.among is not None
        reason = "This is one of the given items" if is_given else "This is among the newest items"
    elif why.because:
        reason = f"This is here because {_because(why.because, plan, shelf)}"
    elif plan.query.dislike and not len(plan.wish.parts):
        reason = f"This is far from {_listed(_titles(plan, shelf))}, which you disliked"
    else:
        reason = "This is among the nearest that were left"
    if why.shared and (first := why.because[0].id):
        reason += f"; like {_quoted_title(first, shelf)} it has {_common(why.shared)}"
    if plan.wish is not None and plan.wish.is_turned_away(score - why.boost):
        reason += "; it is nearer to something that you disliked"
    if why.boost:
        reason += f"; its score was {'raised' if why.boost > 0 else 'lowered'} by a boost"
    if is_promoted:
        reason += "; it has this place as a promotion"
    return f"{reason}."


def title_of(row: int, shelf: Shelf) -> str:
    """Return what an item is called: its title or name, else what its text begins with."""
    attributes = shelf.attributes(row)
    opening = _PLACEHOLDER.search(shelf.snapshot.manifest.template_pattern)
    for key in (*_TITLES, *([opening[1]] if opening else ())):
        value = attributes.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return str(shelf.id(row))


def _because(shares: Sequence[Share], plan: Plan, shelf: Shelf) -> str:
    liked = [
        f"{_quoted_title(share.id, shelf)} ({share.share:.0%})" for share in shares if share.id
    ]
    parts = [f"you liked {_listed(liked)}"] if liked else []
    for share in shares:
        if share.id is None:
            parts.append(f"you searched for {_quoted(plan.query.text or '')} ({share.share:.0%})")
    return " and ".join(parts)


def _titles(plan: Plan, shelf: Shelf) -> list[str]:
    return [_quoted(title_of(row, shelf)) for row in plan.seeds.disliked.tolist()]


def _quoted_title(item_id: ItemId, shelf: Shelf) -> str:
    row = shelf.row(item_id)
    return _quoted(str(item_id) if row is None else title_of(row, shelf))


def _common(shared: Mapping[str, Sequence[Scalar]]) -> str:
    return _listed(
        f"{key.replace('_', ' ')} ({', '.join(str(each) for each in values[:_VALUES_NAMED])})"
        for key, values in shared.items()
    )


def _quoted(text: str) -> str:
    return f"“{text}”"


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
