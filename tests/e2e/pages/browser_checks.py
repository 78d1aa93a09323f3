"""Looks at pages in Chromium: messages of the policy, axe-core, and pictures in both themes and widths.

Pictures are taken only with TEST_PICTURES, the folder for them. With it or TEST_DEEP each theme is looked at in each width.
"""

import json
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path

from playwright.sync_api import Page

from devpds.node import FOLDER

THEMES = ("light", "dark")
WIDTHS = {"desktop": 1280, "phone": 390}
HEIGHT = 900
PICTURES = os.environ.get("TEST_PICTURES")
VIEWS = (
    tuple(product(THEMES, WIDTHS))
    if PICTURES or os.environ.get("TEST_DEEP")
    else tuple(zip(THEMES, WIDTHS, strict=True))
)
"""A theme changes colours alone and a width the layout alone: two views show both of each."""
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
OF_A_VIEW = {
    "type": "rule",
    "values": ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"],
}
"""The rules that colours or the layout can break: the others find in one view what they find in each."""
CAN_BE_HIDDEN = "Object.defineProperty(document, 'hidden', {get: () => window.isHidden === true})"
ENDS_TRANSITIONS = "document.getAnimations().forEach(each => each.finish());0"
"""A transition that began under another theme goes on where motion is reduced."""
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


@contextmanager
def silent_console(page: Page) -> Generator[None]:
    """Fail if a page of the block breaks its policy, or if a script of it fails."""
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said.text) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield
    assert complaints == [], complaints


def assert_good_in_every_view(page: Page, name: str) -> None:
    """The open page, in both themes and widths: nothing lies beside the screen, axe finds nothing; `name` is the pictures'."""
    page.wait_for_load_state()
    rules = RULES
    for theme, width in views(page):
        picture(page, f"{name}-{width}-{theme}")
        assert evaluate(page, FITS), f"{name} is wider than a {width}"
        found, rules = violations(page, rules), OF_A_VIEW if len(VIEWS) == len(THEMES) else RULES
        assert found == [], f"{name} on a {width} in {theme}: {json.dumps(found, indent=1)}"


def views(page: Page) -> Iterator[tuple[str, str]]:
    before = page.viewport_size
    for theme, width in VIEWS:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.set_viewport_size({"width": WIDTHS[width], "height": HEIGHT})
        evaluate(page, ENDS_TRANSITIONS)
        yield theme, width
    page.emulate_media(color_scheme="null", reduced_motion="null")
    if before is not None:
        page.set_viewport_size(before)


def can_be_hidden(page: Page) -> None:
    """Let `hides` and `shows` say whether the pages that are opened next are hidden."""
    page.add_init_script(CAN_BE_HIDDEN)


def hides(page: Page) -> None:
    evaluate(page, "window.isHidden = true; document.dispatchEvent(new Event('visibilitychange'))")


def shows(page: Page) -> None:
    evaluate(page, "window.isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def violations(page: Page, rules: dict[str, object]) -> list[dict[str, object]]:
    """What axe-core finds wrong with the page as it is: the rule, why, and where."""
    if not evaluate(page, "'axe' in window"):
        evaluate(page, f"{_axe()};0")
    run = f"axe.run(document, {{runOnly: {json.dumps(rules)}, resultTypes: ['violations']}})"
    told = "found => found.violations.map(({id, help, nodes}) => ({id, help, where: nodes.map(each => each.html.slice(0, 300) + ' ' + each.failureSummary)}))"
    return evaluate(page, f"{run}.then({told})")


@cache
def _axe() -> str:
    return AXE.read_text()


def evaluate(page: Page, expression: str):
    """Evaluate through the debugger, which no policy of the page concerns."""
    session = page.context.new_cdp_session(page)
    try:
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = session.send("Runtime.evaluate", asked)
    finally:
        session.detach()
    assert "exceptionDetails" not in answer, answer["exceptionDetails"]
    return answer["result"]["value"]


def _is_complaint(text: str) -> bool:
    return "Content Security Policy" in text or "Content-Security-Policy" in text
