"""Pages of artists, tracks and tags: what they show to whom."""

import re
from html import unescape

import pytest

from identity.accounts.credentials import Scope
from outbox.mirror.tables import NEVER, PAST, firehose_cursor
from tests.api.auth.route_table import THINGS
from tests.api.tracks.test_media import Vouching
from tests.api.world import did_of, upload
from tests.fake_pds.scripted_pds import HOST
from tests.media_samples import samples
from tests.web.pages import AS_BROWSERS, assert_runs_only_our_files, assert_small, seated

HOSTILE = """</title><script>alert(1)</script>"'><img src=x onerror=alert(1)>"""


@pytest.fixture
def track(world, client, alice, bob):
    made = upload(
        client,
        alice,
        title="First Take",
        album="Pressings",
        description="Recorded in one go.\nThanks to https://friend.example",
        tags=["late night"],
        features=[bob.handle, "drummer.test"],
    )
    world.deliver()
    return made


def page_of(track):
    return f"/@{track['artist_handle']}/{track['id']}"


def meta(page, name):
    return re.search(f'<meta (?:property|name)="{name}" content="([^"]*)">', page)[1]


def test_a_track_shows_its_notes_artists_tags_and_where_its_record_is(browser, track):
    page = browser.get(page_of(track)).text
    assert 'href="/@alice.test"' in page
    assert 'href="/@bob.test"' in page
    assert "@drummer.test" in page
    assert 'href="/@drummer.test"' not in page, "there is no page of an artist who has not signed in here"
    assert 'href="/tags/late%20night"' in page
    assert '<a href="https://friend.example" rel="' in page
    assert "On the artist's PDS" in unescape(page)
    rkey = track["atproto_record_uri"].rsplit("/", 1)[1]
    assert re.search(
        f'href="https://pds.example.com/xrpc/com.atproto.repo.getRecord[?]repo=did[^"]*rkey={rkey}"', page
    )
    assert f'<audio class="player" controls preload="metadata" src="{track["audio_url"]}"' in page
    assert f"/audio/{track['file_id']}.mp3/download" in page


def test_a_track_names_the_hosts_whose_accounts_count(world, browser, track):
    def said_by(client):
        said = re.search(
            "<p[^>]*>(Likes and comments from .*)</p>", client.get(page_of(track), headers=AS_BROWSERS).text
        )
        return said and said[1]

    def follow(names, **columns):
        rows = [{"host": f"https://{name}.example", "lease_until": NEVER, **columns} for name in names]
        with world.database.write() as connection:
            connection.execute(firehose_cursor.insert(), rows)

    following = world.serve(follows_firehose=True)
    follow("x", connected_at=None)
    assert said_by(following) is None
    follow("ab", connected_at=PAST)
    assert said_by(browser) is None
    assert said_by(following) == "Likes and comments from a.example, b.example are counted."
    follow("cdef", connected_at=PAST)
    assert said_by(following).endswith(" d.example, e.example and other hosts are counted.")


def test_a_shared_track_brings_its_title_artist_cover_and_sound(browser, client, alice, track):
    cover = {"image": ("c.png", samples.png(), "image/png")}
    track = client.patch(f"/tracks/{track['id']}", files=cover, headers=alice.headers).json()
    page = browser.get(page_of(track)).text
    assert meta(page, "og:title") == "First Take by Alice"
    assert meta(page, "og:type") == "music.song"
    assert meta(page, "og:url") == f"http://127.0.0.1:8000{page_of(track)}"
    assert meta(page, "og:image") == f"{track['image_url']}?size=1200"
    assert meta(page, "og:audio") == track["audio_url"]
    assert meta(page, "og:description").startswith("Recorded in one go.")
    assert meta(page, "twitter:card") == "summary"


