"""My PDS as its owner sees it: each form does what its route does, and says so."""

import re

import pytest

from api.responses.states import DriftKind
from identity.accounts.credentials import Scope
from outbox.mirror.lanes import park_lane
from outbox.pds.client import RecordKey
from replay.reconcile.drift import Drift
from replay.reconcile.verify import Verified, Verifier
from tests.api.account_deletion.adopted import THEIRS, adopt, uri_of
from tests.api.exports.making import work
from tests.api.records.test_resolve import held
from tests.api.world import upload
from tests.media_samples import samples
from tests.web.studio.forms import send

HERE = "/studio/pds"
AUDIO = "Audio on your PDS stays there when you disconnect, and goes with its record when you leave."


@pytest.fixture
def mine(sign_in, alice):
    return sign_in(alice)


def key_of(page):
    return re.search(r'name="key" value="([0-9a-f]{32})"', page.text).group(1)


def disconnect(browser, world, person):
    """Press the button; nobody has a login at this PDS whose end would park the lane."""
    page = browser.post(f"{HERE}/disconnect")
    with world.database.write() as connection:
        park_lane(connection, person.did)
    return page


def test_the_page_says_whether_records_reach_the_pds(client, mine, world, alice):
    assert "Your records reach your PDS." in mine.get(HERE).text
    upload(client, alice)
    page = mine.get(HERE)
    assert "Changes are on their way" in page.text
    assert "1 record" in page.text
    world.deliver()
    assert "Your records reach your PDS." in mine.get(HERE).text


def test_what_waits_for_the_artist_is_said_before_what_is_on_its_way(mine, world, client, alice):
    track = held(world, client, alice)
    page = mine.get(HERE).text
    assert "All else reaches your PDS." in page
    assert "Every change is written" not in page
    upload(client, alice, seed=2)
    page = mine.get(HERE).text
    decide = page.index(f'href="/studio/tracks/{track["id"]}">1 track waits for your decision.</a>')
    assert decide < page.index("Changes are on their way")


def test_a_comparison_names_records_of_all_kinds_and_leads_to_their_pages(
    *, mine, world, client, alice, monkeypatch
):
    track = upload(client, alice, title="First Take")
    asks = alice.headers
    fields = {"title": "Pressings", "tracks": [{"track_id": track["id"]}]}
    album = client.post("/albums", json=fields, headers=asks).json()
    liked = client.put(f"/tracks/{track['id']}/like", headers=asks).json()
    world.deliver()
    uris = [track["atproto_record_uri"], album["uri"], liked["uri"]]
    drifts = [Drift(DriftKind.MISSING, RecordKey.of_uri(uri), None, None, None) for uri in uris]

    async def verified(_verifier, repo):
        return Verified(repo, len(drifts), tuple(drifts))

    monkeypatch.setattr(Verifier, "verify", verified)
    page = mine.post(f"{HERE}/verify")
    assert "The page of each says what you can do." in page.text
    for address, title in ((f"tracks/{track['id']}", "First Take"), (f"albums/{album['id']}", "Pressings")):
        assert f'<a href="/studio/{address}">{title}</a>' in page.text
    assert f'<a href="/studio/likes/{liked["id"]}">Like {liked["id"]}</a>' in page.text


def test_several_tracks_that_wait_lead_to_the_list_of_them(mine, world, client, alice):
    for seed in (1, 2):
        track = upload(client, alice, seed=seed)
        world.deliver()
        del world.pds.records[track["atproto_record_uri"]]
        client.patch(f"/tracks/{track['id']}", json={"title": "Other"}, headers=alice.headers)
    world.deliver()
    world.pds.write_refusals = [(400, "InvalidRecord")]
    refused = upload(client, alice, seed=3)
    world.deliver()
    page = mine.get(HERE).text
    decide = page.index('href="/studio?mark=held">2 tracks wait for your decision.</a>')
    assert decide < page.index(f'href="/studio/tracks/{refused["id"]}">Your PDS refuses 1 track.</a>')


