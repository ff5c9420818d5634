"""What columns hold, and which of them look like the id, the text and lists."""

import pytest

from service.catalogue.profile import Distinct, Profile
from service.catalogue.proposal import propose


def profile_of(rows: list[dict[str, object]]) -> Profile:
    profile = Profile()
    for row in rows:
        profile.add(row)
    return profile


def test_column_is_measured() -> None:
    profile = profile_of([{"a": 1}, {"a": 2.5}, {"a": "xyz"}, {"a": None}, {"b": [1]}])
    column = profile.columns["a"]
    assert profile.rows == 5
    assert (column.filled, profile.fill_rate(column)) == (3, 0.6)
    assert (column.kind, column.distinct.count) == ("number, text", 3)
    assert (column.least, column.most, column.longest) == (1, 2.5, 3)
    assert column.samples == ["1", "2.5", "xyz"]
    assert profile.columns["b"].kind == "list"


def test_few_values_are_counted_exactly_and_many_nearly() -> None:
    few, many = Distinct(), Distinct()
    for number in range(8000):
        few.add(str(number % 5000).encode())
    for number in range(200_000):
        many.add(str(number % 100_000).encode())
    assert (few.count, few.is_exact) == (5000, True)
    assert not many.is_exact
    assert many.count == pytest.approx(100_000, rel=0.05)


def test_films_get_the_columns_a_person_would_choose() -> None:
    profile = profile_of(
        [
            {
                "rank": row % 7,
                "movieId": row,
                "title": f"Film {row} of the series",
                "genres": ("Crime|Drama", "Comedy", "Drama|War|Crime")[row % 3],
                "year": 1990 + row % 30,
                "overview": f"The {row}th story about people who meet, part, and meet again.",
            }
            for row in range(200)
        ]
    )
    proposal = propose(profile)
    assert proposal.id == "movieId"
    assert proposal.text is not None
    assert proposal.text.pattern == "{title}. {overview}"
    assert proposal.split == {"genres": "|"}
    assert proposal.columns is not None


def test_id_is_the_column_called_id_even_if_others_are_unique_too() -> None:
    rows: list[dict[str, object]] = [
        {"sku": f"a{row}", "id": row, "name": f"Thing number {row}"} for row in range(50)
    ]
    assert propose(profile_of(rows)).id == "id"


def test_column_with_gaps_or_repeats_is_no_id() -> None:
    rows: list[dict[str, object]] = [
        {"id": row if row % 2 else None, "code": row % 5, "title": "words " * 6}
        for row in range(50)
    ]
    proposal = propose(profile_of(rows))
    assert proposal.id is None
    assert proposal.columns is None


def test_longest_prose_is_the_text_where_no_name_tells() -> None:
    rows: list[dict[str, object]] = [
        {"c1": f"k{row}", "c2": "blue", "c3": f"a rather long sentence, number {row}, of words"}
        for row in range(50)
    ]
    proposal = propose(profile_of(rows))
    assert (proposal.id, proposal.text and proposal.text.pattern) == ("c1", "{c3}")


def test_prose_with_commas_is_not_split() -> None:
    rows: list[dict[str, object]] = [
        {"id": row, "title": "A", "note": f"first {row}, then {row + 1}, then something else"}
        for row in range(50)
    ]
    assert propose(profile_of(rows)).split == {}
