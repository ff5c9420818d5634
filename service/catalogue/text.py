"""The sentence we embed: a template over an item's attributes."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.artifacts import sha256_bytes
from service.errors import InvalidSettings
from service.types import Attributes, AttributeValue

_FIELD = re.compile(r"\{([^{}]+)\}")
# What stands between two fields: brackets that close the one before, then a joiner that only
# makes sense between two shown values, then words, signs and brackets that lead into the next.
_BETWEEN = re.compile(
    r"(?P<tail>[)\]>»”’」』）】》\"']*)(?P<joiner>[^\w(\[<«“‘「『（【《\"'#@$£€¥]*)(?P<lead>.*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Part:
    """One field of a template with the literal text that comes and goes with it."""

    joiner: str
    lead: str
    name: str
    tail: str


@dataclass(frozen=True, slots=True)
class TextTemplate:
    """A pattern such as `{title}. {genres}` that turns attributes into one line of text.

    Raises:
        InvalidSettings: the pattern names no field, or has a brace that belongs to none.
    """

    pattern: str
    _parts: tuple[_Part, ...] = field(init=False, repr=False, compare=False)
    _ending: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        literals, names = _split(self.pattern)
        if not names or any("{" in literal or "}" in literal for literal in literals):
            raise InvalidSettings(
                f"The text template {self.pattern!r} cannot be read.",
                "Write column names in braces, for example {title}. {description}",
            )
        parts, ending = _parts(literals, names)
        object.__setattr__(self, "_parts", parts)
        object.__setattr__(self, "_ending", ending)

    @classmethod
    def of_fields(cls, names: Sequence[str]) -> "TextTemplate":
        """Join fields as sentences: ["title", "description"] is `{title}. {description}`."""
        return cls(". ".join(f"{{{name}}}" for name in names))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the attributes the text is made of, each once, in order of first use."""
        return tuple(dict.fromkeys(part.name for part in self._parts))

    @property
    def sha256(self) -> str:
        """64 hex digits that identify the pattern."""
        return sha256_bytes(self.pattern.encode())

    def render(self, attributes: Attributes) -> str:
        """Return the text: NFC, one line, single spaces; empty if no field has a value.

        A missing field takes along the punctuation, brackets and words that lead into it:
        without year, `{title} ({year}), {genre}` reads `Title, Genre`. Lists are joined by ", ".
        """
        text = ""
        for part in self._parts:
            if value := _shown(attributes.get(part.name)):
                joiner = part.joiner if text else ""
                text += f"{joiner}{part.lead}{value}{part.tail}"
        if text:
            text += self._ending
        return unicodedata.normalize("NFC", " ".join(text.split()))


def _split(pattern: str) -> tuple[list[str], list[str]]:
    """Cut a pattern into its literals (one more than fields) and its field names."""
    pieces = _FIELD.split(pattern)
    return pieces[::2], pieces[1::2]


def _parts(literals: list[str], names: list[str]) -> tuple[tuple[_Part, ...], str]:
    """Give each literal, or its halves, to the fields beside it; returns the parts and the end."""
    leads, tails = [("", literals[0])], []
    for literal in literals[1:-1]:
        tail, joiner, lead = _between(literal)
        tails.append(tail)
        leads.append((joiner, lead))
    tail, ending, words = _between(literals[-1])
    # "{title}." ends every text with a full stop; "{length} minutes" needs its length.
    tails.append(tail + ending + words if words else tail)
    parts = (_Part(*lead, name, tail) for lead, name, tail in zip(leads, names, tails, strict=True))
    return tuple(parts), "" if words else ending


def _between(literal: str) -> tuple[str, str, str]:
    match = _BETWEEN.match(literal)
    assert match is not None  # every part of the pattern may be empty
    return match["tail"], match["joiner"], match["lead"]


def _shown(value: AttributeValue) -> str:
    """Write a value as a person would; empty if there is nothing to show."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return ", ".join(stripped for entry in value if (stripped := entry.strip()))
    return str(value).strip()
