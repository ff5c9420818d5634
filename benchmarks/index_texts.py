"""Texts for an index of any size, from the real ones of ../shared/data.

There are 54,000 real texts: captions, works of art, films. The rest are made of their parts: a work
with the title of one, the artist of another and the medium of a third, and two captions in one.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from service.types import Vectors

_MODEL = "all-minilm-l6-v2"
_TEXTS_AT_ONCE = 4096


def make_texts(folder: Path, count: int, seed: int) -> list[str]:
    """All real texts and as many made ones as are missing to `count`, each once, in any order."""
    captions, works = _captions(folder / "coco-captions"), _works(folder / "tate-art")
    texts = [*captions, *(f"{title}. {artist}. {medium}." for title, artist, medium in works)]
    texts = list(dict.fromkeys([*texts, *_films(folder / "movielens-small")]))
    known, chance = set(texts), np.random.default_rng(seed)
    while len(texts) < count:
        one, other, third = chance.integers(len(works), size=3)
        made = [f"{works[one][0]}. {works[other][1]}. {works[third][2]}."]
        one, other = chance.integers(len(captions), size=2)
        made.append(f"{captions[one]} {captions[other]}")
        texts += [text for text in made if text not in known]
        known.update(made)
    return [texts[place] for place in chance.permutation(len(texts))[:count]]


def encode(models: Path, texts: list[str]) -> Iterator[Vectors]:
    """Vectors of the stand-in model, block by block, on two cores."""
    from service.encoders.exports import find_export
    from service.encoders.onnx_encoder import OnnxEncoder

    encoder = OnnxEncoder.open(find_export(models, _MODEL), threads=2)
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        yield encoder.encode_items(texts[start : start + _TEXTS_AT_ONCE])


def _captions(folder: Path) -> list[str]:
    photos = _lines(folder / "items.jsonl")
    return [str(text).strip() for photo in photos for text in (photo["text"], *photo["queries"])]  # type: ignore[misc]


def _works(folder: Path) -> list[tuple[str, str, str]]:
    works = _lines(folder / "items.jsonl")
    return [(str(work["title"]), str(work["artist"]), str(work["medium"])) for work in works]


def _films(folder: Path) -> list[str]:
    with (folder / "movies.csv").open(encoding="utf-8", newline="") as file:
        return [f"{film['title']}. {film['genres']}" for film in csv.DictReader(file)]


def _lines(path: Path) -> Iterator[dict[str, object]]:
    return map(json.loads, path.read_text(encoding="utf-8").splitlines())