def test_a_token_is_shown_once_and_can_be_ended(mine):
    form = {"key": key_of(mine.get(HERE)), "name": "my script", "scope": "read", "expires_in_days": "7"}
    token = re.search(r"<code>([^<]+)</code>", mine.post(f"{HERE}/tokens", data=form).text).group(1)
    again = mine.post(f"{HERE}/tokens", data=form)
    assert again.status_code == 409
    assert token not in again.text
    bearer = {"Authorization": f"Bearer {token}"}
    assert mine.get("/me", headers=bearer).status_code == 200
    page = mine.get(HERE).text
    (end,) = re.findall(r'action="(/studio/pds/tokens/[^/"]+/end)"', page)
    assert "can no longer act" in mine.post(end).text
    assert mine.get("/me", headers={**bearer, "Accept": "*/*"}).status_code == 401


def test_all_audio_is_counted_before_it_is_copied(client, mine, world, alice):
    tracks = [upload(client, alice, seed=seed) for seed in (1, 2)]
    upload(client, alice, seed=3, support_gate={"type": "any"})
    world.deliver()
    page = mine.get(HERE)
    assert "Only here</dt><dd>2</dd>" in page.text
    assert "Gated, stays here</dt><dd>1</dd>" in page.text
    assert "Copy 2 tracks to my PDS" in page.text
    assert not any("audioBlob" in world.record(track) for track in tracks)
    page = send(mine, page, f"{HERE}/copy-audio")
    assert "Your audio is being copied to your PDS." in page.text
    assert "On its way</dt><dd>2</dd>" in page.text
    assert "to my PDS</button>" not in page.text
    world.deliver()
    assert "There</dt><dd>2 tracks</dd>" in mine.get(HERE).text
    assert all("audioBlob" in world.record(track) for track in tracks)


def test_everything_can_be_downloaded_by_one_button(client, mine, world, alice):
    upload(client, alice, title="Song")
    page = send(mine, mine.get(HERE), f"{HERE}/export")
    assert "Everything of yours is being put together." in page.text
    assert 'href="/studio/pds">Look again</a>' in page.text
    assert "Download everything</button>" not in page.text
    work(world, alice)
    page = mine.get(HERE).text
    (link,) = re.findall(r'href="(/me/exports/\d+\.zip)" download', page)
    assert mine.get(link).content.startswith(b"PK")
    assert "Put a newer one together</button>" in page
    assert "What is missing" not in page


def test_an_export_says_what_is_missing_in_it_and_why(client, mine, world, alice):
    track = upload(client, alice, title="Song")
    world.made.media.store.delete(world.made.media.find(track["file_id"]).key)
    send(mine, mine.get(HERE), f"{HERE}/export")
    work(world, alice)
    page = mine.get(HERE).text
    assert "What is missing in it, and why" in page
    assert "Alice/Song.mp3<span" in page
    assert "its bytes are not stored here, or are damaged" in page


def test_a_refused_form_says_why_and_keeps_the_page(mine):
    answer = mine.post(f"{HERE}/tokens", data={"name": "x", "expires_in_days": "9999"})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert "must be less than or equal to 365" in answer.text


def test_who_leaves_types_their_handle(client, mine, alice):
    upload(client, alice)
    wrong = mine.post(f"{HERE}/leave", data={"handle": "bob.test"})
    assert wrong.status_code == 400
    assert "Nothing was changed" in wrong.text
    assert "You are leaving" in mine.post(f"{HERE}/leave", data={"handle": alice.handle}).text


def test_who_leaves_may_have_records_of_other_programs_removed_too(world, mine, alice):
    adopt(world, alice, THEIRS)
    page = mine.get(f"{HERE}/leave").text
    assert "Remove 1 record of other programs, too" in page
    changed = mine.post(f"{HERE}/leave", data={"handle": alice.handle, "adopted": "2"})
    assert "1 records that other programs made would stay. Nothing was changed" in changed.text
    mine.post(f"{HERE}/leave", data={"handle": alice.handle, "adopted": "1"})
    world.deliver()
    assert uri_of(alice) not in world.pds.records