def test_another_artist_in_the_address_leads_to_the_right_one(browser, track):
    for artist in ("bob.test", "ALICE.TEST", "nobody.test"):
        answer = browser.get(f"/@{artist}/{track['id']}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (302, page_of(track)), artist


def test_an_artist_is_found_by_did_and_shows_public_tracks_with_older_ones_behind(
    client, browser, alice, monkeypatch
):
    monkeypatch.setattr("web.pages.public.TRACKS", 2)
    for seed in range(3):
        upload(client, alice, title=f"Track {seed}", seed=seed)
    answer = browser.get(f"/@{alice.did}")
    assert answer.url.path == "/@alice.test"
    assert ("Track 2" in answer.text, "Track 0" in answer.text) == (True, False)
    older = re.search(r'href="([?]cursor=[^"]+)" rel="next"', answer.text)[1]
    page = browser.get(f"/@alice.test{older}").text
    assert ("Track 2" in page, "Track 0" in page) == (False, True)
    assert 'rel="next"' not in page


def test_an_artist_whose_handle_is_not_confirmed_has_a_page_by_did(world, browser, alice, track):
    with world.database.write() as connection:  # another account has the handle now
        world.services.accounts.upsert(
            connection, did=did_of("other"), handle="alice.test", pds_url=HOST, display_name="Other"
        )
    page = browser.get(f"/@{alice.did}").text
    assert f"<code>{alice.did}</code>" in page
    assert f'href="/@{alice.did}/{track["id"]}"' in page
    assert "Other" in browser.get("/@alice.test").text


def test_an_unlisted_track_is_shown_at_its_address_and_listed_to_its_owner_alone(
    client, sign_in, browser, alice, track
):
    client.patch(f"/tracks/{track['id']}", json={"unlisted": True}, headers=alice.headers)
    page = browser.get(page_of(track)).text
    assert meta(page, "robots") == "noindex"
    for listing in ("/", "/@alice.test", "/tags/late%20night"):
        assert page_of(track) not in browser.get(listing).text
    assert "only you see it here" in sign_in(alice).get("/@alice.test").text


def test_a_deleted_track_and_an_unknown_artist_are_not_found(client, browser, alice, track):
    assert browser.get("/@nobody.test").status_code == 404
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    answer = browser.get(page_of(track))
    assert answer.status_code == 404
    assert "First Take" not in answer.text
    for unknown in ("/@alice.test/x", "/@alice.test/0", "/@alice.test/99999999999999999999", "/@"):
        assert browser.get(unknown).status_code == 404


def test_a_track_that_was_taken_down_is_there_for_its_owner_alone_and_plays_to_neither(
    *, client, world, sign_in, browser, alice, track
):
    admin = world.sign_in("admin", scope=Scope.ADMIN)
    path = f"/ops/tracks/{track['id']}/takedown"
    client.post(path, json={"reason": "a claim"}, headers=admin.headers)
    assert browser.get(page_of(track)).status_code == 404
    page = sign_in(alice).get(page_of(track))
    assert page.status_code == 200
    assert "taken this track down" in page.text
    assert "<audio" not in page.text


@pytest.fixture
def gated(client, alice):
    return upload(client, alice, title="For Friends", support_gate={"type": "any"})


def test_a_gated_track_says_what_to_do_and_plays_to_no_visitor(browser, gated):
    answer = browser.get(page_of(gated))
    assert answer.status_code == 402
    assert "sign in with the account you support them with" in answer.text
    assert f'href="/auth/login?return_to={page_of(gated)}"' in answer.text.replace("%40", "@")
    assert "<audio" not in answer.text
    assert "og:audio" not in answer.text


def test_a_gated_track_leads_to_where_its_artist_is_supported(client, browser, gated, alice):
    url = "https://support.example/alice?a=1"
    assert client.patch("/me", json={"support_url": url}, headers=alice.headers).status_code == 200
    page = browser.get(page_of(gated)).text
    assert f'href="{url}"' in page
    assert "at support.example</a>" in page


def test_a_gated_track_plays_to_its_owner_and_to_supporters_alone(world, gated, alice, bob):
    supporting = world.serve(supporters=Vouching((alice.did, bob.did)))
    silent = world.serve(supporters=Vouching())
    for client, person, status in (
        (supporting, bob, 200),
        (silent, alice, 200),
        (silent, bob, 503),
        (world.serve(supporters=Vouching(("x", "y"))), bob, 402),
    ):
        answer = seated(client, person).get(page_of(gated))
        assert (answer.status_code, "<audio" in answer.text) == (status, status == 200)


def test_what_artists_write_is_text_and_reaches_no_header(browser, client, alice):
    client.patch("/me", json={"display_name": HOSTILE, "bio": HOSTILE}, headers=alice.headers)
    made = upload(
        client,
        alice,
        title=HOSTILE,
        album=HOSTILE,
        description=HOSTILE,
        tags=["<b>x", "x\r\nX-Evil: 1"],
        self_labels=["<i>"],
    )
    listed = ("/", "/@alice.test", page_of(made), "/tags/%3Cb%3Ex")
    for path in listed:
        answer = browser.get(path)
        assert answer.status_code == 200
        assert "<img src=x" not in answer.text
        assert "x-evil" not in answer.headers
        assert "alert" not in str(answer.headers)


def test_every_public_page_is_small_for_each_viewer(browser, sign_in, alice, track):
    paths = ("/", "/@alice.test", page_of(track), "/tags/late%20night", "/@nobody.test", "/auth/login")
    for _ in ("a visitor", "the owner"):
        for path in paths:
            assert_small(browser.get(path))
        sign_in(alice)
    assert 'href="/studio"' in browser.get("/").text


def test_a_link_that_is_shared_is_a_page_for_every_client(subtests, client, track):
    """Robots that make previews, checks that a link works, curl."""
    del client.headers["Accept"]
    here = ("/", "/@alice.test", page_of(track), "/@alice.test/albums/pressings", "/tags/x", "/docs", "/docs/tracks")  # fmt: skip
    nowhere = ("/@unknown.test", "/@alice.test/99", "/@alice.test/x", "/docs/nothing")
    for accept in ("*/*", "", None, "application/json, text/plain, */*", "image/*,*/*;q=0.8"):
        headers = {} if accept is None else {"Accept": accept}
        for path in (*here, *nowhere):
            with subtests.test(path, accept=accept):
                answer, asked = client.get(path, headers=headers), client.head(path, headers=headers)
                for each in (answer, asked):
                    assert each.status_code == (200 if path in here else 404)
                    assert_runs_only_our_files(each)
                assert asked.headers["content-type"] == answer.headers["content-type"]


def test_no_address_of_the_api_answers_a_page_to_who_takes_anything(subtests, client, world, alice):
    names = {**THINGS, "did": alice.did}

    def type_of(method, address, accept):
        headers = {**alice.headers, "Accept": accept, "Prefer": "wait=0"}
        answer = client.request(method, address, headers=headers, follow_redirects=False)
        return answer.headers.get("content-type", "")

    assert "html" not in type_of("GET", "/tracks/99", "")
    for path, methods in world.app.openapi()["paths"].items():
        address = re.sub("{[^}]*}", lambda name: str(names.get(name[0][1:-1], "x")), path)
        for method in methods:
            with subtests.test(f"{method} {path}"):
                if path != "/events":
                    assert "html" not in type_of(method, address, "*/*")


def test_no_answer_leads_to_the_host_that_a_request_names(browser):
    for path in ("/tracks/", "/docs/", "/studio/", "/me/"):
        answer = browser.get(path, headers={"Host": "evil.example"}, follow_redirects=False)
        assert (answer.status_code, "location" in answer.headers) == (404, False), path
