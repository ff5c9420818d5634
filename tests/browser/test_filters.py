"""A visitor narrows lists by every kind of attribute that the catalogue has."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def facet(visit: "Visit", key: str, kind: str) -> "Locator":
    return visit.page.locator(f'.facet[data-key="{key}"].of-{kind}')


def opened(visit: "Visit", fragment: str = "") -> None:
    page = visit.open(fragment)
    button = page.locator("#filter-button")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "true")


def test_every_kind_of_attribute_can_be_filtered_by(visit: "Visit") -> None:
    opened(visit)
    offered = visit.page.eval_on_selector_all(
        ".facet", "sets => sets.map(each => `${each.dataset.key} ${each.className}`)"
    )
    assert set(offered) >= {
        "handmade facet of-values", "language facet of-values", "tags facet of-word",
        "price facet of-number", "edition facet of-number", "edition facet of-values",
    }  # fmt: skip
    # The categories have a row of their own; titles and descriptions are nobody's filter.
    assert not {each.split()[0] for each in offered} & {"category", "title", "description"}


def test_true_and_false_are_no_texts(visit: "Visit") -> None:
    opened(visit)
    query = visit.after(facet(visit, "handmade", "values").get_by_role("button", name="Yes").click)
    assert query["filter"] == {"must": [{"key": "handmade", "match": {"any": [True]}}]}
    expect(visit.page.locator("#counts")).to_contain_text("left out by the filter")
    expect(visit.page.locator("#filter-count")).to_have_text("1")


def test_a_value_is_wanted_then_unwanted_then_neither(visit: "Visit") -> None:
    opened(visit, "#q=coffee")
    chinese = facet(visit, "language", "values").get_by_role("button", name="Chinese")
    query = visit.after(chinese.click)
    assert query["filter"]["must"] == [{"key": "language", "match": {"any": ["zh"]}}]
    with_it = visit.ids()
    query = visit.after(chinese.click)
    assert query["filter"] == {"must_not": [{"key": "language", "match": {"any": ["zh"]}}]}
    assert not set(with_it) & set(visit.ids())
    query = visit.after(chinese.click)
    assert "filter" not in query
    assert query["text"] == "coffee"


def test_a_number_has_bounds_and_they_are_in_the_address(visit: "Visit") -> None:
    opened(visit)
    price = facet(visit, "price", "number")
    price.get_by_label("Price, from").fill("10")
    query = visit.after(lambda: price.get_by_label("Price, from").press("Enter"))
    assert query["filter"]["must"] == [{"key": "price", "range": {"gte": 10}}]
    price.get_by_label("Price, up to").fill("30.5")
    query = visit.after(lambda: price.get_by_label("Price, up to").press("Enter"))
    assert query["filter"]["must"] == [{"key": "price", "range": {"gte": 10, "lte": 30.5}}]
    found = visit.ids()
    query = visit.after(visit.page.reload)
    assert query["filter"]["must"] == [{"key": "price", "range": {"gte": 10, "lte": 30.5}}]
    assert visit.ids() == found != []


def test_a_word_of_many_is_typed(visit: "Visit") -> None:
    opened(visit)
    tags = facet(visit, "tags", "word")
    tags.locator("input").fill("espresso")
    query = visit.after(lambda: tags.locator("input").press("Enter"))
    assert query["filter"]["must"] == [{"key": "tags", "match": {"any": ["espresso"]}}]
    chosen = tags.get_by_role("button", name="Espresso")
    expect(chosen).to_have_attribute("aria-pressed", "true")
    assert 0 < len(visit.ids()) < 40
    expect(visit.page.locator("#notices")).to_contain_text("This is all that fits")


def test_a_column_of_numbers_and_words_has_both(visit: "Visit") -> None:
    opened(visit)
    query = visit.after(facet(visit, "edition", "values").get_by_text("Open").click)
    assert query["filter"]["must"] == [{"key": "edition", "match": {"any": ["open"]}}]
    bounds = facet(visit, "edition", "number")
    bounds.get_by_label("Edition, up to").fill("2")
    query = visit.after(lambda: bounds.get_by_label("Edition, up to").press("Enter"))
    assert {"key": "edition", "range": {"lte": 2}} in query["filter"]["must"]
    # No edition is open and at most the second.
    expect(visit.page.locator("#message")).to_contain_text("Nothing here")
    visit.after(visit.page.locator("#filter-clear").click)
    assert len(visit.ids()) == 40
    expect(visit.page.locator("#filter-clear")).to_be_hidden()


def test_filters_follow_the_visitor_from_list_to_list(visit: "Visit") -> None:
    opened(visit)
    visit.after(facet(visit, "language", "values").get_by_role("button", name="English").click)
    wanted = [{"key": "language", "match": {"any": ["en"]}}]
    query = visit.after(visit.page.locator(".topic", has_text="Baking").click)
    assert wanted[0] in query["filter"]["must"]
    query = visit.after(visit.page.locator(".card-link").first.click)
    assert query["filter"]["must"] == wanted
    visit.page.locator("#query").fill("tea")
    query = visit.after(lambda: visit.page.locator("#query").press("Enter"))
    assert (query["text"], query["filter"]["must"]) == ("tea", wanted)


def test_the_filters_fit_a_phone(visit_as: "Callable[..., Visit]") -> None:
    visit = visit_as(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page = visit.open("#q=coffee")
    page.locator("#filter-button").tap()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    query = visit.after(
        facet(visit, "language", "values").get_by_role("button", name="Chinese").tap
    )
    assert query["filter"]["must"][0]["key"] == "language"
    expect(page.locator("#filters")).to_be_visible()
