"""Tracks as clients of plyr.fm read them."""

import json
import re
from itertools import product
from pathlib import Path

from api.plyr.surface import NOT_OFFERED
from api.plyr.track import TrackResponse
from tests.api.world import did_of, upload
from tests.fake_pds.scripted_pds import HOST
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def titles(answer):
    assert answer.status_code == 200, answer.text
    return [track["title"] for track in answer.json()["tracks"]]


def test_a_track_is_shown_with_every_field_of_the_peer(client, world, alice, bob):
    mine = upload(
        client,
        alice,
        title="Blue",
        album="Night  Train!",
        tags=["jazz"],
        features=["bob.test", "carol.test"],
        self_labels=["sexual"],
        description="live",
        image=samples.png(),
    )
    world.deliver()
    mine = client.get(f"/tracks/{mine['id']}").json()
    shown = client.get(f"/plyr/tracks/{mine['id']}").json()
    album = shown.pop("album")
    assert (album["title"], album["slug"], album["image_url"]) == ("Night  Train!", "night-train", None)
    assert shown == {
        **{
            name: mine[name]
            for name in (
                "id", "title", "artist", "artist_handle", "artist_did", "file_id", "file_type", "created_at",
                "image_url", "thumbnail_url", "tags", "support_gate", "description", "unlisted", "self_labels",
                "pds_blob_cid", "atproto_record_uri", "atproto_record_cid",
            )
        },
        "features": [
            {"did": bob.did, "handle": "bob.test", "display_name": "Bob", "avatar_url": None},
            {"did": did_of("carol"), "handle": "carol.test", "display_name": "carol.test", "avatar_url": None},
        ],
        "r2_url": mine["audio_url"],
        "audio_storage": "r2",
        "atproto_record_url": f"{HOST}/xrpc/com.atproto.repo.getRecord"
        f"?repo={alice.did}&collection=fm.plyr.track&rkey={mine['atproto_record_uri'][-13:]}",
        "visibility": "public",
        "gated": False,
        "downloadable": True,
        "download_policy": "open",
        "publishing": {
            "access": {"listening": "public", "downloads": "open", "visibility": "public"},
            "attach_rights": False,
        },
        "policy_origin": "track",
        "labels": ["sexual"],
        "operator_labels": [],
        "is_liked": False,
        "is_optimizing": False,
        **dict.fromkeys(("play_count", "like_count", "comment_count"), 0),
        **dict.fromkeys((
            "artist_avatar_url", "artist_support_url", "copyright_flagged", "copyright_match", "copyright_song_uri",
            "copyright_recording_uri", "original_file_id", "original_file_type",
        )),
    }  # fmt: skip


def test_an_album_has_one_id_at_every_read_and_another_for_another_artist(client, alice, bob):
    made = [upload(client, who, seed=n, album="Blue") for n, who in enumerate((alice, alice, bob), 1)]
    first, second, third = (client.get(f"/plyr/tracks/{each['id']}").json()["album"]["id"] for each in made)
    assert first == second != third


def test_a_gated_track_is_open_to_its_owner_and_those_who_support_the_artist(client, world, alice, bob):
    class Friends:
        async def supports(self, artist, supporter):
            return (artist, supporter) == (alice.did, bob.did)

    path = f"/plyr/tracks/{upload(client, alice, support_gate={'type': 'any'})['id']}"
    client = world.serve(supporters=Friends())
    carol = world.sign_in("carol")
    for who, gated in ((None, True), (alice, False), (bob, False), (carol, True)):
        shown = client.get(path, headers=who.headers if who else {}).json()
        assert (shown["gated"], shown["downloadable"]) == (gated, not gated)
        assert (shown["visibility"], shown["publishing"]["access"]["listening"]) == (
            "supporters",
            "supporters",
        )


def test_a_track_whose_record_is_gone_has_none_and_is_listed_as_broken(client, world, alice):
    mine = upload(client, alice)
    world.deliver()
    world.pds.records.pop(mine["atproto_record_uri"])
    client.patch(f"/tracks/{mine['id']}", json={"title": "new"}, headers=alice.headers)
    world.deliver()
    assert client.get(f"/plyr/tracks/{mine['id']}").json()["atproto_record_uri"] is None
    broken = client.get("/plyr/tracks/me/broken", headers=alice.headers).json()
    assert ([track["id"] for track in broken["tracks"]], broken["count"]) == ([mine["id"]], 1)


