"""A map of a catalogue as an SVG that needs nothing else: no script, no font, no network."""

import colorsys
import math
from collections.abc import Sequence
from html import escape
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.pipelines.index_map import IndexMap
from service.pipelines.item_lines import one_line

_WIDTH: Final = 1360
_HEIGHT: Final = 960
_LEFT, _TOP, _RIGHT, _BOTTOM = 40.0, 112.0, 1080.0, 900.0
_LEGEND: Final = 1116.0
_LABEL_SIZE: Final = 15.0
_GREY: Final = "#a9adb3"
_ALONE: Final = "#2f7f86"
_INK: Final = "#22262b"
# Blue: the largest group, which gets it, should not shout.
_FIRST_HUE: Final = 0.56
_STYLE: Final = f"""
text {{ font-family: system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", "PingFang SC",
  "Microsoft YaHei", sans-serif; fill: {_INK}; }}
.title {{ font-size: 28px; font-weight: 650; letter-spacing: -0.3px; }}
.soft {{ font-size: 13px; fill: #687079; }}
.heading {{ font-size: 13px; font-weight: 650; }}
.legend {{ font-size: 13px; }}
.count {{ font-size: 13px; fill: #687079; text-anchor: end; font-variant-numeric: tabular-nums; }}
.label {{ font-size: {_LABEL_SIZE:g}px; font-weight: 650; text-anchor: middle; stroke: #fff;
  stroke-width: 4px; stroke-linejoin: round; paint-order: stroke; pointer-events: none; }}
.point {{ stroke: #fff; stroke-width: 0.8; fill-opacity: 0.86; }}
.point:hover {{ stroke: {_INK}; stroke-width: 2; fill-opacity: 1; }}
"""

# From a middle, the nearest first: pixels to the right, down, and how far that is.
_STEPS: Final = [(0.0, 0.0, 0)] + [
    (
        1.6 * distance * math.cos(turn * math.tau / 16),
        distance * math.sin(turn * math.tau / 16),
        distance,
    )
    for distance in range(8, 61, 4)
    for turn in range(16)
]
# How far a label may move to uncover one point.
_PIXELS_PER_POINT: Final = 5.0
# A group is scattered if its members are about as far from its middle as everybody is.
_SCATTERED: Final = 0.85

_Box: TypeAlias = tuple[float, float, float, float]
_Points: TypeAlias = NDArray[np.float64]


def draw(map_: IndexMap) -> str:
    """Draw a map: a point an item with its title as a tooltip, a label a group, a legend.

    A group that is all over the map has no label, and one that has no room for it has none.
    """
    points = _fit(map_.points)
    colours = _colours(points, map_.group, len(map_.groups))
    summary = _summary(map_)
    width = _WIDTH if map_.groups else _LEGEND
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {_HEIGHT}" '
            f'width="{width:g}" height="{_HEIGHT}" role="img" aria-labelledby="title summary">',
            f'<title id="title">{_xml(f"Map of {map_.manifest.catalogue}")}</title>',
            f'<desc id="summary">{_xml(" ".join(summary))}</desc>',
            f"<style>{_STYLE}</style>",
            f'<rect width="{width:g}" height="{_HEIGHT}" fill="#f6f5f1"/>',
            f'<rect x="20" y="92" width="{_RIGHT - _LEFT + 40:g}" '
            f'height="{_BOTTOM - _TOP + 40:g}" rx="14" fill="#fff"/>',
            _text(40, 48, "title", map_.manifest.catalogue),
            *(_text(40, 72, "soft", line) for line in summary[:1]),
            _draw_points(map_, points, colours),
            _draw_labels(map_, points, colours),
            _draw_legend(map_, colours),
            _text(40, _HEIGHT - 10, "soft", summary[1]),
            "</svg>\n",
        )
    )


