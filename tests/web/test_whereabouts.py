"""What is where, on each page that says so: one truth, in the same words and colours."""

import re
from datetime import timedelta

import pytest

from api.responses.states import LaneState, MirrorReason, MirrorState
from identity.accounts.credentials import Scope
from outbox.mirror.lanes import park_lane
from tests.api.records.test_resolve import edited_elsewhere, mirror
from tests.api.world import upload
from tests.web.pages import said
from tests.web.studio.forms import send
from web.state_words import BY_REASON, Mark
from web.whereabouts import for_listeners, shown, states_of, what_saving_does

REASONS = [
    *MirrorReason,
    *(state for state in LaneState if state is not LaneState.READY),
    "InvalidRecord",
    None,
]


@pytest.mark.parametrize("state", MirrorState)
def test_a_mirror_has_a_mark_and_a_sentence(subtests, state):
    for reason in REASONS:
        with subtests.test(reason=reason):
            found = shown({"state": state, "reason": reason})
            assert found.label
            assert found.reason.endswith(".")
            assert "{" not in found.reason
            assert "/tracks/" not in found.reason
            for cid in (None, "bafy"):
                public = for_listeners({"state": state, "reason": reason}, cid)
                assert (public.tone, bool(public.label)) == (found.tone, True)


def test_every_state_is_found_under_exactly_one_mark():
    for parked_for in (None, *LaneState, "paused", "restored"):
        found = [state for mark in Mark for state in states_of(mark, parked_for)]
        assert sorted(found) == sorted(MirrorState), parked_for


def test_the_form_names_what_a_waiting_lane_waits_for():
    on_pds = {"state": MirrorState.DELIVERED, "reason": None}
    assert what_saving_does(on_pds, None) == "Goes to your PDS at once."
    for reason, lane in BY_REASON.items():
        assert lane.headline in what_saving_does(on_pds, reason), reason


@pytest.fixture
def track(world, client, alice):
    made = upload(client, alice, title="The Whole Side")
    world.deliver()
    return made


@pytest.fixture
def copies(client, alice, track):
    headers = {**alice.headers, "Prefer": "wait=0", "Accept": "application/json"}
    return lambda: client.post(f"/tracks/{track['id']}/migrate-to-pds", headers=headers)


def part(page, name):
    """What the page of a track says of its record, audio or cover."""
    told = page.text.split('id="where" data-live>')[1].split(f"<dt>{name}</dt>")[1].split("</div>")[0]
    return said(told)


def row(page, track):
    told = page.text.split(f'id="mark-{track["id"]}" data-live>')[1].split("Changed")[0]
    return said(told)


def test_audio_that_the_pds_refused_is_refused_on_each_page_that_tells_of_the_track(
    *, world, track, copies, studio, here
):
    copies()
    world.pds.upload_refusal = (400, "InvalidMimeType")
    world.deliver()
    why = "The audio is here, and your PDS refused it. It answered InvalidMimeType"
    page = studio.get(here)
    assert part(page, "Record") == "On your PDS Your PDS has it as it is here."
    assert part(page, "Audio").startswith(f"Audio refused {why}")
    assert (
        '<span class="mark bad">Audio refused</span>' in page.text.split('id="standing"')[1].split("</p>")[0]
    )
    listed = studio.get("/studio")
    assert row(listed, track).startswith(f"Audio refused {why}")
    task = 'href="/studio?mark=audio-refused">Your PDS refuses the audio of 1 track.</a>'
    assert task in listed.text
    assert 'Audio refused <span class="soft">1</span>' in listed.text
    assert 'href="/studio?mark=on-pds"' not in listed.text
    assert ">The Whole Side</a>" in studio.get("/studio?mark=audio-refused").text
    assert ">The Whole Side</a>" not in studio.get("/studio?mark=on-pds").text
    mine = studio.get("/studio/pds").text
    assert task in mine
    assert "It answered InvalidMimeType. Replace the audio, or try again." in mine
    assert "0 of 1 on your PDS" in studio.get(f"/studio/copies?id={track['id']}").text
    assert "All done." in studio.get(f"/studio/copies?id={track['id']}").text


