"""POST /me/migrate-to-pds copies all of an account's audio to its PDS, one event a track, after live work."""

import pytest
from sqlalchemy import select, update

from application import records as migrate_all
from outbox.mirror.lanes import change_lane, park_lane
from outbox.mirror.tables import blob_job, mirror_target
from tests.api.ops.requests import read
from tests.api.world import upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

HERE = "/me/migrate-to-pds"
GATE = {"type": "any"}


@pytest.fixture(autouse=True)
def _small_units(monkeypatch):
    monkeypatch.setattr(migrate_all, "SUBJECTS_IN_A_UNIT", 2)


@pytest.fixture
def library(world, client, alice):
    """Five tracks that may go, a gated one and a deleted one; all of them at the PDS, none of their audio."""
    tracks = [upload(client, alice, title=f"{number}", seed=number) for number in range(5)]
    upload(client, alice, title="gated", seed=10, support_gate=GATE)
    gone = upload(client, alice, title="gone", seed=11)
    client.delete(f"/tracks/{gone['id']}", headers=alice.headers)
    world.deliver()
    return tracks


def ask(client, person, **fields):
    answer = client.post(HERE, json=fields, headers=person.headers)
    assert (answer.status_code, answer.headers["location"]) == (202, HERE)
    return answer.json()


def counts(report):
    return {name: report[name] for name in ("saved", "pending", "failed", "unasked")}


def test_every_track_that_may_go_is_asked_for_once(world, client, alice, library):
    assert counts(read(client, alice, HERE)) == {"saved": 0, "pending": 0, "failed": {}, "unasked": 5}
    report = ask(client, alice)
    assert (report["requested"], report["skipped"]) == (5, {"gated": 1, "deleted": 1})
    assert counts(report) == {"saved": 0, "pending": 5, "failed": {}, "unasked": 0}
    assert ask(client, alice)["requested"] == 0
    for track in library:
        assert world.events(track["id"]).count("BlobMigrationRequested") == 1


def test_progress_is_told_until_every_record_names_its_audio(world, client, alice, library):
    ask(client, alice)
    world.deliver()
    assert counts(read(client, alice, HERE)) == {"saved": 5, "pending": 0, "failed": {}, "unasked": 0}
    for track in library:
        assert world.record(track)["audioBlob"]["ref"]["$link"] == track["file_id"]
    assert ask(client, alice)["requested"] == 0


def test_its_records_wait_for_live_work(world, client, alice, library):
    ask(client, alice)
    client.patch(f"/tracks/{library[0]['id']}", json={"title": "live"}, headers=alice.headers)
    with world.database.write() as connection:
        change_lane(connection, alice.did, paced_until=world.database.now(connection).replace(year=9000))
    world.deliver()  # the uploads alone
    with world.database.read() as connection:
        target = mirror_target.c
        rows = connection.execute(
            select(target.subject_id, target.backfill).where(target.desired_gen > target.acked_gen)
        )
        waiting = dict(rows.all())
    assert waiting == {track["id"]: number > 0 for number, track in enumerate(library)}


def test_one_that_is_asked_for_alone_waits_for_none_of_the_others(world, client, alice, library):
    ask(client, alice)
    track = library[3]
    client.post(f"/tracks/{track['id']}/migrate-to-pds", headers={**alice.headers, "Prefer": "wait=0"})
    with world.database.read() as connection:
        first = select(blob_job.c.subject_id).where(~blob_job.c.backfill)
        assert connection.scalars(first).all() == [track["id"]]


@pytest.mark.usefixtures("library")
def test_what_the_pds_refuses_is_listed_and_asked_for_again_only_on_demand(world, client, alice):
    world.pds.blob_limit = 10
    ask(client, alice)
    world.deliver()
    report = read(client, alice, HERE)
    assert counts(report) == {"saved": 0, "pending": 0, "failed": {"too_large": 5}, "unasked": 0}
    assert [each["title"] for each in report["failures"]] == ["0", "1", "2", "3", "4"]
    assert {each["reason"] for each in report["failures"]} == {"too_large"}
    assert ask(client, alice)["requested"] == 0

    world.pds.blob_limit = None
    assert ask(client, alice, retry_failed=True)["requested"] == 5
    world.deliver()
    assert read(client, alice, HERE)["saved"] == 5


@pytest.mark.usefixtures("library")
def test_a_crash_in_the_middle_leaves_what_was_asked_and_goes_on_when_asked_again(client, alice, monkeypatch):
    asked, real = [], migrate_all.mark_backfill

    def breaks(connection, did, ids):
        asked.append(list(ids))
        if len(asked) == 2:
            raise RuntimeError
        real(connection, did, ids)

    monkeypatch.setattr(migrate_all, "mark_backfill", breaks)
    assert client.post(HERE, headers=alice.headers).status_code == 500
    assert read(client, alice, HERE)["pending"] == 2
    monkeypatch.setattr(migrate_all, "mark_backfill", real)
    assert ask(client, alice)["requested"] == 3


@pytest.mark.usefixtures("library")
def test_a_signed_out_account_is_shown_what_the_copy_waits_for(world, client, alice):
    with world.database.write() as connection:
        park_lane(connection, alice.did)
    report = ask(client, alice)
    assert (report["pending"], report["waits_for"]) == (5, "auth_required")


def test_what_was_gated_meanwhile_is_skipped(world, client, alice, library):
    ask(client, alice)
    client.patch(f"/tracks/{library[0]['id']}", json={"support_gate": GATE}, headers=alice.headers)
    world.deliver()
    report = read(client, alice, HERE)
    assert (report["saved"], report["skipped"]["gated"]) == (4, 2)
    world.execute(update(mirror_target).values(acked_gen=0))
    assert read(client, alice, HERE)["saved"] == 0
