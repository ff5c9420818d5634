import pytest

from service.access.rate import Rate
from service.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "per_s"), [("100/s", 100.0), ("6000/m", 100.0), ("1/h", 1 / 3600), ("90/m", 1.5)]
)
def test_a_rate_is_read_and_written_alike(text: str, per_s: float) -> None:
    rate = Rate.parse(text)
    assert rate.per_s == pytest.approx(per_s)
    assert str(rate) == text


@pytest.mark.parametrize("text", ["", "100", "0/s", "-1/s", "1.5/s", "100/d", "100/s ", "１/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="rate"):
        Rate.parse(text)
