"""What a tuning run measured, to be read: a table and a plot of recall against speed."""

from collections.abc import Sequence
from html import escape
from math import log

from service.index.tuning import Trial, Tuned

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 760, 420, 70, 50, 30, 30


def frontier_table(tuned: Tuned) -> str:
    """Every candidate as a line of a Markdown table, the cheapest search first."""
    lines = [
        f"Compared on {tuned.trial_items:,} items.",
        "",
        "| index | effort 10, 100 | spare | recall@10 | recall@100 | cost µs | µs | build s "
        "| bytes an item | |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    lines += [_line(trial, tuned) for trial in tuned.frontier]
    return "\n".join(lines) + "\n"


def frontier_plot(tuned: Tuned, recall: float) -> str:
    """The same as an SVG picture: recall@10 to the right, searches a second upwards (log).

    Args:
        tuned: what was measured.
        recall: what was asked for, drawn as a line.
    """
    trials = tuned.frontier
    low = min([recall, *(trial.recall.at_10 for trial in trials)]) - 0.01
    rates = [1e6 / trial.cost_us for trial in trials]
    floor, ceiling = _decade(min(rates), up=False), _decade(max(rates), up=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="12" role="img" '
        f'aria-label="Recall against searches a second">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *_grid(low, floor, ceiling),
        f'<line x1="{_x(recall, low):.1f}" x2="{_x(recall, low):.1f}" y1="{_TOP}" '
        f'y2="{_HEIGHT - _BOTTOM}" stroke="#b00" stroke-dasharray="4 4"/>',
    ]
    for trial, rate in zip(trials, rates, strict=True):
        chosen = trial == tuned.chosen
        x, y = _x(trial.recall.at_10, low), _y(rate, floor, ceiling)
        colour = "#06c" if chosen else "#333" if trial.passes else "#aaa"
        anchor = "end" if x > _WIDTH - 230 else "start"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{6 if chosen else 4}" fill="{colour}"/>'
            f'<text x="{x + (-9 if anchor == "end" else 9):.1f}" y="{y + 4:.1f}" '
            f'fill="{colour}" text-anchor="{anchor}">{escape(_name(trial))}</text>'
        )
    parts.append(
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 12}" text-anchor="middle">recall@10</text>'
        f'<text x="16" y="{_TOP - 10}">searches a second, by distances computed</text></svg>'
    )
    return "\n".join(parts) + "\n"


def _line(trial: Trial, tuned: Tuned) -> str:
    effort = trial.ef_search
    verdict = "chosen" if trial == tuned.chosen else ""
    cells = [
        _name(trial),
        f"{effort.at_10}, {effort.at_100}" if effort else "all",
        f"{effort.spare_at_10}, {effort.spare_at_100}" if effort and effort.rescored else "–",
        f"{trial.recall.at_10:.4f}",
        f"{trial.recall.at_100:.4f}",
        f"{trial.cost_us:,.0f}",
        f"{trial.search_us:,.0f}",
        f"{trial.build_s:,.1f}",
        f"{trial.bytes_per_item:,.0f}",
        verdict or ("" if trial.passes else "too little recall"),
    ]
    return "| " + " | ".join(cells) + " |"


def _name(trial: Trial) -> str:
    links = "" if trial.ef_construction is None else f", ef {trial.ef_construction}"
    return trial.factory + links


def _grid(low: float, floor: float, ceiling: float) -> Sequence[str]:
    parts = []
    rate = floor
    while rate <= ceiling:
        y = _y(rate, floor, ceiling)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{rate:,.0f}</text>'
        )
        rate *= 10
    for step in range(5):
        recall = low + (1 - low) * step / 4
        parts.append(
            f'<text x="{_x(recall, low):.1f}" y="{_HEIGHT - _BOTTOM + 18}" '
            f'text-anchor="middle">{recall:.3f}</text>'
        )
    return parts


def _x(recall: float, low: float) -> float:
    return _LEFT + (recall - low) / (1 - low) * (_WIDTH - _LEFT - _RIGHT)


def _y(rate: float, floor: float, ceiling: float) -> float:
    share = log(rate / floor) / log(ceiling / floor)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _decade(rate: float, *, up: bool) -> float:
    decade = 1.0
    while decade * 10 <= rate:
        decade *= 10
    return decade * 10 if up else decade