def test_audio_is_on_its_way_on_each_page_until_the_record_on_the_pds_names_it(
    *, world, track, copies, studio, here
):
    copies()
    world.pds.write_refusals = [(503, "Busy")] * 3
    world.deliver()
    assert "audioBlob" not in world.record(track)
    on_its_way = "On its way Your PDS has the audio; the record that names it is on its way."
    assert part(studio.get(here), "Audio") == on_its_way
    assert "On its way</dt><dd>1</dd>" in studio.get("/studio/pds").text
    assert "0 of 1 on your PDS" in studio.get(f"/studio/copies?id={track['id']}").text
    assert "All done." not in studio.get(f"/studio/copies?id={track['id']}").text


def test_audio_on_the_pds_is_there_on_each_page(*, world, track, copies, studio, here):
    copies()
    world.deliver()
    assert part(studio.get(here), "Audio") == "On your PDS Your PDS has the audio, too."
    assert "There</dt><dd>1 track</dd>" in studio.get("/studio/pds").text
    assert "1 of 1 on your PDS" in studio.get(f"/studio/copies?id={track['id']}").text
    assert "Copy it to my PDS" not in studio.get(here).text


def test_audio_over_the_limit_of_the_pds_says_how_many_bytes_are_too_many(
    *, world, track, copies, studio, here
):
    size = len(studio.get(track["audio_url"]).content)
    copies()
    world.pds.blob_limit = 100
    world.deliver()
    assert f"It has {size:,} bytes, and your PDS takes 100: {size - 100:,} too many." in part(
        studio.get(here), "Audio"
    )
    page = send(studio, studio.get(here), f"{here}/do/copy")
    assert page.status_code == 413
    assert f"{size - 100:,} bytes too many" in page.text


FULL = "7" * 1_000_000


@pytest.fixture
def too_large(world, client, alice, track):
    edited_elsewhere(world, track, waveform=FULL)
    client.patch(f"/tracks/{track['id']}", json={"title": "Second"}, headers=alice.headers)
    world.deliver()


@pytest.mark.usefixtures("too_large")
def test_a_record_over_the_limit_says_by_how_much_and_whose_field_can_be_left_out(
    *, world, client, alice, track, studio, here
):
    largest = "The largest field is “waveform” of another program, with 1,000,002 bytes."
    for path in (here, f"{here}/pds"):
        page = studio.get(path).text
        assert "The record is too large for your PDS" in page
        assert largest in page
        over = int(
            re.search(r": ([0-9,]+) more than the 1,000,000 that most PDSes take", page)[1].replace(",", "")
        )
        assert 2 < over < 2_000
    assert "Refused" in row(studio.get("/studio"), track)
    page = send(studio, studio.get(here), f"{here}/decide")
    assert "Decided." in page.text
    world.deliver()
    assert mirror(client, alice, track)["state"] == "delivered"
    record = world.record(track)
    assert (record["title"], "waveform" in record) == ("Second", False)
    assert "more than the" not in studio.get(here).text


def tones(page, *labels):
    return set(re.findall(rf'class="mark (\w*)[^>]*>(?:{"|".join(labels)})', page.text))


@pytest.mark.parametrize(
    ("state", "labels", "tone"),
    [
        ("rejected", ("Refused", "Refused by the PDS", "Your PDS refuses"), "bad"),
        ("parked", ("Waiting for you", "Parked", "You have to sign in again."), "wait"),
    ],
)
def test_a_state_has_one_colour_for_its_artist_and_for_operators(
    *, world, client, alice, track, sign_in, state, labels, tone
):
    if state == "parked":
        with world.database.write() as connection:
            park_lane(connection, alice.did)
    world.pds.write_refusals = [(400, "InvalidRecord")]
    client.patch(f"/tracks/{track['id']}", json={"title": "Second"}, headers=alice.headers)
    world.deliver()
    browser, here = sign_in(alice), f"/tracks/{track['id']}"
    own = ["/studio", "/studio/pds", *(f"/studio{here}{end}" for end in ("", "/pds", "/history"))]
    assert [tones(page, *labels) for page in map(browser.get, own)] == [{tone}] * 5
    admin = sign_in(world.sign_in("admin", lane=False, scope=Scope.ADMIN, expires_in=timedelta(hours=1)))
    consoles = [admin.get(path) for path in (f"/ops{here}", "/ops/records", f"/ops/accounts/{alice.did}")]
    assert [tones(page, *labels) for page in consoles] == [{tone}] * 3
