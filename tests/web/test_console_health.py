"""The console's first sentence: how all is, why, and since when, whether a host fails or a person is waited for."""

import re

import pytest

from api.responses.states import LaneState, MirrorReason, MirrorState
from outbox.mirror.lanes import park_lane
from tests.api.ops.requests import rejected, waits_an_hour
from tests.api.world import upload
from web.pages.ops.now import WAITS

SENTENCE = re.compile(r'<h1><span class="mark (\w+) large">([^<]+)</span></h1>')
AGE = re.compile(r'<p class="lead">([^<]+) <time class="utc" datetime="([^"]+)">')


def health(admin):
    """The mark, the sentence, and the age as words and a time."""
    page = admin.get("/ops").text
    (sentence,) = SENTENCE.findall(page)
    return (*sentence, next(iter(AGE.findall(page)), None))


def since(admin, **wanted):
    """Since when the first undelivered record waits."""
    asked = {"undelivered": "true", **wanted}
    rows = admin.get("/ops/failures", params=asked, headers={"Accept": "*/*"}).json()["items"]
    return min(row["since"] for row in rows)


def waits_for_sign_in(world, client, person, seed):
    with world.database.write() as connection:
        park_lane(connection, person.did)
    upload(client, person, seed=seed)


def test_ended_logins_are_named_calmly_with_since_when_until_nothing_goes_through(admin, world, alice, bob):
    assert health(admin) == ("good", "All is well. Records reach their PDSes.", None)
    waits_for_sign_in(world, admin, alice, 1)
    one = "Deliveries go through; 1 account waits for its artist to sign in."
    assert health(admin) == ("good", one, ("Since", since(admin)))
    assert "Ask the artists to sign in again." in admin.get("/ops").text
    waits_for_sign_in(world, admin, bob, 2)
    all_of_them = "No deliveries go through; 2 accounts wait for their artists to sign in."
    assert health(admin) == ("wait", all_of_them, ("The first since", since(admin, did=alice.did)))


def test_records_that_wait_for_a_person_are_named_with_since_when(admin, world, alice):
    track = upload(admin, alice, seed=1)
    world.deliver()
    world.pds.records[track["atproto_record_uri"]] |= {"title": "theirs"}
    admin.patch(f"/tracks/{track['id']}", json={"album": "two"}, headers=alice.headers)
    world.deliver()
    rejected(world, admin, alice, 2, 3)
    both = "2 records are refused by their PDSes, 1 record edited elsewhere waits for its artist"
    assert health(admin) == ("wait", f"Deliveries go through; {both}.", ("The first since", since(admin)))


def test_a_record_that_is_tried_again_at_a_host_that_works_is_not_called_well(admin, world, alice, bob):
    upload(admin, alice)
    world.pds.write_refusals = [(500, "InternalServerError")]
    world.deliver()
    waits_an_hour(world)
    upload(admin, bob, seed=2)
    world.deliver()
    assert health(admin) == (
        "wait",
        "Deliveries go through; 1 record failed and is tried again.",
        ("Since", since(admin)),
    )


def test_a_service_that_sends_nothing_says_since_when_changes_wait(admin, world, alice):
    upload(admin, alice)
    with world.serve(silent_because=lambda: "the relay is off") as silent:
        silent.headers, silent.cookies = admin.headers, admin.cookies
        assert health(silent) == ("bad", "the relay is off", ("The first change waits since", since(silent)))


@pytest.mark.parametrize("state", [*LaneState, MirrorReason.PAUSED, MirrorReason.RESTORED])
def test_each_reason_for_which_a_lane_waits_for_a_person_has_its_words(state):
    needs_none = state in {LaneState.READY, LaneState.STALE}
    assert ((MirrorState.PARKED, state) in WAITS) is not needs_none
