"""A visitor collects pins, steers with words, and turns things away."""

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def _collect(visit: "Visit", rank: int) -> str:
    card = visit.page.locator(".card").nth(rank)
    card.locator(".collect").click()
    expect(card.locator(".collect")).to_have_attribute("aria-pressed", "true")
    return str(card.get_attribute("data-id"))


def test_a_board_recommends_from_all_its_pins_with_shares(visit: "Visit") -> None:
    page = visit.open()
    collected = [_collect(visit, rank) for rank in (1, 9, 30)]
    expect(page.locator("#board-count")).to_have_text("3")
    query = visit.after(page.locator("#board-link").click)
    assert query["like"] == collected
    expect(page.locator(".swatch")).to_have_count(3)
    assert not set(collected) & set(visit.ids())
    assert any(reason.count(" %") > 1 for reason in page.locator(".reason").all_inner_texts())


def test_words_steer_a_board(visit: "Visit") -> None:
    page = visit.open()
    first = _collect(visit, 2)
    visit.after(page.locator("#board-link").click)
    page.locator("#query").fill("coffee")
    query = visit.after(lambda: page.locator("#query").press("Enter"))
    assert (query["like"], query["text"]) == ([first], "coffee")
    expect(page.locator(".because q", has_text="coffee").first).to_be_visible()


def test_taking_a_pin_off_the_board_asks_again(visit: "Visit") -> None:
    page = visit.open()
    first, second = _collect(visit, 3), _collect(visit, 12)
    visit.after(page.locator("#board-link").click)
    query = visit.after(page.locator(".swatch .round").first.click)
    assert query["like"] == [second]
    assert first not in page.url


def test_a_board_survives_a_reload_and_stops_at_ten(visit: "Visit") -> None:
    page = visit.open()
    for rank in range(10):
        _collect(visit, rank)
    page.locator(".card").nth(15).locator(".collect").click()
    expect(page.locator("#announce")).to_contain_text("full")
    visit.after(page.reload)
    expect(page.locator("#board-count")).to_have_text("10")


def test_an_empty_board_says_how_to_fill_it(visit: "Visit") -> None:
    page = visit.open()
    page.locator("#board-link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your board is empty")


def test_less_like_this_removes_the_pin_and_can_be_undone(visit: "Visit") -> None:
    page = visit.open("#q=coffee")
    unwanted = visit.ids()[0]
    query = visit.after(page.locator(".card").first.locator(".less").click)
    assert query["dislike"] == [unwanted]
    assert unwanted not in visit.ids()
    query = visit.after(page.locator(".less-chip button").click)
    assert "dislike" not in query
    assert unwanted in visit.ids()
