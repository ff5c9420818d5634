"""A visitor follows a list to its end, comes back to it, and is told how it came about."""

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def test_a_list_followed_to_its_end_shows_every_pin_once(visit: "Visit") -> None:
    page = visit.open("#q=coffee&diversity=0.5")
    expect(page.locator("#counts")).to_contain_text("40 pins so far")
    cursors = set()
    while page.locator("#more").is_visible():
        query = visit.after(page.locator("#more").click)
        cursors.add(query["cursor"])
    ids = visit.ids()
    assert len(ids) == len(set(ids)) > 150
    assert len(cursors) == len(ids) // 40
    expect(page.locator("#counts")).to_contain_text(f"{len(ids)} pins in all")
    expect(page.locator("#notices")).to_contain_text("This is all that fits")


def test_going_back_to_a_long_list_shows_as_much_of_it(visit: "Visit") -> None:
    page = visit.open()
    visit.after(page.locator("#more").click)
    long = visit.ids()
    card = page.locator(".card").nth(70)
    card.scroll_into_view_if_needed()
    visit.after(card.locator(".card-link").click)
    page.go_back()
    expect(page.locator(".card")).to_have_count(80)
    visit.settle()
    assert visit.ids() == long
    assert page.evaluate("scrollY") > 300


def test_a_list_whose_index_is_gone_begins_again_and_says_so(visit: "Visit") -> None:
    visit.may_complain = True  # The browser writes every 410 to its console.
    page = visit.open("#q=coffee")
    before = visit.ids()
    gone = {
        "type": "urn:magpie:problem:cursor_expired",
        "title": "Gone",
        "status": 410,
        "code": "cursor_expired",
        "detail": "The index version of this cursor is no longer served.",
        "request_id": "0123abcd",
    }

    page.route("**/recommend", lambda route: route.fulfill(status=410, json=gone), times=1)
    page.locator("#more").click()
    expect(page.locator(".card")).to_have_count(80)
    assert visit.ids()[:40] == before
    assert len(set(visit.ids())) == 80
    expect(page.locator("#notices")).to_contain_text("The index has changed meanwhile")


def test_a_list_without_anything_to_go_by_says_where_it_comes_from(visit: "Visit") -> None:
    page = visit.open("#board=nobody&board=no-one")
    expect(page.locator("#counts")).to_contain_text("40 pins so far, all of them filled in from")
    expect(page.locator("#notices")).to_contain_text("None of the chosen pins is in this index")
    expect(page.locator("#notices")).to_contain_text("skipped: nobody, no-one")


def test_a_reason_unfolds_into_a_sentence(visit: "Visit") -> None:
    page = visit.open("#q=coffee")
    visit.after(page.locator(".card-link").first.click)
    title = page.get_by_role("heading", level=1).inner_text()
    reason = page.locator(".card .reason").first
    expect(reason.locator(".in-words")).to_be_hidden()
    reason.locator("summary").click()
    expect(reason.locator(".in-words")).to_contain_text(
        f"This is here because you liked “{title}” (100%)"
    )
    assert "#pin=" in page.url


def test_the_stages_of_each_answer_are_drawn_as_they_come(visit: "Visit") -> None:
    page = visit.open("#q=a+question+that+is+new+to+it")
    stages = page.locator("#stages")
    expect(stages).to_have_attribute("aria-label", visit_stages("total", "encode", "search"))
    drawn = stages.locator(".stage").all_text_contents()
    assert {"encode", "search", "rank"} <= set(drawn)
    first = stages.get_attribute("aria-label")
    visit.after(page.locator("#more").click)
    assert stages.get_attribute("aria-label") != first
    visit.after(page.reload)
    expect(page.locator("#status-line")).to_contain_text("from memory")
    expect(page.locator("#took")).to_contain_text("ms")


def visit_stages(*names: str) -> re.Pattern[str]:
    return re.compile(".*".join(rf"{name} [\d.]+ ms" for name in names))
