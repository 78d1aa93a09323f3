"""Uses a page with the keyboard alone. What Tab reaches on the way must show that it has the focus."""

from playwright.sync_api import Locator, Page, expect

MOST_TABS = 60
FOCUS = """() => {
  const focused = document.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(focused);
  const { x, y, width, height } = focused.getBoundingClientRect();
  const onTop = document.elementFromPoint(x + width / 2, y + height / 2);
  return {
    name: focused.cloneNode().outerHTML,
    isOutlined: outlineStyle !== "none" && parseFloat(outlineWidth) > 0,
    isCovered: onTop !== null && !focused.contains(onTop) && !onTop.contains(focused),
  };
}"""
WITH_A_RING_OF_ITS_OWN = "<audio"
"""The focus is on one of the browser's own controls in it."""


def tabs_to(page: Page, wanted: Locator) -> None:
    expect(wanted).to_be_visible()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        assert_shows_the_focus(page)
        if wanted.evaluate("each => each === document.activeElement"):
            return
    raise AssertionError(f"{wanted} is not reached with {MOST_TABS} tabs")


def presses(page: Page, name: str, **which: bool) -> None:
    tabs_to(page, page.get_by_role("button", name=name, **which))
    page.keyboard.press("Enter")


def follows(page: Page, name: str, **which: bool) -> None:
    tabs_to(page, page.get_by_role("link", name=name, **which))
    page.keyboard.press("Enter")


def assert_shows_the_focus(page: Page) -> None:
    focus = page.evaluate(FOCUS)
    assert not focus["isCovered"], f"something lies over {focus['name']}"
    assert focus["isOutlined"] or focus["name"].startswith(WITH_A_RING_OF_ITS_OWN), focus
