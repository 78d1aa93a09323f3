"""What a link to a page gives programs: previews, feeds, frames, the sitemap; and who is sent to the API instead."""

import json
import re
from html import unescape
from itertools import product
from xml.etree import ElementTree as ET

import pytest

from api.middleware.rate_limits import RateLimits
from api.readers import feeds
from eventstore.streams.buckets import BUCKETS
from tests.api.lists.requests import create
from tests.api.world import upload
from tests.media_samples import samples

BASE = "http://127.0.0.1:8000"
ATOM = "{http://www.w3.org/2005/Atom}"
ITUNES = "{http://www.itunes.com/dtds/podcast-1.0.dtd}"
ROBOTS = {
    "Slack": {"User-Agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Accept": "*/*", "Range": "bytes=0-32768"},
    "Facebook": {"User-Agent": "facebookexternalhit/1.1", "Accept": "*/*", "Accept-Encoding": "deflate, gzip", "Range": "bytes=0-524288"},
    "Discord": {"User-Agent": "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "Accept": "*/*"},
    "Bluesky's cards": {"User-Agent": "Bluesky Cardyb/1.1; +mailto:support@bsky.app", "Accept": "*/*"},
    "a podcast client": {"User-Agent": "AntennaPod/3.4.0", "Accept": ""},
}  # fmt: skip


@pytest.fixture
def tracks(client, alice):
    return [upload(client, alice, title=f"Song {seed}", seed=seed) for seed in (1, 2)]


@pytest.fixture
def track(tracks):
    return tracks[0]


@pytest.fixture
def album(client, alice, tracks):
    return create(client, alice, *reversed(tracks), title="Pressings", release_date="2026-11-30")


@pytest.fixture
def unlisted(client, alice):
    made = upload(client, alice, title="Hidden", seed=9)
    client.patch(f"/tracks/{made['id']}", json={"unlisted": True}, headers=alice.headers)
    return made


def page_of(track):
    return f"/@alice.test/{track['id']}"


def parsed(answer):
    return ET.fromstring(answer.content)  # noqa: S314 - our own


def feed(client, address):
    answer = client.get(f"{address}/feed.xml")
    assert answer.headers["content-type"].startswith("application/rss+xml")
    return parsed(answer).find("channel")


def test_a_robot_that_makes_previews_reads_a_page_with_its_card_and_fetches_what_that_names(
    subtests, client, alice
):
    track = upload(client, alice, image=samples.png())
    for robot, headers in ROBOTS.items():
        with subtests.test(robot):
            answer = client.get(page_of(track), headers=headers)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/html")
            card = dict(re.findall(r'"((?:og|twitter):\w+)" content="([^"]+)"', answer.text))
            assert {"og:title", "og:description", "og:url", "twitter:card"} < set(card)
            for name in ("image", "audio"):
                fetched = client.get(unescape(card[f"og:{name}"]).removeprefix(BASE), headers=headers)
                assert fetched.is_success
                assert fetched.headers["content-type"].startswith(f"{name}/")


def test_a_podcast_client_follows_a_feed_to_its_audio_and_reads_that_in_parts(client, tracks):
    asked = ROBOTS["a podcast client"]
    feeds_of_page = re.findall(
        r'type="application/rss[+]xml" href="([^"]+)"', client.get("/@alice.test", headers=asked).text
    )
    channel = parsed(client.get(feeds_of_page[0].removeprefix(BASE), headers=asked)).find("channel")
    enclosure = channel.find("item").find("enclosure")
    address = enclosure.get("url").removeprefix(BASE)
    assert client.head(address, headers=asked).headers["content-length"] == enclosure.get("length")
    part = client.get(address, headers={**asked, "Range": "bytes=10-19"})
    assert part.status_code == 206
    assert part.headers["content-range"] == f"bytes 10-19/{enclosure.get('length')}"
    assert enclosure.get("url") == tracks[-1]["audio_url"]


@pytest.mark.usefixtures("album")
def test_a_program_that_accepts_json_alone_is_sent_to_the_api(subtests, client, track):
    asked = {"Accept": "application/json"}
    for path, there in {
        "/": "/tracks",
        "/@alice.test": "/artists/alice.test",
        page_of(track): f"/tracks/{track['id']}",
        "/@alice.test/albums/pressings": "/artists/alice.test/albums",
        "/tags/late%20night": "/tracks?tag=late%20night",
        "/docs": "/openapi.json",
    }.items():
        with subtests.test(path):
            answer = client.get(path, headers=asked, follow_redirects=False)
            assert (answer.status_code, answer.headers["location"]) == (303, there)
            assert answer.headers["vary"] == "Accept"
            assert client.get(there, headers=asked).json()


@pytest.mark.usefixtures("unlisted")
def test_a_feed_has_the_artists_listed_tracks_with_their_audio(client, tracks, alice):
    client.patch(f"/tracks/{tracks[0]['id']}", json={"support_gate": {"type": "any"}}, headers=alice.headers)
    channel = feed(client, "/@alice.test")
    assert channel.findtext("title") == "Alice"
    assert channel.findtext("link") == f"{BASE}/@alice.test"
    second, first = channel.findall("item")
    assert [each.findtext("title") for each in (first, second)] == ["Song 1", "Song 2"]
    assert second.findtext("guid") == f"{BASE}/tracks/{tracks[1]['id']}"
    assert second.find("enclosure").get("url") == tracks[1]["audio_url"]
    audio = client.get(tracks[1]["audio_url"])
    assert second.find("enclosure").get("length") == str(len(audio.content))
    assert second.find("enclosure").get("type") == audio.headers["content-type"]
    assert first.find("enclosure") is None, "supporters alone may hear it"


@pytest.mark.usefixtures("album")
def test_the_feed_of_an_album_has_its_tracks_in_order(client):
    channel = feed(client, "/@alice.test/albums/pressings")
    assert channel.findtext("title") == "Pressings"
    items = [(each.findtext("title"), each.findtext(f"{ITUNES}episode")) for each in channel.findall("item")]
    assert items == [("Song 2", "1"), ("Song 1", "2")]


def links(channel):
    return {each.get("rel"): each.get("href").removeprefix(BASE) for each in channel.findall(f"{ATOM}link")}


@pytest.mark.usefixtures("album")
def test_a_long_feed_leads_from_page_to_page(client, monkeypatch):
    monkeypatch.setattr(feeds, "MAX_ITEMS", 1)
    for address in ("/@alice.test", "/@alice.test/albums/pressings"):
        found, page = [], f"{address}/feed.xml"
        while page:
            channel = parsed(client.get(page)).find("channel")
            found += [each.findtext("title") for each in channel.findall("item")]
            assert links(channel)["self"] == page
            assert links(channel).get("first") == (f"{address}/feed.xml" if len(found) > 1 else None)
            page = links(channel).get("next")
        assert found == ["Song 2", "Song 1"], address


def test_a_text_that_no_xml_may_have_does_not_break_a_feed(client, alice):
    upload(client, alice, title="A & <B>", description="one\x0btwo\ufffe")
    [item] = feed(client, "/@alice.test").findall("item")
    assert (item.findtext("title"), item.findtext("description")) == ("A & <B>", "onetwo")


def test_a_preview_embeds_a_listed_track_in_a_page_that_may_be_framed(browser, track):
    page = browser.get(page_of(track)).text
    [address] = re.findall(r'type="application/json[+]oembed" href="([^"]+)"', page)
    told = browser.get(unescape(address).removeprefix(BASE)).json()
    assert (told["type"], told["version"], told["title"], told["author_name"]) == (
        "rich",
        "1.0",
        "Song 1",
        "Alice",
    )
    [source] = re.findall(r'src="([^"]+)"', told["html"])
    framed = browser.get(source.removeprefix(BASE))
    assert "frame-ancestors *" in framed.headers["content-security-policy"]
    assert "x-frame-options" not in framed.headers
    assert track["audio_url"] in framed.text
    assert "x-frame-options" in browser.get(page_of(track)).headers


def test_a_preview_keeps_to_the_size_that_is_asked_for(client, album):
    asked = {"url": f"{BASE}/@alice.test/albums/pressings", "maxwidth": 200, "maxheight": 90}
    told = client.get("/oembed", params=asked).json()
    assert (told["width"], told["height"]) == (200, 90)
    assert told["html"].startswith(f'<iframe src="{BASE}/embed/albums/{album["id"]}"')


def test_no_other_address_and_no_other_format_has_a_preview(client, track):
    here, others = BASE + page_of(track), ("/@alice.test/999999", "/studio", "/tags/1")
    for url in (*(BASE + other for other in others), "https://other.example/@alice.test/1", "http://["):
        assert client.get("/oembed", params={"url": url}).status_code == 404, url
    assert client.get("/oembed", params={"url": here, "format": "xml"}).status_code == 501


def test_what_is_unlisted_has_a_page_and_nothing_that_tells_of_it(browser, unlisted):
    page = browser.get(page_of(unlisted)).text
    assert "oembed" not in page
    assert "ld+json" not in page
    assert browser.get("/oembed", params={"url": BASE + page_of(unlisted)}).status_code == 404
    assert page_of(unlisted) not in browser.get("/sitemap.xml").text
    assert feed(browser, "/@alice.test").findall("item") == []


def test_the_sitemap_names_pages_of_artists_and_tracks_and_robots_find_it(client, track):
    robots = client.get("/robots.txt").text
    assert f"Sitemap: {BASE}/sitemap.xml" in robots
    assert "Disallow: /studio" in robots
    places = [each.text for each in parsed(client.get("/sitemap.xml")).iter() if each.text]
    assert BASE + page_of(track) in places
    assert f"{BASE}/@alice.test" in places


def test_a_sitemap_of_many_tracks_is_an_index_of_sitemaps(client, monkeypatch, tracks):
    monkeypatch.setattr(feeds, "MAX_ADDRESSES", 1)
    index = parsed(client.get("/sitemap.xml"))
    assert index.tag.endswith("sitemapindex")
    maps = [each.text.removeprefix(BASE) for each in index.iter() if each.tag.endswith("loc")]
    parts = {range(*map(int, re.findall("[0-9]+", path))): path for path in maps}
    for track in tracks:
        [its] = [path for ids, path in parts.items() if track["id"] in ids]
        assert BASE + page_of(track) in [each.text for each in parsed(client.get(its)).iter()]


def test_the_ids_of_an_older_version_are_divided_as_well():
    """They carry no bucket, so that each may be that of a track."""
    parts = feeds.parts_of(12_000, 12_000 + feeds.MAX_ADDRESSES * BUCKETS)
    assert parts[:3] == [(0, 5000), (5000, 10_000), (10_000, 12_000)]
    assert [below for _, below in parts[:-1]] == [start for start, _ in parts[1:]]
    assert len(parts) == 5


@pytest.mark.usefixtures("album")
def test_search_engines_read_facts_about_a_track_and_an_album(browser, track):
    def facts(path):
        return json.loads(
            re.search(r'<script type="application/ld[+]json">(.*?)</script>', browser.get(path).text)[1]
        )

    song = facts(page_of(track))
    assert (song["@type"], song["name"], song["byArtist"]["name"]) == ("MusicRecording", "Song 1", "Alice")
    assert song["audio"]["contentUrl"] == track["audio_url"]
    record = facts("/@alice.test/albums/pressings")
    assert (record["@type"], record["datePublished"]) == ("MusicAlbum", "2026-11-30")
    assert [each["name"] for each in record["track"]] == ["Song 2", "Song 1"]


def test_a_page_offers_its_link_its_code_and_a_picture_to_scan(browser, track):
    page = unescape(browser.get(page_of(track)).text)
    post = f"Song%201%20by%20Alice%20http%3A//127.0.0.1%3A8000/%40alice.test/{track['id']}"
    assert f'href="https://bsky.app/intent/compose?text={post}"' in page
    assert f'<iframe src="{BASE}/embed/tracks/{track["id"]}"' in page
    [picture] = re.findall(r'src="(/qr[.]svg[?]of=[^"]+)"', page)
    drawn = browser.get(picture)
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.text.count("<path") == 2
    for other, status in {"/studio": 404, "/tags/" + "a" * 300: 400}.items():
        assert browser.get("/qr.svg", params={"of": other}).status_code == status


def test_a_frame_of_what_is_not_there_is_not_found(client):
    for kind, number in product(("tracks", "albums"), (1, 10**30)):
        assert client.get(f"/embed/{kind}/{number}").status_code == 404, (kind, number)


def test_what_programs_follow_counts_against_their_allowance(world, track):
    client = world.serve(rate_limits=RateLimits(clock=lambda: 0.0))
    for path in ("/sitemap.xml", "/@alice.test/feed.xml", f"/embed/tracks/{track['id']}", "/qr.svg?of=/"):
        assert "ratelimit-remaining" in client.get(path).headers


def test_the_icons_that_browsers_ask_for_unasked_are_there(client):
    for path in ("/favicon.ico", "/apple-touch-icon.png"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith("image/"), path
