"""A track at an earlier version or time, and the difference between two."""

import pytest

from aggregates.tracks.track import Track
from application.tracks.revert import FIELDS, KEPT_BECAUSE
from eventstore.streams import snapshots
from tests.api.conftest import ADMIN
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def track(client, alice):
    """A track whose title is 0, 1 and 2 in its versions 1 to 3."""
    track = upload(client, alice, title="0", album="one")
    for title in ("1", "2"):
        client.patch(f"/tracks/{track['id']}", json={"title": title}, headers=alice.headers)
    return track


def as_of(client, person, track, **params):
    return client.get(f"/tracks/{track['id']}", params=params, headers=person.headers)


def test_a_version_that_never_was_is_not_found(client, alice, track):
    versions = [{"version": each} for each in (0, 4, 2**70, -1, -(2**70))]
    for params in (*versions, {"at": "2020-01-01T00:00:00Z"}):
        assert refusal(as_of(client, alice, track, **params)) == (404, "version_not_found"), params


def test_either_a_version_or_a_time(client, alice, track):
    both = as_of(client, alice, track, version=1, at="2030-01-01T00:00:00Z")
    assert refusal(both) == (400, "invalid_field")
    assert refusal(as_of(client, alice, track, at="yesterday")) == (422, "unparsable")
    assert refusal(as_of(client, alice, track, version="first")) == (422, "unparsable")


def test_the_past_is_for_the_owner_and_admins(client, bob, track, admin):
    assert admin.did == ADMIN
    assert as_of(client, admin, track, version=1).json()["title"] == "0"
    assert refusal(as_of(client, bob, track, version=1)) == (403, "not_owner")
    assert refusal(client.get(f"/tracks/{track['id']}?version=1")) == (401, "not_authenticated")
    assert refusal(client.get("/tracks/99?version=1", headers=bob.headers)) == (404, "track_not_found")


def diff(client, person, track, **params):
    return client.get(f"/tracks/{track['id']}/diff", params=params, headers=person.headers)


def test_two_versions_are_compared_field_by_field(client, alice, track):
    answer = diff(client, alice, track, **{"from": 1, "to": 2}).json()
    assert answer == {
        "from_version": 1, "to_version": 2,
        "changes": [{"field": "title", "before": "0", "after": "1", "kept_because": None}],
    }  # fmt: skip
    [to_newest] = diff(client, alice, track, **{"from": 1}).json()["changes"]
    assert (to_newest["before"], to_newest["after"]) == ("0", "2")
    [backwards] = diff(client, alice, track, **{"from": 3, "to": 1}).json()["changes"]
    assert (backwards["before"], backwards["after"]) == ("2", "0")
    assert diff(client, alice, track, **{"from": 2, "to": 2}).json()["changes"] == []


def test_a_diff_says_which_fields_a_revert_sets_back_and_why_not_the_others(client, alice, track):
    path = f"/tracks/{track['id']}/revert"
    changes = diff(client, alice, track, **{"from": 0}).json()["changes"]
    for change in changes:
        answer = client.post(path, json={"to_version": 1, "fields": [change["field"]]}, headers=alice.headers)
        if change["kept_because"] is None:
            assert answer.status_code == 200
        else:
            assert answer.json()["detail"]["limit"].endswith(change["kept_because"])
    assert {each["field"] for each in changes if each["kept_because"]} >= {"artist", "created_at", "rkey"}
    assert {*Track.SHOWN} == {*FIELDS, *KEPT_BECAUSE}


def test_a_diff_that_cannot_be_is_refused(client, alice, bob, track):
    assert refusal(diff(client, alice, track, **{"from": 9})) == (404, "version_not_found")
    assert refusal(diff(client, alice, track, to=1)) == (422, "unparsable")
    assert refusal(diff(client, alice, track, **{"from": -1})) == (400, "invalid_field")
    assert refusal(diff(client, alice, track, **{"from": 1, "to": -1})) == (400, "invalid_field")
    assert refusal(diff(client, bob, track, **{"from": -1})) == (403, "not_owner")
    assert refusal(diff(client, bob, track, **{"from": 1})) == (403, "not_owner")


def test_no_look_at_the_past_decodes_more_than_the_events_since_a_snapshot(
    client, world, alice, monkeypatch, decoded
):
    monkeypatch.setattr(snapshots, "EVENTS_PER_SNAPSHOT", 10)
    track = upload(client, alice, title="0")
    for number in range(1, 60):
        client.patch(f"/tracks/{track['id']}", json={"title": str(number)}, headers=alice.headers)
    path = f"/tracks/{track['id']}"
    for version in (1, 55):
        world.log.cache._states.clear()  # noqa: SLF001 - others are used since
        decoded.clear()
        then = as_of(client, alice, track, version=version).json()
        assert then["title"] == str(version - 1)
        assert as_of(client, alice, track, at=then["updated_at"]).json()["title"] == then["title"]
        changes = diff(client, alice, track, **{"from": version, "to": 58}).json()["changes"]
        assert [(each["field"], each["after"]) for each in changes] == [("title", "57")]
        client.post(f"{path}/revert", json={"to_version": version}, headers=alice.headers).raise_for_status()
        assert client.get(path, headers=alice.headers).json()["title"] == then["title"]
        assert len(decoded) < 6 * 10
