"""The page fits a phone, obeys the keyboard, and can be read in light and in dark."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

AA_NORMAL_TEXT = 4.5
VIEWS = ["#", "#q=coffee", "#category=baking", "#board="]

# The browser resolves the colours (they are written as OKLCH); luminance as WCAG 2.2 defines it.
CONTRASTS = """() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return canvas.getImageData(0, 0, 1, 1).data;
    };
    const luminance = ([r, g, b]) => [r, g, b]
        .map(each => each / 255)
        .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
        .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
    const ground = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const found = rgba(getComputedStyle(each).backgroundColor);
            if (found[3] > 200) return found;
        }
        return rgba("white");
    };
    const texts = ".card-title, .excerpt, .topic-of, .because, .because em, .common, .percent,"
        + " .heading h1, .heading p, .topic, .topic-more, .sheet-title, .description, .tag,"
        + " .facts dt, .facts dd, .button, .status span, .status strong, .count, .less-chip,"
        + " .dial label, .dial-end, .dial output, .swatch-title, .notice, .in-words, .facet legend,"
        + " .filter-button, #filter-count, .choice > span, .bounds > span, .stage > span";
    return [...document.querySelectorAll(texts)]
        .filter(element => element.checkVisibility() && element.textContent.trim())
        .map(element => {
            const pair = [rgba(getComputedStyle(element).color), ground(element)].map(luminance);
            const [dark, light] = pair.sort((a, b) => a - b);
            return [(light + 0.05) / (dark + 0.05), element.className, element.textContent];
        });
}"""


def _unreadable(visit: "Visit") -> list[Any]:
    found: list[Any] = visit.page.evaluate(CONTRASTS)
    assert found
    return [each for each in found if each[0] < AA_NORMAL_TEXT]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast_aa(visit_as: "Callable[..., Visit]", scheme: str) -> None:
    visit = visit_as(color_scheme=scheme)
    page = visit.open()
    # Enough cards that every theme and every tone is among them.
    while page.locator("#more").is_visible():
        visit.after(page.locator("#more").click)
    page.locator("#filter-button").click()
    assert _unreadable(visit) == []
    pin, other = visit.ids()[5], visit.ids()[50]
    for view in (f"#pin={pin}", f"#board={pin}&board={other}&less=nobody"):
        visit.after(lambda view=view: page.goto(f"{visit.origin}/{view}"))  # type: ignore[misc]
        page.locator(".reason summary").first.click()
        assert _unreadable(visit) == []
    for presses in range(2):  # wanted, then unwanted
        visit.after(page.get_by_role("button", name="English").click)
        assert _unreadable(visit) == [], presses


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_screens_scroll_only_downwards(visit_as: "Callable[..., Visit]", width: int) -> None:
    visit = visit_as(viewport={"width": width, "height": 760}, has_touch=True)
    page = visit.open()
    for view in [*VIEWS, f"#pin={visit.ids()[3]}"]:
        visit.open(view)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    columns = {
        round(left)
        for left in page.eval_on_selector_all(
            ".card", "cards => cards.map(card => card.getBoundingClientRect().left)"
        )
    }
    assert len(columns) >= 2


def test_a_phone_can_do_everything(visit_as: "Callable[..., Visit]") -> None:
    visit = visit_as(viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    page = visit.open()
    collect = page.locator(".card .collect").first
    box = collect.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 32
    collect.tap()
    expect(page.locator("#board-count")).to_have_text("1")
    visit.after(page.locator(".card-link").nth(2).tap)
    expect(page.locator(".sheet-title")).to_be_visible()
    expect(page.locator("#answered-index")).to_be_visible()
    expect(page.locator("#stand-in")).to_be_visible()
    visit.after(page.get_by_role("button", name="Back").tap)
    expect(page.get_by_role("heading", level=1)).to_have_text("Start anywhere")


def test_the_keyboard_is_enough(visit: "Visit") -> None:
    page = visit.open()
    page.keyboard.press("/")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("coffee")
    visit.after(lambda: page.keyboard.press("Enter"))
    page.locator(".card-link").first.focus()
    visit.after(lambda: page.keyboard.press("Enter"))
    expect(page.locator(".sheet-title")).to_be_focused()
    visit.after(lambda: page.keyboard.press("Escape"))
    expect(page.get_by_role("heading", level=1)).to_have_text("coffee")


def test_the_skip_link_passes_the_categories(visit: "Visit") -> None:
    page = visit.open("#category=baking")
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    assert page.url.endswith("#category=baking")


def test_all_categories_can_be_unfolded(visit: "Visit") -> None:
    page = visit.open()
    more = page.locator("#topic-more")
    more.click()
    expect(more).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".topic").last).to_be_in_viewport()


def test_details_of_the_answer_can_be_unfolded(visit: "Visit") -> None:
    page = visit.open("#q=a+question+nobody+asked+before")
    page.locator("#status-line").click()
    details = page.locator("#status-list")
    expect(details).to_contain_text("Recall@10")
    expect(details).to_contain_text("encode")
