"""Fills in and sends the forms of a page, as a browser without scripts would."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin


@dataclass
class Form:
    action: str
    method: str
    fields: list = field(default_factory=list)
    buttons: list = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.forms = []
        self._area = self._select = None

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        if not self.forms:
            return
        form = self.forms[-1]
        if tag == "input" and "name" in given and "disabled" not in given:
            kind = given.get("type", "text")
            if kind not in {"file", "checkbox", "radio"} or "checked" in given:
                form.fields.append((given["name"], given.get("value") or ""))
        elif tag == "textarea":
            self._area = given["name"]
            form.fields.append((self._area, ""))
        elif tag == "select":
            self._select = given["name"]
        elif tag == "option" and self._select and "selected" in given:
            form.fields.append((self._select, given["value"]))

    def handle_endtag(self, tag):
        self._area = None if tag == "textarea" else self._area
        self._select = None if tag == "select" else self._select

    def handle_data(self, data):
        if self._area:  # a browser drops the first line break, and ends lines with CR LF
            self.forms[-1].fields[-1] = (self._area, data.removeprefix("\n").replace("\n", "\r\n"))


def forms_of(page):
    reader = _Reader()
    reader.feed(page.text)
    return reader.forms


def form_to(page, action):
    """The one form of the page that goes to this address, whatever its query."""
    (found,) = [form for form in forms_of(page) if form.action.partition("?")[0] == action]
    return found


def send(browser, page, action, *, files=None, ticked=(), **changes):
    """Send the form with these fields changed, and these (name, value) ticked as well; follows to the next page."""
    form = form_to(page, action)
    fields = [(name, value) for name, value in form.fields if name not in changes]
    fields += [*changes.items(), *ticked]
    address = urljoin(str(page.url), form.action)
    if form.method == "get":
        return browser.get(address, params=fields)
    data = {}
    for name, value in fields:
        data.setdefault(name, []).append(value)
    return browser.post(address, data=data, files=files)
