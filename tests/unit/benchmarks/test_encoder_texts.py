from pathlib import Path

from benchmarks.encoder_texts import long_texts, pin_texts, short_texts

PINS = Path(__file__).resolve().parents[3] / "examples/pins/pins.jsonl"


def _words(text: str) -> int:
    return len(text.split())


def test_short_texts_end_with_the_sentence_nearest_to_32_tokens() -> None:
    text = "One two. " + "word " * 27 + "end. " + "more " * 40 + "stop."
    (short,) = short_texts([text], _words)
    assert _words(short) == 30
    assert short.endswith("end.")


def test_a_text_without_sentences_stays_whole() -> None:
    assert short_texts(["no full stop"], _words) == ["no full stop"]


def test_long_texts_fill_128_tokens_and_no_more() -> None:
    found = long_texts(["word " * 50] * 12, _words)
    assert len(found) == 3
    assert {_words(text) for text in found} == {128}


def test_the_sample_pins_give_texts_of_the_size_that_is_asked() -> None:
    texts = pin_texts(PINS)
    assert len(texts) > 500
    assert len(set(short_texts(texts, _words))) > 500
