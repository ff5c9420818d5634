"""The page of a check: what a person reads before trusting an export. No script, no network."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from service.artifacts import write_atomic
from service.pipelines.check_report import CheckReport, Comparison, Gate, RankingLoss
from service.pipelines.report_plots import bars, histogram

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #626b7d; --line: #dde1e8;
  --paper: #fff; --field: #f5f6f9; --bar: #4a6fa5; --good: #1d7a46; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaf0; --soft: #9aa3b5; --line: #343b49;
  --paper: #161a22; --field: #1f2530; --bar: #8fb3e8; --good: #6cc992; --bad: #f2968f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 58rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .6rem; font-size: 1.2rem; }
h3 { margin: 1.6rem 0 .3rem; font-size: 1rem; }
p { margin: .4rem 0; max-width: 44rem; }
.soft, figcaption, dt { color: var(--soft); }
.verdict { display: inline-block; margin: .8rem 0 .2rem; padding: .2rem .8rem; border-radius: 1rem;
  border: 2px solid; font-weight: 650; }
.passed { color: var(--good); } .failed { color: var(--bad); } .unproven { color: var(--soft); }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; } .number { text-align: right; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: .6rem 0; }
dd { margin: 0; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
figure { margin: .5rem 0; padding: .8rem .9rem; background: var(--field); border-radius: .6rem; }
figcaption { margin-bottom: .4rem; font-size: .9rem; }
svg { display: block; width: 100%; height: auto; }
svg .bar { fill: var(--bar); } svg .axis { stroke: var(--line); }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
"""
_VERDICTS = {
    "passed": "Passed: every gate was met.",
    "failed": "Failed: at least one gate was not met. Indexes are not built with it.",
    "unproven": "Unproven: there was nothing to compare it with.",
}


def write_page(report: CheckReport, path: Path) -> None:
    """Write a report as one HTML file that loads nothing from elsewhere."""
    write_atomic(path, page(report).encode())


def page(report: CheckReport) -> str:
    """Render a report as a whole HTML page."""
    parts = [
        _header(report),
        _gates(report.gates),
        *(_comparison(each) for each in report.comparisons if each.overlap_at_10 is not None),
        _ranking(report.ranking),
        _steadiness([each for each in report.comparisons if each.overlap_at_10 is None]),
        _golden(report),
        _provenance(report),
    ]
    title = escape(f"{report.model.id} in {report.precision}: {report.verdict}")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def _header(report: CheckReport) -> str:
    origin = {
        "converted": "converted from the publisher's weights",
        "publisher": "the publisher's own ONNX file",
    }[report.origin]
    recipe = f'<p class="soft">Made by: {escape(report.recipe)}</p>\n' if report.recipe else ""
    return (
        f"<header>\n<h1>{escape(report.model.id)} in {report.precision}</h1>\n"
        f'<p class="soft">Revision {escape(report.model.revision)}, {origin}, '
        f"{report.dim} numbers a vector</p>\n{recipe}"
        f'<p class="verdict {report.verdict}">{_VERDICTS[report.verdict]}</p>\n</header>'
    )


def _gates(gates: Sequence[Gate]) -> str:
    rows = [
        (
            escape(gate.name),
            _figure(gate.measured),
            f"{gate.direction} {gate.asked:g}",
            f'<span class="{_word(gate)}">{_word(gate)}</span>',
        )
        for gate in gates
    ]
    return "<h2>Gates</h2>\n" + _table(("what", "measured", "asked", "verdict"), rows)


def _word(gate: Gate) -> str:
    return "passed" if gate.passed else "failed"


def _comparison(each: Comparison) -> str:
    cosine, overlap = each.cosine, each.overlap_at_10 or 0.0
    plots = _plot(
        "Cosine of the two vectors of a text, texts in each step",
        histogram(cosine.counts, cosine.low, 1.0),
    ) + _plot(
        "Texts by how many of their ten nearest are the same",
        bars(each.shared),
    )
    worst = [(escape(one.text), _figure(one.cosine)) for one in each.worst]
    return (
        f"<h2>{escape(each.left)} ↔ {escape(each.right)}</h2>\n"
        f"<p>Over {each.texts:,} texts: mean cosine {_figure(cosine.mean)}, "
        f"1 % of the texts below {_figure(cosine.p1)}, the smallest {_figure(cosine.min)}. "
        f"Of the ten nearest other texts {overlap:.1%} are the same; the others are less similar "
        f"by {each.similarity_loss or 0.0:.3%} of what the ten best are together.</p>\n"
        f'<div class="plots">{plots}</div>\n'
        "<h3>Texts that agree least</h3>\n" + _table(("text begins", "cosine"), worst)
    )


def _ranking(ranking: Sequence[RankingLoss]) -> str:
    if not ranking:
        return ""
    rows = [
        (
            f"{escape(each.left)} ↔ {escape(each.right)}",
            f"{each.queries:,} over {each.items:,}",
            _figure(each.ndcg_left),
            _figure(each.ndcg_right),
            f"{each.loss:.2%} ({each.loss_low:.2%} to {each.loss_high:.2%})",
        )
        for each in ranking
    ]
    headings = ("from, to", "queries over items", "NDCG@10 before", "after", "loss (95 % interval)")
    return "<h2>Search with labels</h2>\n" + _table(headings, rows)


def _steadiness(comparisons: Sequence[Comparison]) -> str:
    rows = [
        (
            f"{escape(each.left)} ↔ {escape(each.right)}",
            str(each.texts),
            _figure(each.cosine.mean),
            _figure(each.cosine.min),
        )
        for each in comparisons
    ]
    headings = ("the export with itself", "texts", "mean cosine", "smallest")
    return "<h2>Steadiness</h2>\n" + _table(headings, rows)


def _golden(report: CheckReport) -> str:
    golden = report.golden
    if golden is None:
        return ""
    return (
        "<h2>Golden vectors</h2>\n"
        f"<p>Of {golden.texts} texts locked in git, the number that differs most is off by "
        f"{golden.max_error:.6f}; {golden.tolerance:g} is allowed in {report.precision}.</p>"
    )


def _provenance(report: CheckReport) -> str:
    facts = {
        "Digest of the export": report.model.digest,
        "Texts": f"{report.sample.texts:,} different, {report.sample.source}",
        "sha256 of the texts": report.sample.sha256,
        "Checked": report.checked_at,
        "Tools": ", ".join(f"{name} {version}" for name, version in report.tools.items()),
    }
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(fact)}</dd>\n" for name, fact in facts.items()
    )
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in report.notes)
    return f"<h2>What was checked</h2>\n{notes}<dl>\n{listed}</dl>"


def _plot(caption: str, svg: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{svg}</figure>"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table of cells that are HTML already; every column but the first is numbers."""
    kinds = ["", *[' class="number"'] * (len(headings) - 1)]
    head = "".join(f"<th{k}>{escape(h)}</th>" for k, h in zip(kinds, headings, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{c}</td>" for k, c in zip(kinds, row, strict=True)) + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def _figure(value: float) -> str:
    if value > 0.9999:
        return f"{value:.7f}"
    return f"{value:.4f}" if value > 0.001 else f"{value:.7f}"
