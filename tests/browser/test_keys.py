"""A visitor of a service that asks for keys."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


@pytest.fixture
def stranger(visit_as: "Callable[..., Visit]", locked: tuple[str, str]) -> "Visit":
    """Somebody before the locked page, without a key."""
    visit = visit_as(origin=locked[0])
    visit.may_complain = True  # The browser writes every 401 to its console.
    visit.open("#q=coffee")
    return visit


def enter(visit: "Visit", key: str) -> None:
    visit.page.locator("#key").fill(key)
    visit.page.locator("#key").press("Enter")


def test_a_key_is_asked_for_and_opens_the_page(
    stranger: "Visit", locked: tuple[str, str], visit_as: "Callable[..., Visit]"
) -> None:
    page = stranger.page
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("This service asks for a key")
    assert stranger.ids() == []
    enter(stranger, "mgp_00000000_wrong")
    expect(heading).to_have_text("This key is not valid")
    enter(stranger, locked[1])
    expect(heading).to_have_text("coffee")
    expect(page.locator(".card")).to_have_count(40)
    stranger.after(page.reload)
    expect(heading).to_have_text("coffee")
    # It is this tab's alone: not in the address, not in what other tabs and later visits see.
    assert locked[1] not in page.url
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    other = visit_as(origin=locked[0])
    other.may_complain = True
    expect(other.open().locator("#key")).to_be_visible()


def test_a_key_can_be_forgotten(stranger: "Visit", locked: tuple[str, str]) -> None:
    page = stranger.page
    enter(stranger, locked[1])
    expect(page.locator(".card")).to_have_count(40)
    page.locator("#status-line").click()
    page.get_by_role("button", name="Forget it").click()
    expect(page.locator("#key")).to_be_visible()
    assert stranger.ids() == []
    assert page.evaluate("sessionStorage.getItem('magpie.key')") is None
