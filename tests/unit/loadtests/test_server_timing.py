import pytest

from loadtests.server_timing import Stage, parse_server_timing


def test_stages_are_read_with_duration_and_description() -> None:
    header = 'total;dur=1.92, cache;desc="miss";dur=0.05, search;dur=0.5'

    assert list(parse_server_timing(header)) == [
        Stage("total", 1.92, ""),
        Stage("cache", 0.05, "miss"),
        Stage("search", 0.5, ""),
    ]


def test_commas_inside_quotes_do_not_split() -> None:
    assert list(parse_server_timing('a;desc="x, y;dur=3", b')) == [
        Stage("a", None, "x, y;dur=3"),
        Stage("b", None, ""),
    ]


@pytest.mark.parametrize("header", ["", "   ", ";;;", '"', "a b c", "=1"])
def test_nonsense_is_read_as_nothing(header: str) -> None:
    assert list(parse_server_timing(header)) == []


def test_duration_that_is_no_number_is_none() -> None:
    assert list(parse_server_timing("a;dur=soon")) == [Stage("a", None, "")]