def _summary(map_: IndexMap) -> tuple[str, str]:
    manifest = map_.manifest
    whole = len(map_.items) == manifest.items
    shown = f"all {manifest.items:,}" if whole else f"{len(map_.items):,} of {manifest.items:,}"
    stand_in = ", a stand-in" if manifest.stand_in else ""
    return (
        f"{shown} items · version {manifest.version} · model {manifest.model}{stand_in}",
        "Items that the model finds alike lie together. Distances between groups and their sizes "
        f"mean little. t-SNE of cosine distances, seed {map_.seed}.",
    )


def _fit(points: NDArray[np.float32]) -> _Points:
    """Scale to the field without changing the proportions, centred."""
    places = points.astype(np.float64)
    # Far strays must not squeeze the rest: they are drawn at the edge.
    low, high = np.percentile(places, (0.2, 99.8), axis=0)
    room = np.array([_RIGHT - _LEFT, _BOTTOM - _TOP])
    extent = np.maximum(high - low, 1e-9)
    # A mostly round cloud may be stretched a little to use a wide field.
    scale = room / extent
    scale = np.minimum(scale, 1.35 * scale.min())
    centre = np.array([_LEFT + _RIGHT, _TOP + _BOTTOM]) / 2
    fitted = centre + (places - (low + high) / 2) * scale * np.array([1, -1])
    fitted = np.clip(fitted, (_LEFT, _TOP), (_RIGHT, _BOTTOM))
    return np.asarray(fitted, np.float64)


def _medians(points: _Points, group: NDArray[np.int64], count: int) -> _Points:
    """The middle of each group: the member that lies nearest to the median of its members."""
    middles = np.empty((count, 2))
    for number in range(count):
        members = points[group == number]
        distances = np.linalg.norm(members - np.median(members, axis=0), axis=1)
        middles[number] = members[int(np.argmin(distances))]
    return middles


def _colours(points: _Points, group: NDArray[np.int64], count: int) -> list[str]:
    """Give each group a colour, so that groups close to one another look different."""
    if not count:
        return []
    middles = _medians(points, group, count)
    hues = (_FIRST_HUE + np.arange(count) / count) % 1
    free, given = list(range(count)), np.full(count, -1)
    for number in range(count):
        done = np.flatnonzero(given >= 0)
        near = np.exp(-np.linalg.norm(middles[done] - middles[number], axis=1) / 150)
        gaps = np.abs(hues[free][:, np.newaxis] - hues[given[done]])
        clash = (near * (1 - 2 * np.minimum(gaps, 1 - gaps)) ** 4).sum(axis=1)
        given[number] = free.pop(int(np.argmin(clash)))
    return [_colour(float(hues[place]), int(place) % 3 if count > 8 else 0) for place in given]


def _colour(hue: float, shade: int) -> str:
    # Yellow and green look lighter than blue at the same lightness.
    lightness = (0.47, 0.38, 0.57)[shade] - (0.07 if 0.11 < hue < 0.5 else 0.0)
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.58)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _draw_points(map_: IndexMap, points: _Points, colours: Sequence[str]) -> str:
    radius = 5.0 if len(points) < 400 else 4.2 if len(points) < 1200 else 3.2
    plain = _GREY if colours else _ALONE
    circles = (
        f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" '
        f'fill="{colours[group] if group >= 0 else plain}">'
        f"<title>{_xml(_tooltip(map_, place))}</title></circle>"
        for place, ((x, y), group) in enumerate(zip(points, map_.group, strict=True))
    )
    return "<g>\n" + "\n".join(circles) + "\n</g>"


def _tooltip(map_: IndexMap, place: int) -> str:
    item, group = map_.items[place], map_.group[place]
    name = f" · {map_.groups[group]}" if group >= 0 else ""
    return f"{item.title} ({item.id}){name}"


def _draw_labels(map_: IndexMap, points: _Points, colours: Sequence[str]) -> str:
    middles = _medians(points, map_.group, len(map_.groups))
    together = [
        number
        for number, middle in enumerate(middles)
        if _is_together(points, points[map_.group == number], middle)
    ]
    names = [one_line(map_.groups[number], 28) for number in together]
    spots = place_labels(middles[together].tolist(), names, points)
    texts = [
        _text(*spot, "label", name, f' style="fill:{_darker(colours[number])}"')
        for number, name, spot in zip(together, names, spots, strict=True)
        if spot is not None
    ]
    return "<g>\n" + "\n".join(texts) + "\n</g>"


