"""Texts of known length, from the sample pins."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

SHORT_TOKENS = 32
LONG_TOKENS = 128


def pin_texts(pins: Path) -> list[str]:
    """Read title and description of the English pins; the rivals' models know no Chinese."""
    lines = map(json.loads, pins.read_text(encoding="utf-8").splitlines())
    return [f"{p['title']}. {p['description']}" for p in lines if p.get("language") == "en"]


def short_texts(texts: Sequence[str], count: Callable[[str], int]) -> list[str]:
    """Cut each text behind the sentence that brings it nearest to 32 tokens."""
    shortened = []
    for text in texts:
        ends = [match.end() for match in re.finditer(r"[.!?](?= |$)", text)]
        parts = [text[:end] for end in ends] or [text]
        shortened.append(min(parts, key=lambda part: abs(count(part) - SHORT_TOKENS)))
    return shortened


def long_texts(texts: Sequence[str], count: Callable[[str], int]) -> list[str]:
    """Join texts, and cut at words, to about 128 tokens each."""
    joined = [" ".join(texts[i : i + 4]).split() for i in range(0, len(texts) - 3, 4)]
    cut = []
    for words in joined:
        end = len(words)
        while end > 1 and count(" ".join(words[:end])) > LONG_TOKENS:
            end -= 1
        cut.append(" ".join(words[:end]))
    return cut
