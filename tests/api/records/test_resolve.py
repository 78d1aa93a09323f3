"""A record that another client edited: its owner sees both values and decides which stays."""

import pytest

from outbox.record.dag_cbor import record_cid
from tests.api.ops.requests import read
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

FOREIGN = {"title": "theirs", "elsewhere": {"kept": 1}}


def held(world, client, person, *, edit=None, drop=(), **changes):
    """A delivered track whose record another client has changed, as the relay has found."""
    track = upload(client, person, title="first", album="one", description="words")
    world.deliver()
    edited_elsewhere(world, track, drop=drop, **(changes or FOREIGN))
    client.patch(f"/tracks/{track['id']}", json=edit or {"album": "two"}, headers=person.headers)
    world.deliver()
    assert mirror(client, person, track)["state"] == "held"
    return track


def edited_elsewhere(world, track, *, drop=(), **changes):
    record = {**world.record(track), **changes}
    world.pds.records[track["atproto_record_uri"]] = {
        name: value for name, value in record.items() if name not in drop
    }


def mirror(client, person, track):
    return read(client, person, f"/tracks/{track['id']}/mirror")


def resolve(client, person, track, keep, **headers):
    path = f"/tracks/{track['id']}/mirror/resolve"
    return client.post(path, json={"keep": keep}, headers={**person.headers, **headers})


def decide(client, person, track, cid=None, **fields):
    path = f"/tracks/{track['id']}/mirror/resolve"
    return client.post(path, json={"fields": fields, "cid": cid}, headers=person.headers)


def shown(client, person, track):
    return read(client, person, f"/tracks/{track['id']}")


def statuses(client, person, track):
    rows = read(client, person, f"/tracks/{track['id']}/history")["items"]
    return [(row["type"], row["delivery"]["status"]) for row in reversed(rows)]


def test_the_mirror_shows_a_foreign_edit_and_the_fields_that_it_changed(world, client, alice):
    track = held(world, client, alice)
    conflict = mirror(client, alice, track)["conflict"]
    assert conflict["value"] == world.record(track)
    assert conflict["fields"] == ["title"]
    assert conflict["cid"] == record_cid(world.record(track))


def test_a_large_foreign_edit_is_not_kept_with_each_key(world, client, alice):
    track = held(world, client, alice, title="theirs", elsewhere="x" * 100_000)
    path, keyed = f"/tracks/{track['id']}/mirror/retry", {**alice.headers, "Idempotency-Key": "once"}
    first, again = [client.post(path, headers=keyed).json() for _ in range(2)]
    assert first["conflict"]["value"]["elsewhere"] == "x" * 100_000
    assert again == {**first, "conflict": None}
    assert mirror(client, alice, track)["conflict"] == first["conflict"]


def test_ours_is_written_over_theirs_and_their_other_fields_stay(world, client, alice):
    track = held(world, client, alice)
    answer = resolve(client, alice, track, "ours")
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    world.deliver()
    record = world.record(track)
    assert (record["title"], record["album"], record["elsewhere"]) == ("first", "two", {"kept": 1})
    assert mirror(client, alice, track)["state"] == "delivered"
    assert mirror(client, alice, track)["conflict"] is None
    assert statuses(client, alice, track)[-2:] == [
        ("ForeignEditObserved", "none"),
        ("RecordRestored", "delivered"),
    ]


def test_ours_does_not_overwrite_what_came_after_the_decision(world, client, alice):
    track = held(world, client, alice)
    resolve(client, alice, track, "ours")
    edited_elsewhere(world, track, title="newer")
    world.deliver()
    found = mirror(client, alice, track)
    assert (found["state"], found["conflict"]["value"]["title"]) == ("held", "newer")
    assert world.record(track)["title"] == "newer"
    assert world.events(track["id"]).count("ForeignEditObserved") == 2
    resolve(client, alice, track, "ours")
    world.deliver()
    assert world.record(track)["title"] == "first"


