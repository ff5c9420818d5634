"""The Server-Timing header, in which the service says where an answer's milliseconds went."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_METRIC = re.compile(
    r'\s*([^\s;,="]+)((?:\s*;\s*[^\s;,="]+\s*=\s*(?:"[^"]*"|[^\s;,"]*))*)\s*(?:,|$)'
)
_PARAMETER = re.compile(r';\s*([^\s;,="]+)\s*=\s*(?:"([^"]*)"|([^\s;,"]*))')


@dataclass(frozen=True, slots=True)
class Stage:
    """One metric. `duration_ms` is None where the header gives none."""

    name: str
    duration_ms: float | None
    description: str


def parse_server_timing(header: str) -> Iterator[Stage]:
    """Read the metrics in order; a piece that is not well formed ends the reading.

    Source: W3C Server Timing, section 3.
    """
    position = 0
    while position < len(header) and (found := _METRIC.match(header, position)):
        parameters = {
            name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(found[2])
        }
        yield Stage(found[1], _number(parameters.get("dur", "")), parameters.get("desc", ""))
        position = found.end()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
