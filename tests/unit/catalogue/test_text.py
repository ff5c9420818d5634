"""The sentence we embed."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.artifacts import sha256_bytes
from service.catalogue.text import TextTemplate
from service.errors import InvalidSettings
from service.types import AttributeValue

_PATTERNS = ["{a}. {b}", "{a} ({b}), {c}", "{a}。{b}", "by {b}: {a} minutes", "{a} – {b} [{c}]."]


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"title": "Jaws", "year": 1975, "genres": ["Horror", "Sea"]}, "Jaws (1975). Horror, Sea"),
        ({"title": "Powder", "genres": ["Drama"]}, "Powder. Drama"),
        ({"title": "Powder", "year": 1995}, "Powder (1995)"),
        ({"title": "Powder"}, "Powder"),
        ({"genres": ["Drama"]}, "Drama"),
        ({"year": 1995, "genres": []}, "(1995)"),
        ({}, ""),
    ],
)
def test_missing_fields_vanish_with_their_punctuation(
    attributes: dict[str, AttributeValue], text: str
) -> None:
    assert TextTemplate("{title} ({year}). {genres}").render(attributes) == text


@pytest.mark.parametrize("blank", [None, "", "  \n", [], ["", " "]])
def test_blank_values_count_as_missing(blank: AttributeValue) -> None:
    assert TextTemplate("{a}. {b}").render({"a": blank, "b": "x"}) == "x"


def test_words_that_lead_into_a_missing_field_vanish_too() -> None:
    template = TextTemplate("Title: {title}. Genres: {genres}")
    assert template.render({"title": "Heat"}) == "Title: Heat"
    assert template.render({"genres": "Crime"}) == "Genres: Crime"


def test_final_punctuation_stays_and_final_words_go_with_their_field() -> None:
    assert TextTemplate("{title}. {medium}.").render({"title": "Heat"}) == "Heat."
    assert TextTemplate("{title}, {length} minutes").render({"title": "Heat"}) == "Heat"
    assert TextTemplate("{title}.").render({}) == ""


def test_chinese_punctuation_is_handled_like_latin() -> None:
    template = TextTemplate("《{title}》，{artist}。{intro}")
    assert template.render({"title": "咖喱炒蟹", "intro": "好吃"}) == "《咖喱炒蟹》。好吃"
    assert template.render({"intro": "好吃"}) == "好吃"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1984, "1984"), (1984.0, "1984"), (0, "0"), (2.5, "2.5"), (True, "true"), (False, "false")],
)
def test_scalars_are_written_as_a_person_would(value: AttributeValue, shown: str) -> None:
    assert TextTemplate("{a}").render({"a": value}) == shown


def test_whitespace_is_folded_and_unicode_composed() -> None:
    assert TextTemplate("{a}. {b}").render({"a": " Cafe\u0301\n\tau  lait ", "b": "x"}) == (
        "Café au lait. x"
    )


def test_of_fields_joins_fields_as_sentences() -> None:
    assert TextTemplate.of_fields(["title", "description"]) == TextTemplate(
        "{title}. {description}"
    )


def test_fields_are_listed_once_in_order_of_use() -> None:
    assert TextTemplate("{b} {a} {b}").fields == ("b", "a")


def test_sha256_identifies_the_pattern() -> None:
    assert TextTemplate("{a}").sha256 == sha256_bytes(b"{a}")
    assert TextTemplate("{a}").sha256 != TextTemplate("{b}").sha256


@pytest.mark.parametrize("pattern", ["", "title", "{}", "{a", "a}", "{a} {b", "{{a}}"])
def test_pattern_without_a_readable_field_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidSettings, match="in braces"):
        TextTemplate(pattern)


@given(
    st.sampled_from(_PATTERNS),
    st.dictionaries(
        st.sampled_from("abc"),
        st.none() | st.text() | st.integers() | st.booleans() | st.lists(st.text()),
    ),
)
def test_text_is_one_composed_line_with_single_spaces(
    pattern: str, attributes: dict[str, AttributeValue]
) -> None:
    text = TextTemplate(pattern).render(attributes)
    assert unicodedata.is_normalized("NFC", text)
    assert text == " ".join(text.split())


@given(st.sampled_from(_PATTERNS), st.fixed_dictionaries(dict.fromkeys("abc", st.text("xyz ,.é"))))
def test_complete_attributes_give_the_pattern_filled_in(
    pattern: str, attributes: dict[str, str]
) -> None:
    complete = {name: f"«{value.strip()}»" for name, value in attributes.items()}
    filled = " ".join(pattern.format(**complete).split())
    assert TextTemplate(pattern).render({**complete}) == filled
