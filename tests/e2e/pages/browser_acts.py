"""What a person does in a browser beside typing and clicking."""

import base64

from playwright.sync_api import Page

DRAGGED = """files => {
  const dragged = new DataTransfer();
  for (const [name, content] of files) dragged.items.add(new File([Uint8Array.from(atob(content), each => each.charCodeAt(0))], name, {lastModified: 1}));
  return dragged;
}"""


def another(page: Page, **options) -> Page:
    """A page of another browser, in which the same people are signed in."""
    return page.context.browser.new_context(storage_state=page.context.storage_state(), **options).new_page()


def drops(page: Page, selector: str, *files: tuple[str, bytes]) -> None:
    """Drop files, each a name and its content, on a part of the page."""
    content = [[name, base64.b64encode(data).decode()] for name, data in files]
    page.dispatch_event(selector, "drop", {"dataTransfer": page.evaluate_handle(DRAGGED, content)})
