"""Owner routes check in one order: caller, track, ownership, state of the track."""

from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

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


def send(client, person, route, track_id, **more):
    method, path = route
    if path.endswith("/audio"):
        more = {"files": {"file": samples.mp3(99)}, **more}
    headers = person.headers if person else {}
    return client.request(method, path.format(track_id), headers=headers, **more)


def test_a_track_that_is_not_there_is_not_found(subtests, client, alice):
    for route in [*COMMANDS, *READS]:
        with subtests.test(str(route)[:80]):
            assert refusal(send(client, alice, route, 404)) == (404, "track_not_found")


def test_a_deleted_track_is_not_there_but_for_its_owner_to_bring_back_and_look_at(
    subtests, client, alice, bob
):
    for seed, route in enumerate([*COMMANDS, *READS]):
        track = upload(client, alice, seed=seed)
        client.delete(f"/tracks/{track['id']}", headers=alice.headers)
        with subtests.test(str(route)):
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
