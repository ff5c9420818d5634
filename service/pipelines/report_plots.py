"""Small plots as SVG text, coloured by the page that holds them."""

from collections.abc import Sequence

_WIDTH = 320
_HEIGHT = 150
_TOP = 16
_BOTTOM = 130
_LEFT = 4
_RIGHT = 316


def histogram(counts: Sequence[int], low: float, high: float) -> str:
    """Draw counts over equal steps from `low` to `high`, the largest count written above it."""
    digits = 3 if high - low > 0.01 else 7
    labels = [(_LEFT, "start", f"{low:.{digits}f}"), (_RIGHT, "end", f"{high:.{digits}f}")]
    description = f"{sum(counts)} values from {low:.{digits}f} to {high:.{digits}f}"
    return _draw(counts, labels, gap=0.5, description=description)


def bars(counts: Sequence[int]) -> str:
    """Draw counts over 0, 1, 2 and so on, each number written below its bar."""
    step = (_RIGHT - _LEFT) / max(len(counts), 1)
    labels = [(_LEFT + step * (i + 0.5), "middle", str(i)) for i in range(len(counts))]
    description = ", ".join(f"{i}: {count}" for i, count in enumerate(counts))
    return _draw(counts, labels, gap=3, description=description)


def _draw(
    counts: Sequence[int],
    labels: Sequence[tuple[float, str, str]],
    *,
    gap: float,
    description: str,
) -> str:
    step = (_RIGHT - _LEFT) / max(len(counts), 1)
    tallest = max(counts, default=0)
    shapes = [
        f'<line class="axis" x1="{_LEFT}" y1="{_BOTTOM}" x2="{_RIGHT}" y2="{_BOTTOM}"/>',
        *(
            _bar(_LEFT + step * place, step - gap, count / tallest)
            for place, count in enumerate(counts)
            if count
        ),
        *(_text(x, _HEIGHT - 4, anchor, text) for x, anchor, text in labels),
    ]
    if tallest:
        place = counts.index(tallest)
        middle = min(max(_LEFT + step * (place + 0.5), _LEFT + 20), _RIGHT - 20)
        shapes.append(_text(middle, _TOP - 5, "middle", f"{tallest:,}"))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{description}">'
        + "".join(shapes)
        + "</svg>"
    )


def _bar(x: float, width: float, share: float) -> str:
    # At least a hair, so that a single text among thousands is seen.
    height = max(share * (_BOTTOM - _TOP), 1.5)
    return (
        f'<rect class="bar" x="{x:.1f}" y="{_BOTTOM - height:.1f}" '
        f'width="{max(width, 0.5):.1f}" height="{height:.1f}"/>'
    )


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{text}</text>'
