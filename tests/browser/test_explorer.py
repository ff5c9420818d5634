"""A visitor looks around: feed, search, related pins, filter, diversity, history."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def test_feed_shows_pins_and_says_who_answered_and_how_fast(visit: "Visit") -> None:
    page = visit.open()
    assert len(visit.ids()) == 40
    assert "like" not in visit.queries[0]
    expect(page.locator("#took")).to_contain_text("ms")
    expect(page.locator("#answered-index")).to_contain_text("pins@2026-11-01")
    expect(page.locator("#answered-model")).to_contain_text("toy@")
    expect(page.locator("#stand-in")).to_be_visible()


def test_cards_of_the_wall_never_overlap(visit: "Visit") -> None:
    page = visit.open()
    boxes = page.eval_on_selector_all(
        ".card",
        """cards => cards.map(card => {
            const box = card.getBoundingClientRect();
            return [box.left, box.top, box.right, box.bottom];
        })""",
    )
    for index, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[index + 1 :]:
            beside = other[0] >= right - 1 or other[2] <= left + 1
            assert beside or other[1] >= bottom - 1 or other[3] <= top + 1


def test_show_more_appends_and_keeps_the_order(visit: "Visit") -> None:
    page = visit.open()
    before = visit.ids()
    query = visit.after(page.locator("#more").click)
    assert (query["k"], len(query["cursor"]) > 40) == (40, True)
    assert visit.ids()[: len(before)] == before
    assert len(visit.ids()) == 80


def test_enter_searches_at_once(visit: "Visit") -> None:
    page = visit.open()
    page.locator("#query").fill("coffee")
    query = visit.after(lambda: page.locator("#query").press("Enter"))
    assert query["text"] == "coffee"
    expect(page.get_by_role("heading", level=1)).to_have_text("coffee")
    assert page.url.endswith("#q=coffee")
    assert "coffee" in page.locator(".card").first.inner_text().lower()


def test_typing_searches_after_a_pause(visit: "Visit") -> None:
    page = visit.open()
    query = visit.after(lambda: page.locator("#query").press_sequentially("knitting"))
    assert query["text"] == "knitting"
    expect(page.locator("#query")).to_be_focused()


def test_opening_a_pin_shows_it_large_with_related_pins_and_the_reason(visit: "Visit") -> None:
    page = visit.open("#category=coffee-and-tea")
    first = page.locator(".card").nth(1)
    title = first.locator(".card-title").inner_text()
    query = visit.after(first.locator(".card-link").click)
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.get_by_role("heading", name="More like this")).to_be_visible()
    assert query["explain"] == "words"
    assert query["like"][0] not in visit.ids()
    reasons = page.locator(".reason").all_inner_texts()
    assert all(f"because of {title}" in reason for reason in reasons)
    assert any("shares" in reason and "coffee and tea" in reason for reason in reasons)


def test_a_sent_link_to_a_pin_shows_the_pin_itself(
    visit_as: "Callable[..., Visit]", visit: "Visit"
) -> None:
    page = visit.open("#q=coffee")
    visit.after(page.locator(".card-link").first.click)
    title = page.get_by_role("heading", level=1).inner_text()
    stranger = visit_as()
    stranger.open(page.url.removeprefix(visit.origin + "/"))
    expect(stranger.page.get_by_role("heading", level=1)).to_have_text(title)


def test_back_returns_to_the_same_place(visit: "Visit") -> None:
    page = visit.open()
    card = page.locator(".card").nth(25)
    card.scroll_into_view_if_needed()
    visit.after(card.locator(".card-link").click)
    assert page.evaluate("scrollY") == 0
    visit.after(page.go_back)
    assert page.evaluate("scrollY") > 300
    expect(page.get_by_role("heading", level=1)).to_have_text("Start anywhere")


def test_category_filters_every_list(visit: "Visit") -> None:
    page = visit.open()
    topic = page.locator(".topic", has_text="Baking")
    query = visit.after(topic.click)
    assert query["filter"]["must"] == [{"key": "category", "match": {"any": ["baking"]}}]
    assert set(page.locator(".card .topic-of").all_inner_texts()) == {"Baking"}
    expect(topic).to_have_attribute("aria-current", "true")
    page.locator("#query").fill("sugar")
    query = visit.after(lambda: page.locator("#query").press("Enter"))
    assert query["text"] == "sugar"
    assert set(page.locator(".card .topic-of").all_inner_texts()) == {"Baking"}


def test_diversity_changes_the_list_and_the_address(visit_as: "Callable[..., Visit]") -> None:
    visit = visit_as(reduced_motion="no-preference")  # cards glide to their new places
    page = visit.open("#q=coffee&diversity=0")
    before = visit.ids()
    query = visit.after(lambda: page.locator("#diversity").fill("0.9"))
    assert query["diversity"] == 0.9
    assert "diversity=0.9" in page.url
    assert visit.ids() != before
    visit.after(page.reload)
    expect(page.locator("#diversity")).to_have_value("0.9")


def test_catalogue_text_is_never_markup(visit: "Visit", hostile_pin: dict[str, Any]) -> None:
    page = visit.open()
    card = page.locator(".card").first
    expect(card.locator(".card-title")).to_have_text(hostile_pin["title"])
    visit.after(card.locator(".card-link").click)
    expect(page.get_by_role("heading", level=1)).to_have_text(hostile_pin["title"])
    expect(page.locator(".description")).to_have_text(hostile_pin["description"])
    assert page.locator("main img, main script").count() == 0
    assert quote(hostile_pin["id"], safe="") in page.url
    visit.open(f"#q={quote(hostile_pin['title'])}")
    expect(page.get_by_role("heading", level=1)).to_have_text(hostile_pin["title"])


def test_an_unknown_pin_is_said_to_be_unknown(visit: "Visit") -> None:
    page = visit.open("#pin=nobody")
    expect(page.get_by_role("heading", level=1)).to_have_text("This pin is not in the index")
    expect(page.locator("#notices")).to_contain_text("nobody")
    assert len(visit.ids()) > 0


def test_nothing_found_leads_on(visit: "Visit") -> None:
    page = visit.open("#q=coffee&category=no-such-category")
    expect(page.locator("#message")).to_contain_text("Nothing here")
    visit.after(page.get_by_role("link", name="Look everywhere").click)
    assert len(visit.ids()) > 0


def test_a_failure_is_explained_and_can_be_tried_again(visit: "Visit") -> None:
    visit.may_complain = True
    page = visit.open()
    problem = {
        "type": "urn:magpie:problem:overloaded",
        "title": "Service Unavailable",
        "status": 503,
        "code": "overloaded",
        "detail": "More work is waiting than can be finished in time.",
        "request_id": "0123abcd",
    }
    page.route("**/recommend", lambda route: route.fulfill(status=503, json=problem))
    visit.after(lambda: page.goto(f"{visit.origin}/#q=tea"))
    expect(page.locator("#message")).to_contain_text("More work is waiting")
    expect(page.locator("#message")).to_contain_text("0123abcd")
    page.unroute("**/recommend")
    visit.after(page.get_by_role("button", name="Try again").click)
    assert len(visit.ids()) > 0


def test_a_lost_connection_is_explained(visit: "Visit") -> None:
    visit.may_complain = True
    page = visit.open()
    page.route("**/recommend", lambda route: route.abort())
    page.goto(f"{visit.origin}/#q=tea")
    expect(page.locator("#message")).to_contain_text("did not answer")
