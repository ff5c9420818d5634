from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from service.pipelines.parity_texts import PARITY_TEXTS
from service.pipelines.sentence_tokenizer import write_tokenizer

Files = dict[str, bytes]
Make = Callable[[bytes], Tokenizer]


@pytest.fixture
def made(tiny_bert: Files, place: Callable[[Files, Path], Path], tmp_path: Path) -> Make:
    """Make a tokenizer of a vocabulary and a configuration, as older models come with."""

    def make(config: bytes) -> Tokenizer:
        files = {"vocab.txt": tiny_bert["vocab.txt"], "tokenizer_config.json": config}
        write_tokenizer(place(files, tmp_path / "upstream"), tmp_path / "tokenizer.json")
        return Tokenizer.from_file(str(tmp_path / "tokenizer.json"))

    return make


def test_a_bare_vocabulary_reads_texts_as_the_publishers_tokenizer_does(
    made: Make, tiny_bert: Files
) -> None:
    reference = Tokenizer.from_str(tiny_bert["tokenizer.json"].decode())
    tokenizer = made(b'{"do_lower_case": true}')
    for text in PARITY_TEXTS:
        assert tokenizer.encode(text).ids == reference.encode(text).ids


def test_capitals_stay_where_the_publisher_says_so(made: Make) -> None:
    tokenizer = made(b'{"do_lower_case": false}')
    assert tokenizer.encode("The").ids != tokenizer.encode("the").ids