def test_a_list_goes_on_where_the_page_before_ended(client, alice, bob):
    for n in range(1, 4):
        upload(client, alice, seed=n, title=f"t{n}", tags=["a" if n < 3 else "b"])
    upload(client, bob, seed=4, title="other")
    for path in ("/plyr/tracks/", "/plyr/tracks"):
        first = client.get(f"{path}?limit=3").json()
        assert first["has_more"] is True
        rest = client.get(f"{path}?limit=3&cursor={first['next_cursor']}")
        assert [track["title"] for track in first["tracks"]] + titles(rest) == ["other", "t3", "t2", "t1"]
        assert (rest.json()["has_more"], rest.json()["next_cursor"]) == (False, None)
    assert titles(client.get(f"/plyr/tracks/?artist_did={bob.did}&filter_hidden_tags=false")) == ["other"]
    assert titles(client.get("/plyr/tracks/?tags=a&tags=b&limit=500")) == ["t3", "t2", "t1"]


def test_a_track_is_found_by_the_uri_of_its_record_or_not(client, subtests, alice):
    mine = upload(client, alice)
    uri = mine["atproto_record_uri"]
    assert client.get("/plyr/tracks/by-uri", params={"uri": uri}).json()["id"] == mine["id"]
    for other in (
        f"{uri}x",
        uri.replace(alice.did, "alice.test"),
        "at://",
        "x\0",
        uri.replace("fm.plyr", "fm.other"),
    ):
        with subtests.test(other):
            assert client.get("/plyr/tracks/by-uri", params={"uri": other}).status_code == 404


def test_my_tracks_are_counted_sorted_and_searched_unlisted_ones_too(client, alice, bob):
    for n, title in enumerate(("b", "C", "a"), 1):
        upload(client, alice, seed=n, title=title, unlisted="true" if n == 2 else "false")
    upload(client, alice, seed=4, title="gated", support_gate={"type": "any"})
    upload(client, bob, seed=5)

    def mine(query=""):
        return client.get(f"/plyr/tracks/me{query}", headers=alice.headers)

    assert titles(mine()) == ["gated", "a", "C", "b"]
    assert titles(mine("?sort=title")) == ["a", "b", "C", "gated"]
    assert titles(mine("?sort=plays&q=ate")) == ["gated"]
    page = mine("?limit=2&offset=1").json()
    assert (page["total"], page["has_more"], page["pds_savable_count"]) == (4, True, 3)
    assert client.get("/plyr/tracks/me").status_code == 401
    assert mine("?limit=101").status_code == 422


def test_hidden_tracks_are_in_no_list_of_others(client, alice, bob):
    upload(client, alice, seed=1, title="secret", tags=["x"], album="secret", unlisted="true")
    for path in ("/tracks/", "/tracks/tags/x"):
        assert titles(client.get(f"/plyr{path}", headers=bob.headers)) == []
        assert titles(client.get(f"/plyr{path}", headers=alice.headers)) == ["secret"]
    assert client.get("/plyr/tracks/tags", headers=bob.headers).json() == []
    assert client.get("/plyr/search/?q=secret", headers=bob.headers).json()["results"] == []


def test_the_page_names_each_field_that_has_nothing_behind_it_and_all_that_is_not_offered():
    page = (Path(__file__).parents[3] / "docs/plyr.md").read_text()
    always = {
        f"| `{name}` | `{json.dumps(field.get_default())}` |"
        for name, field in TrackResponse.model_fields.items()
        if not field.is_required()
    }
    assert always == {*re.findall(r"^\| `\w+` \| `[^`]+` \|$", page, re.MULTILINE)}
    for what, paths in NOT_OFFERED.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {what} | ")]
        assert all(f"`/plyr{path.replace('{rest:path}', '...')}`" in row for path in paths)


def test_what_is_not_offered_says_so_and_is_no_error_of_ours(client, caplog):
    for method, path in product(
        ("GET", "POST", "DELETE"), ("/lists/playlists/1/og-cover", "/queue/", "/tracks/1/play")
    ):
        answer = client.request(method, f"/plyr{path}")
        assert (answer.status_code, answer.json()["error"]) == (501, "not_offered")
        assert "docs/plyr.md" in answer.json()["detail"]
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