def test_pages_that_lead_out_say_what_becomes_of_audio(mine):
    for page in (HERE, f"{HERE}/disconnect", f"{HERE}/leave"):
        assert AUDIO in mine.get(page).text, page


def test_who_leaves_reads_what_the_rest_waits_for_and_is_asked_no_second_time(client, mine, world, alice):
    upload(client, alice)
    world.deliver()
    disconnect(mine, world, alice)
    page = mine.post(f"{HERE}/leave", data={"handle": alice.handle}).text
    assert "The rest waits: You have to sign in again." in page
    assert "Disconnect…" not in page
    again = mine.get(f"{HERE}/leave", follow_redirects=False)
    assert (again.status_code, again.headers["location"]) == (303, HERE)


def test_the_profile_is_saved(mine):
    answer = mine.post(f"{HERE}/profile", data={"display_name": "Alice & <Co>", "bio": "plays"})
    assert "Saved." in answer.text
    assert 'value="Alice &amp; &lt;Co&gt;"' in answer.text


def test_the_picture_of_the_profile_is_set_shown_and_removed(mine, alice):
    assert "portrait" not in mine.get("/@alice.test").text
    files = {"image": ("me.png", samples.png(), "image/png")}
    page = send(mine, mine.get(HERE), f"{HERE}/picture", files=files)
    assert "The picture is set." in page.text
    assert f"at://{alice.did}/fm.plyr.actor.profile/self" in page.text
    (shown,) = re.findall(r'class="portrait" src="(/artwork/[^"]+)"', page.text)
    assert mine.get(shown).status_code == 200
    public = mine.get("/@alice.test").text
    assert f'class="portrait" src="{shown}"' in public
    assert f'property="og:image" content="http://127.0.0.1:8000{shown.replace("480", "1200")}"' in public
    page = send(mine, page, f"{HERE}/picture/remove")
    assert "The picture is removed." in page.text
    assert "portrait" not in page.text + mine.get("/@alice.test").text


def test_a_profile_that_was_taken_down_says_so_in_place_of_its_picture(client, mine, world):
    page = send(
        mine, mine.get(HERE), f"{HERE}/picture", files={"image": ("me.png", samples.png(), "image/png")}
    )
    admin = world.sign_in("admin", scope=Scope.ADMIN)
    profile_id = re.findall("/studio/profiles/([0-9]+)", page.text)[0]
    path, headers = f"/ops/profiles/{profile_id}/takedown", admin.headers
    assert client.post(path, json={"reason": "a claim"}, headers=headers).status_code == 200
    page = mine.get(HERE).text
    assert "An operator has taken your profile down." in page
    assert "portrait" not in page + mine.get("/@alice.test").text


def test_a_picture_that_lies_elsewhere_is_named_and_not_loaded(mine, world, alice):
    elsewhere = "https://pictures.test/artwork/a.png"
    world.pds.records[f"at://{alice.did}/fm.plyr.actor.profile/self"] = {
        "$type": "fm.plyr.actor.profile",
        "avatar": elsewhere,
        "createdAt": "2019-05-04T12:03:07Z",
    }
    page = send(mine, mine.get(HERE), f"{HERE}/profile", bio="Plays records.")
    assert f"<code>{elsewhere}</code>" in page.text
    assert "portrait" not in page.text + mine.get("/@alice.test").text


def test_a_picture_that_is_none_is_refused_on_the_page(mine):
    files = {"image": ("me.png", b"no picture", "image/png")}
    page = send(mine, mine.get(HERE), f"{HERE}/picture", files=files)
    assert (page.status_code, 'role="alert"' in page.text) == (415, True)