def test_theirs_is_taken_over_without_a_write_when_the_track_then_says_the_same(world, client, alice):
    track = held(world, client, alice, edit={"title": "ours"}, title="theirs", album=None, drop=("album",))
    theirs, requests = world.record(track), len(world.pds.requests)
    answer = resolve(client, alice, track, "theirs")
    assert (answer.status_code, answer.json()["state"]) == (200, "delivered")
    now = shown(client, alice, track)
    assert (now["title"], now["album"], now["description"]) == ("theirs", None, "words")
    assert now["atproto_record_cid"] == answer.json()["observed"]["cid"]
    world.deliver()
    assert "putRecord" not in world.pds.requests[requests:]
    assert world.record(track) == theirs
    assert statuses(client, alice, track) == [
        ("Created", "delivered"),
        ("MetadataUpdated", "superseded"),
        ("ForeignEditObserved", "none"),
        ("ForeignEditAdopted", "none"),
    ]


def test_an_edit_after_theirs_was_taken_over_is_written_on_top_of_it(world, client, alice):
    track = held(world, client, alice, edit={"title": "ours"})
    resolve(client, alice, track, "theirs")
    client.patch(f"/tracks/{track['id']}", json={"description": "more"}, headers=alice.headers)
    world.deliver()
    record = world.record(track)
    assert (record["title"], record["description"], record["elsewhere"]) == ("theirs", "more", {"kept": 1})
    assert mirror(client, alice, track)["state"] == "delivered"


def test_with_theirs_local_edits_of_other_fields_stay_and_are_written(world, client, alice):
    track = held(world, client, alice, edit={"title": "ours", "album": "two"})
    assert resolve(client, alice, track, "theirs").json()["state"] == "pending"
    world.deliver()
    record = world.record(track)
    assert (record["title"], record["album"], record["elsewhere"]) == ("theirs", "two", {"kept": 1})
    assert (shown(client, alice, track)["title"], shown(client, alice, track)["album"]) == ("theirs", "two")
    assert statuses(client, alice, track)[1:] == [
        ("MetadataUpdated", "superseded"),
        ("ForeignEditObserved", "none"),
        ("ForeignEditAdopted", "none"),
        ("RecordRestored", "delivered"),
    ]


def test_everything_that_a_track_can_say_is_taken_over(world, client, alice):
    labels = {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "nudity"}]}
    carol = {"did": "did:plc:" + "carol".ljust(24, "a"), "handle": "carol.test"}
    by_did = {"did": "did:plc:" + "drummer".ljust(24, "a")}
    theirs = {"title": "t", "album": "a", "description": "d", "features": [carol, by_did], "labels": labels}
    track = held(world, client, alice, edit={"title": "ours"}, **theirs)
    assert resolve(client, alice, track, "theirs").json()["state"] == "delivered"
    now = shown(client, alice, track)
    assert (now["title"], now["album"], now["description"]) == ("t", "a", "d")
    assert (now["features"], now["self_labels"]) == ([carol, {**by_did, "handle": None}], ["nudity"])
    assert world.record(track)["features"] == [carol, by_did]
    page = client.get(f"/@alice.test/{track['id']}", headers={"Accept": "text/html"}).text
    assert f"@carol.test and {by_did['did']}</p>" in page


