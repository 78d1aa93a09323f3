"""The console's first sentence: how all is, why, and since when, whether a host fails or a person is waited for."""

import re

from outbox.mirror.lanes import park_lane
from tests.api.ops.requests import rejected, waits_an_hour
from tests.api.world import upload

SENTENCE = re.compile(r'<h1><span class="mark (\w+) large">([^<]+)</span></h1>')
AGE = re.compile(r'<p class="lead">([^<]+) <time class="utc" datetime="([^"]+)">')
ROW = re.compile('<tr><th scope="row"><span class="mark.*?</tr>', re.DOTALL)


def health(admin):
    """The mark, the sentence, and the age as words and a time."""
    page = admin.get("/ops").text
    (sentence,) = SENTENCE.findall(page)
    return (*sentence, next(iter(AGE.findall(page)), None))


def waits(admin):
    """What waits, by its label: the records and their artists, and the rest of the row."""
    rows = [" ".join(re.sub("<[^>]+>", "\t", row).split()) for row in ROW.findall(admin.get("/ops").text)]
    return {
        (found := re.match(r"(.+?) (\d+ of \d+ artists?) (.+)", row))[1]: found.group(2, 3) for row in rows
    }


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
    assert health(admin) == ("good", "Deliveries go through; 1 record waits.", ("Since", since(admin)))
    count, rest = waits(admin)["Parked"]
    assert count == "1 of 1 artist"
    assert rest.endswith(
        "waits until the owner signs in Ask the artist to sign in again. What waits is sent then."
    )
    waits_for_sign_in(world, admin, bob, 2)
    oldest = ("The first since", since(admin, did=alice.did))
    assert health(admin) == ("wait", "No deliveries go through; 2 records wait.", oldest)


def test_records_that_wait_for_a_person_are_named_with_since_when(admin, world, alice):
    track = upload(admin, alice, seed=1)
    world.deliver()
    world.pds.records[track["atproto_record_uri"]] |= {"title": "theirs"}
    admin.patch(f"/tracks/{track['id']}", json={"album": "two"}, headers=alice.headers)
    world.deliver()
    rejected(world, admin, alice, 2, 3)
    oldest = ("The first since", since(admin))
    assert health(admin) == ("wait", "Deliveries go through; 3 records wait.", oldest)
    found = waits(admin)
    assert found["Refused by the PDS"][0] == "2 of 1 artist"
    assert "Ask the artists to change what the PDS refuses" in found["Refused by the PDS"][1]
    assert found["Held"][0] == "1 of 1 artist"
    assert found["Held"][1].endswith("Nothing: their artists decide about them.")


def test_a_record_that_is_tried_again_at_a_host_that_works_is_not_called_well(admin, world, alice, bob):
    upload(admin, alice)
    world.pds.write_refusals = [(500, "InternalServerError")]
    world.deliver()
    waits_an_hour(world)
    upload(admin, bob, seed=2)
    world.deliver()
    assert health(admin) == ("wait", "Deliveries go through; 1 record waits.", ("Since", since(admin)))
    assert "failed, and is tried again Nothing: it is tried again by itself" in waits(admin)["On its way"][1]


def test_a_service_that_sends_nothing_says_since_when_changes_wait(admin, world, alice):
    upload(admin, alice)
    with world.serve(silent_because=lambda: "the relay is off") as silent:
        silent.headers, silent.cookies = admin.headers, admin.cookies
        assert health(silent) == ("bad", "the relay is off", ("The first change waits since", since(silent)))
