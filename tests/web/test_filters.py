"""What artists write is shown as they wrote it; web addresses in it become links, and none leads into this service's private pages."""

import re

import pytest

from tests.api.world import upload
from web.rendering import templates

OURS = "https://tape.example.org"


def shown(text):
    return templates().from_string("{{ text | with_links }}").render(text=text, base_url=OURS)


def linked(text):
    return re.findall(r'<a href="([^"]*)"', shown(text))


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see http://example.com.", ["http://example.com"]),
        ("(https://example.com/a?b=c#d), or", ["https://example.com/a?b=c#d"]),
        ("https://en.wikipedia.org/wiki/Tape_(band)", ["https://en.wikipedia.org/wiki/Tape_(band)"]),
        ("https://a.example.com:8443 and\nhttps://b.example.com", ["https://a.example.com:8443", "https://b.example.com"]),
        ("javascript://example.com ftp://example.com https:// https://localhost https://127.1", []),
    ],
)  # fmt: skip
def test_a_web_address_becomes_a_link_without_what_follows_it(text, links):
    assert linked(text) == links


def test_what_an_artist_writes_stays_text():
    text = '<b>"https://example.com/<script>"</b>'
    assert shown(text) == (
        "&lt;b&gt;&#34;"
        '<a href="https://example.com/" rel="nofollow ugc noopener">https://example.com/</a>'
        "&lt;script&gt;&#34;&lt;/b&gt;"
    )


@pytest.mark.parametrize("path", ["", "/", "/@alice.test", "/@did:plc:abc/7", "/@alice.test/albums/a-b", "/@alice.test/playlists/7", "/tags/tape%20loops?cursor=3", "/docs", "/docs/tracks#a"])  # fmt: skip
def test_a_link_to_a_public_page_of_ours_stays(path):
    assert linked(OURS + path) == [OURS + path]


@pytest.mark.parametrize(
    "address",
    [
        f"{OURS}/auth/login?handle=mallory.test&return_to=/studio",
        f"{OURS}/studio",
        f"{OURS}/ops/lanes",
        f"{OURS}/oauth/callback",
        f"{OURS}/tracks/7",
        f"{OURS}//auth/login",
        f"{OURS}/@alice/../auth/login",
        f"{OURS}/@alice/%2e%2e/auth/login",
        f"{OURS}/tags/../auth/login",
        f"{OURS}/@alice/albums/../../auth/login",
        f"{OURS}:443/auth/login",
        "http://tape.example.org/auth/login",
        "https://TAPE.example.org/auth/login",
        "https://me@tape.example.org/auth/login",
        "https://tape.example.org./auth/login",
        "https://tape%2eexample.org/auth/login",
        "https://ｔape.example.org/auth/login",  # noqa: RUF001
        "https://tape。example.org/auth/login",
    ],
)
def test_no_link_leads_to_a_page_of_ours_that_is_not_public(address):
    assert linked(f"a {address} b") == []
    assert address.replace("&", "&amp;") in shown(address)


def test_a_backslash_ends_a_link_since_browsers_read_it_as_a_slash():
    assert linked(f"{OURS}\\auth\\login") == [OURS]
    assert linked("https://tape.example.org\\auth@example.com/") == [OURS]


def test_pages_link_in_liner_notes_and_bios(browser, client, alice):
    text = "more at https://example.com/tape"
    track = upload(client, alice, description=text)
    client.patch("/me", json={"bio": text}, headers=alice.headers)
    for page in (f"/@alice.test/{track['id']}", "/@alice.test"):
        assert '<a href="https://example.com/tape" rel="nofollow ugc noopener">' in browser.get(page).text


@pytest.mark.parametrize(
    ("title", "shown_first"), [("01 Harbour", "H"), ("1984", "1"), ("«Élan»", "É"), ("", "")]
)
def test_a_blank_cover_shows_the_first_letter_of_a_title_that_has_one(title, shown_first):
    assert templates().from_string("{{ title | initial }}").render(title=title) == shown_first
