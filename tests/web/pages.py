"""What every page must be, and how to look into one."""

import gzip
import re

from web.static_files import static_files

HOSTILE = '"><script>alert(1)</script>'
"""A text that runs where a page does not escape it."""
AS_BROWSERS = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
MAX_PAGE_BYTES = 60_000
NOT_COUNTED = (".ico", ".png", ".svg", ".woff2")
VALUE = re.compile(r'"[^"]*"')
"""The value of an attribute: in it, a text that looks like an attribute is a text."""
ATTRIBUTE = re.compile(r"<[^>]*\s(on[a-z]+|style)=", re.IGNORECASE)
IMPORT = re.compile(r'^import .* from "\./([^"]+)";$', re.MULTILINE)
INLINE = re.compile(
    r"<style|<script(?![^>]*(?:\ssrc=|\stype=.application/ld[+]json))[^>]*>|javascript:", re.IGNORECASE
)


def seated(client, person):
    """The client as a browser in which this person is signed in."""
    client.headers.update(AS_BROWSERS)
    client.cookies.set("mastertape_session", person.token)
    return client


def policy_of(answer):
    return dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))


def assert_runs_only_our_files(answer):
    """A page that can run nothing but what lies under our own path."""
    policy = policy_of(answer)
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert re.fullmatch(r"http://127\.0\.0\.1:8000/static/[0-9a-f]{12}/", policy["script-src"])
    assert policy["style-src"] == policy["script-src"]
    assert policy["img-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["vary"] == "Accept, Cookie"
    assert answer.headers["cache-control"] == "no-store"
    assert ATTRIBUTE.search(VALUE.sub('""', answer.text)) is None
    assert INLINE.search(answer.text) is None


def assert_small(answer):
    """A page that is small with its styles, its scripts and what they import, compressed as they are sent; beside fonts and images."""
    used = set(re.findall(r'(?:src|href)="/static/[0-9a-f]{12}/([^"]+)"', answer.text))
    assert "site.css" in used
    scripts = [static_files().files[name].content.decode() for name in used if name.endswith(".js")]
    used |= {name for script in scripts for name in IMPORT.findall(script)}
    files = sum(len(static_files().files[name].compressed) for name in used if not name.endswith(NOT_COUNTED))
    assert len(gzip.compress(answer.content)) + files < MAX_PAGE_BYTES


def assert_safe(answer):
    """A page that is small, and runs only our files although it shows HOSTILE."""
    assert answer.status_code == 200
    assert_runs_only_our_files(answer)
    assert_small(answer)


def said(html):
    """The words of a part of a page, without its marks."""
    return " ".join(re.sub("<[^>]+>", " ", html).split())


def event(page, version):
    return page.text.split(f'id="v{version}"')[1].split("</li>")[0]


def seen(told, label):
    """A change as it is read: its field, and the values before and after."""
    return f"{label} {said(told.split(f'<dt>{label}')[1].split('</div>')[0])}"