@pytest.mark.parametrize(
    "changes",
    [
        {"createdAt": "2001-01-01T00:00:00Z"},
        {"audioUrl": "https://elsewhere.test/a.mp3"},
        {"artist": "somebody"},
        {"supportGate": {"type": "any"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_track_cannot_take_over_is_written_again_as_it_has_it(world, client, alice, changes):
    track = upload(client, alice, title="first")
    world.deliver()
    [name], ours = changes, world.record(track)
    edited_elsewhere(world, track, title="theirs", **changes)
    client.patch(f"/tracks/{track['id']}", json={"title": "ours"}, headers=alice.headers)
    world.deliver()
    resolve(client, alice, track, "theirs")
    world.deliver()
    record = world.record(track)
    assert (record["title"], record.get(name)) == ("theirs", ours.get(name))
    assert shown(client, alice, track)["support_gate"] is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": "x" * 257}, "title"),
        ({"features": "carol"}, "features"),
        ({"features": [{"did": "carol", "handle": "carol.test"}]}, "features"),
        ({"features": [{"did": "did:plc:a", "handle": "a.test"}, {"did": "did:"}]}, "features"),
        ({"labels": {"values": [{"val": 1}]}}, "self_labels"),
        ({"labels": [1]}, "self_labels"),
    ],
)
def test_values_that_our_rules_refuse_are_not_taken_over_and_nothing_is_lost(
    world, client, alice, changes, field
):
    track = held(world, client, alice, **changes)
    before, record = world.state(), world.record(track)
    answer = resolve(client, alice, track, "theirs")
    assert refusal(answer) == (400, "invalid_field")
    assert answer.json()["detail"]["field"] == field
    assert (world.state(), world.record(track)) == (before, record)
    assert resolve(client, alice, track, "ours").status_code == 200


def test_there_is_nothing_to_resolve_unless_a_record_is_held(world, client, alice):
    track = upload(client, alice)
    assert refusal(resolve(client, alice, track, "ours")) == (409, "nothing_to_resolve")
    world.deliver()
    before = world.state()
    for keep in ("ours", "theirs"):
        assert refusal(resolve(client, alice, track, keep)) == (409, "nothing_to_resolve")
    assert world.state() == before


def test_only_its_owner_decides_in_the_order_of_all_commands(world, client, alice, bob):
    track = held(world, client, alice)
    before = world.state()
    path = f"/tracks/{track['id']}/mirror/resolve"
    assert refusal(client.post(path, json={"keep": "ours"})) == (401, "not_authenticated")
    assert refusal(resolve(client, bob, {"id": 999}, "ours")) == (404, "track_not_found")
    assert refusal(resolve(client, bob, track, "nonsense")) == (403, "not_owner")
    assert refusal(resolve(client, alice, track, "nonsense")) == (400, "invalid_field")
    assert refusal(client.post(path, json={}, headers=alice.headers)) == (422, "unparsable")
    assert refusal(resolve(client, alice, track, "ours", **{"If-Match": '"9"'})) == (412, "version_mismatch")
    assert world.state() == before


def test_the_owners_delete_of_a_held_record_takes_their_value_with_it(world, client, alice):
    track = held(world, client, alice)
    requests = len(world.pds.requests)
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    world.deliver()
    assert world.record(track) is None
    sent = world.pds.requests[requests:]
    assert sent == ["deleteRecord"]  # at once under the swap of what was seen elsewhere
    assert refusal(resolve(client, alice, track, "ours")) == (404, "track_not_found")


def test_each_field_is_decided_by_itself_and_one_record_has_the_result(world, client, alice):
    edit = {"title": "ours", "album": "two"}
    track = held(world, client, alice, edit=edit, **FOREIGN, album="theirs", description="other")
    requests = len(world.pds.requests)
    answer = decide(client, alice, track, title="theirs", album="ours", description="ours")
    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    world.deliver()
    assert world.pds.requests[requests:] == ["putRecord"]
    record, now = world.record(track), shown(client, alice, track)
    assert [record[name] for name in ("title", "album", "description")] == ["theirs", "two", "words"]
    assert [now[name] for name in ("title", "album", "description")] == ["theirs", "two", "words"]
    assert record["elsewhere"] == {"kept": 1}
    assert statuses(client, alice, track)[-2:] == [
        ("ForeignEditAdopted", "none"),
        ("RecordRestored", "delivered"),
    ]


def test_a_decision_by_field_does_not_overwrite_what_came_after_it(world, client, alice):
    track = held(world, client, alice, **FOREIGN, album="theirs")
    decide(client, alice, track, title="theirs", album="ours")
    edited_elsewhere(world, track, title="newer")
    world.deliver()
    assert (world.record(track)["title"], mirror(client, alice, track)["state"]) == ("newer", "held")


def test_a_decision_on_a_version_that_was_changed_again_is_refused(world, client, alice):
    track = held(world, client, alice)
    seen = mirror(client, alice, track)["conflict"]["cid"]
    resolve(client, alice, track, "ours")
    edited_elsewhere(world, track, title="newer")
    world.deliver()
    now, before = mirror(client, alice, track)["conflict"]["cid"], world.state()
    answer = decide(client, alice, track, seen, title="theirs")
    assert (*refusal(answer), answer.json()["detail"]["cid"]) == (409, "edited_again", now)
    assert world.state() == before
    assert decide(client, alice, track, now, title="theirs").status_code == 200
    assert shown(client, alice, track)["title"] == "newer"


def test_a_decision_that_does_not_fit_the_conflict_is_refused_and_says_which_field(world, client, alice):
    track = held(world, client, alice, title="theirs", album="theirs", createdAt="2001-01-01T00:00:00Z")
    before = world.state()
    for fields, named in (
        ({"title": "theirs"}, "album, createdAt"),
        ({"title": "ours", "album": "ours", "createdAt": "ours", "genre": "ours"}, "genre"),
        ({"title": "ours", "album": "ours", "createdAt": "theirs"}, "createdAt"),
        ({"title": "ours", "album": "mine", "createdAt": "ours"}, "ours, theirs"),
    ):
        answer = decide(client, alice, track, **fields)
        assert refusal(answer) == (400, "invalid_field")
        assert answer.json()["detail"]["field"] == "fields"
        assert answer.json()["detail"]["limit"].endswith(named)
    path = f"/tracks/{track['id']}/mirror/resolve"
    both = client.post(path, json={"keep": "ours", "fields": fields}, headers=alice.headers)
    assert refusal(both) == (400, "invalid_field")
    assert world.state() == before


def test_the_mirror_shows_both_sides_of_each_field_and_which_may_be_adopted(world, client, alice):
    theirs = {"title": "theirs", "album": "x" * 257, "artist": "Other"}
    track = held(world, client, alice, edit={"title": "ours"}, **theirs, drop=("description",))
    found = mirror(client, alice, track)["conflict"]
    sides = {each.pop("field"): each for each in found["values"]}
    assert list(sides) == found["fields"] == ["album", "artist", "description", "title"]
    reasons = {name: sides[name].pop("only_ours_because") for name in sides}
    assert sides["title"] == {"ours": "ours", "theirs": "theirs", "agreed": "first"}
    assert sides["description"] == {"ours": "words", "theirs": None, "agreed": "words"}
    assert (reasons["title"], reasons["description"]) == (None, None)
    assert "256" in reasons["album"]
    assert "does not take" in reasons["artist"]


def restore(client, person, track):
    headers = {**person.headers, "Prefer": "wait=0"}
    return client.post(f"/tracks/{track['id']}/restore-record", headers=headers)


def test_a_held_record_that_is_gone_since_is_brought_back_by_a_restore(world, client, alice):
    track = held(world, client, alice)
    del world.pds.records[track["atproto_record_uri"]]
    assert restore(client, alice, track).status_code == 202
    world.deliver()
    assert world.record(track)["title"] == "first"
    assert mirror(client, alice, track)["state"] == "delivered"


def test_a_restore_without_a_preflight_read_does_not_overwrite_a_foreign_edit(world, client, alice):
    track = held(world, client, alice)
    world.pds.away = True
    assert restore(client, alice, track).status_code == 202
    world.pds.away = False
    world.deliver()
    assert (world.record(track)["title"], mirror(client, alice, track)["state"]) == ("theirs", "held")


def test_fields_of_another_program_are_left_out_of_a_record_that_nothing_holds(world, client, alice):
    track = upload(client, alice, title="first")
    world.deliver()
    edited_elsewhere(world, track, elsewhere={"kept": 1}, waveform="7")
    client.patch(f"/tracks/{track['id']}", json={"title": "second"}, headers=alice.headers)
    world.deliver()
    assert decide(client, alice, track, waveform="ours").status_code == 200
    world.deliver()
    record = world.record(track)
    assert (record["title"], record["elsewhere"], "waveform" in record) == ("second", {"kept": 1}, False)
    assert mirror(client, alice, track)["state"] == "delivered"


def test_nothing_but_fields_of_another_program_is_left_out(world, client, alice):
    track = upload(client, alice)
    world.deliver()
    before = world.state()
    for fields in ({"title": "ours"}, {"waveform": "theirs"}, {"waveform": "ours", "title": "ours"}):
        assert refusal(decide(client, alice, track, **fields)) == (409, "nothing_to_resolve")
    assert world.state() == before
