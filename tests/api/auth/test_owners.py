"""Owner routes check in one order: caller, track, ownership, state of the track."""

from datetime import timedelta

import pytest

from identity.accounts.credentials import Scope
from tests.api.world import refusal, upload
from tests.media_samples import samples

COMMANDS = [
    ("PATCH", "/tracks/{}"),
    ("PUT", "/tracks/{}/audio"),
    ("DELETE", "/tracks/{}"),
    ("POST", "/tracks/{}/undelete"),
    ("POST", "/tracks/{}/restore-record"),
    ("POST", "/tracks/{}/migrate-to-pds"),
    ("POST", "/tracks/{}/mirror/retry"),
]
READS = [("GET", "/tracks/{}/history"), ("GET", "/tracks/{}/mirror")]
WHEN_DELETED = {"/tracks/{}/undelete", "/tracks/{}/history", "/tracks/{}/mirror", "/tracks/{}/mirror/retry"}


@pytest.fixture
def migrated_url(migrated_sqlite):
    """What matters here is HTTP: one database will do."""
    return migrated_sqlite


def send(client, person, route, track_id, **more):
    method, path = route
    if path.endswith("/audio"):
        more = {"files": {"file": samples.mp3(99)}, **more}
    headers = person.headers if person else {}
    return client.request(method, path.format(track_id), headers=headers, **more)


def test_an_anonymous_caller_is_refused_first(subtests, client):
    for route in [*COMMANDS, *READS, ("POST", "/tracks"), ("GET", "/me"), ("GET", "/me/mirror")]:
        with subtests.test(str(route)[:80]):
            answer = send(client, None, route, 404)
            assert refusal(answer) == (401, "not_authenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_track_that_is_not_there_is_not_found(subtests, client, alice):
    for route in [*COMMANDS, *READS]:
        with subtests.test(str(route)[:80]):
            assert refusal(send(client, alice, route, 404)) == (404, "track_not_found")


def test_another_persons_track_is_theirs(subtests, client, world, alice, bob):
    track = upload(client, alice)
    before = world.state()
    for route in [*COMMANDS, *READS]:
        with subtests.test(str(route)[:80]):
            assert refusal(send(client, bob, route, track["id"])) == (403, "not_owner")
            assert world.state() == before


@pytest.mark.parametrize("route", [*COMMANDS, *READS])
def test_a_deleted_track_is_not_there_but_for_its_owner_to_bring_back_and_look_at(client, alice, bob, route):
    track = upload(client, alice)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert refusal(send(client, bob, route, track["id"])) == (404, "track_not_found")
    answer = send(client, alice, route, track["id"])
    if route[1] in WHEN_DELETED:
        assert answer.status_code == 200
    else:
        assert refusal(answer) == (404, "track_not_found")


def test_whose_it_is_comes_before_what_is_wrong_with_the_body(client, alice, bob):
    track = upload(client, alice)
    answer = client.patch(f"/tracks/{track['id']}", json={"title": ""}, headers=bob.headers)
    assert refusal(answer) == (403, "not_owner")
    nothing = client.patch(
        "/tracks/404", content=b"{", headers={**bob.headers, "Content-Type": "application/json"}
    )
    assert refusal(nothing) == (404, "track_not_found")


def test_a_reading_token_changes_nothing(subtests, client, world, alice):
    track = upload(client, alice)
    reader = world.sign_in("alice", scope=Scope.READ)
    for route in [*COMMANDS, ("POST", "/tracks")]:
        with subtests.test(str(route)[:80]):
            answer = send(client, reader, route, track["id"])
            assert refusal(answer) == (403, "scope_required")
            assert answer.json()["detail"]["scope"] == "write"
            assert client.get("/me", headers=reader.headers).status_code == 200


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer ", "Basic YTpi", "nonsense"])
def test_an_unknown_token_is_refused(client, header):
    answer = client.get("/me", headers={"Authorization": header})
    assert refusal(answer) == (401, "not_authenticated")


def test_an_expired_session_says_so(client, world):
    late = world.sign_in("late", expires_in=timedelta(seconds=-1))
    assert refusal(client.get("/me", headers=late.headers)) == (401, "session_expired")
    assert client.get("/tracks", headers=late.headers).status_code == 200


def test_an_admin_reads_every_history_and_mirror_but_edits_nothing(client, world, alice):
    track = upload(client, alice)
    admin = world.sign_in("admin", scope=Scope.ADMIN)
    for route in READS:
        assert send(client, admin, route, track["id"]).status_code == 200
    for route in COMMANDS:
        assert refusal(send(client, admin, route, track["id"])) == (403, "not_owner")


def test_an_admin_without_the_scope_has_no_more_rights(client, world, alice):
    track = upload(client, alice)
    admin = world.sign_in("admin", scope=Scope.WRITE)
    assert refusal(send(client, admin, READS[0], track["id"])) == (403, "not_owner")