def _is_together(points: _Points, members: _Points, middle: _Points) -> bool:
    """Tell whether a group is in one place; a label in the middle of a scattered one would lie."""
    own, all_ = (np.median(np.linalg.norm(each - middle, axis=1)) for each in (members, points))
    return bool(own <= _SCATTERED * all_)


def place_labels(
    middles: Sequence[Sequence[float]], names: Sequence[str], points: _Points
) -> list[tuple[float, float] | None]:
    """Put each label near its middle, off the labels before it, over few points, in the field.

    Args:
        middles: where each wants to be, in pixels, the most important first.
        names: what they say.
        points: float64 (n, 2), what they had better not hide.

    Returns:
        The middle of the baseline of each; None where there was no room within 60 pixels.
    """
    taken: list[_Box] = []
    placed: list[tuple[float, float] | None] = []
    for (x, y), name in zip(middles, names, strict=True):
        half = _width(name) / 2
        best, least = None, np.inf
        for right, down, distance in _STEPS:
            spot = (
                min(max(x + right, _LEFT + half), _RIGHT - half),
                min(max(y + down, _TOP), _BOTTOM),
            )
            box = _box(spot, half)
            if distance < least and not _overlaps(box, taken):
                cost = distance + _PIXELS_PER_POINT * _covered(box, points)
                best, least = (spot, cost) if cost < least else (best, least)
        placed.append(best)
        if best is not None:
            taken.append(_box(best, half))
    return placed


def _box(spot: tuple[float, float], half: float) -> _Box:
    x, y = spot
    return (x - half - 2, y - _LABEL_SIZE, x + half + 2, y + 0.35 * _LABEL_SIZE)


def _covered(box: _Box, points: _Points) -> int:
    left, top, right, bottom = box
    x, y = points[:, 0], points[:, 1]
    return int(((left < x) & (x < right) & (top < y) & (y < bottom)).sum())


def _overlaps(box: _Box, others: Sequence[_Box]) -> bool:
    left, top, right, bottom = box
    return any(
        left < other[2] and other[0] < right and top < other[3] and other[1] < bottom
        for other in others
    )


def _width(text: str) -> float:
    """About how wide a label is in pixels; a Chinese character is as wide as it is high."""
    return sum(_LABEL_SIZE * (1.0 if ord(letter) >= 0x2E80 else 0.58) for letter in text)


def _draw_legend(map_: IndexMap, colours: Sequence[str]) -> str:
    if map_.colour_by is None:
        return ""
    parts = [_text(_LEGEND, 112, "heading", one_line(map_.colour_by, 28))]
    counts = np.bincount(map_.group + 1, minlength=len(colours) + 1).tolist()
    lines = [*zip(colours, map_.groups, counts[1:], strict=True)]
    if counts[0]:
        lines.append((_GREY, "others, or none", counts[0]))
    step = min(22.0, (_HEIGHT - 40 - 134) / len(lines))
    for number, (colour, name, count) in enumerate(lines):
        y = 136 + number * step
        parts.append(f'<circle cx="{_LEGEND + 6:g}" cy="{y - 4.5:.1f}" r="5.5" fill="{colour}"/>')
        parts.append(_text(_LEGEND + 20, y, "legend", one_line(name, 24)))
        parts.append(_text(_WIDTH - 28, y, "count", f"{count:,}"))
    return "<g>\n" + "\n".join(parts) + "\n</g>"


def _darker(colour: str) -> str:
    channels = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return "#" + "".join(f"{round(0.72 * channel):02x}" for channel in channels)


def _text(x: float, y: float, style: str, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}"{more}>{_xml(text)}</text>'


def _xml(text: str) -> str:
    """Escape; a control character has no place in XML, however it is written."""
    return escape(one_line(text, 400))
