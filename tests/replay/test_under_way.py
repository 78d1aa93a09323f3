"""An import goes on with all that was under way at the export: deletions, reactions, schedules, uploads, repairs."""

import asyncio

import pytest
from sqlalchemy import select

from application.account import DELETION
from eventstore.jobs.kinds import PERIODIC
from eventstore.jobs.table import job
from eventstore.projection import carried_by
from identity.accounts.accounts import account
from projections.reactions import REACTION, likes
from replay.dump import EXPORTED, export, import_dump
from service.observability.subscribers import PROJECTIONS
from service.process.jobs import request_periodic
from service.schema.tables import metadata
from tests.api.account_deletion.deletion import leave, long_since
from tests.api.client import TestClient
from tests.api.releases.uploads import append, begun, draft, offset
from tests.api.world import World, upload
from tests.media_samples import samples
from tests.service.process.periodic import continue_account_deletions

NOT_EXPORTED = {
    "projection_state": "says which release made the read models here",
    "track_id_sequence": "an import issues larger ids",
    "id_boundary": "the header has it",
    "log_incarnation": "names this database",
    "job_turn": "made of the jobs",
    "event_bytes": "counts what the commands here add in a day",
    "idempotency": "answers to clients of this service, kept for a day",
    "running_request": "requests to this process",
    "credential": "a secret: the owners sign in again",
    "pds_session": "a secret: the owners sign in again",
    "export_file": "the service that makes an archive lists its files",
    "observed_account": "`mastertape recovered` makes it",
    "repo_scan": "the next scan compares all",
    "firehose_cursor": "each host is followed from now on",
    "failure_cause": "statistics",
    "failure_hour": "statistics",
    "delivery_hour": "statistics",
    "rendition": "made of media",
    "waveform": "made of media",
    "public_copy": "a review looks at the store",
    "public_hold": "commands of this process",
}
"""Every other table is exported, or made of the log."""


def test_each_table_is_exported_or_made_of_the_log_or_has_a_reason_not_to_be():
    made = {table.live.name for each in PROJECTIONS for table in each.tables}
    made |= {each.table.live.name for each in carried_by(PROJECTIONS)}
    assert metadata.tables.keys() - made - {each.kind for each in EXPORTED} == NOT_EXPORTED.keys()


def all_that_is_due(world):
    for _ in range(3):
        world.deliver()
        world.carry()
        long_since(world)
        continue_account_deletions(world.made)


@pytest.fixture
def moved(world, elsewhere, tmp_path):
    """Moves the world to another database, in which the owners sign in again."""
    made = []

    def move(*names):
        export(world.database, tmp_path / "dump", schema="1", lines=lambda _: None)
        made.append(there := World(world.made.settings.model_copy(update={"database_url": elsewhere})))
        there.pds.accounts.update(world.pds.accounts)
        import_dump(there.log, tmp_path / "dump", schema="1", lines=lambda _: None, progress=lambda *_: None)
        return there, [there.sign_in(name) for name in names]

    yield move
    for there in made:
        asyncio.run(there.made.close())


def test_what_was_under_way_at_an_export_goes_on_after_the_import(world, moved):
    request_periodic(world.database, ["sweep"])
    whole = samples.mp3(7)
    with TestClient(world.app, raise_server_exceptions=False) as client:
        alice, bob, carol = map(world.sign_in, ("alice", "bob", "carol"))
        upload(client, carol, seed=2)
        world.deliver()
        long_since(world)
        leave(client, carol)
        track = upload(client, alice, seed=1)  # without a record, which the like waits for
        assert client.put(f"/tracks/{track['id']}/like", headers=bob.headers).status_code < 300
        release = draft(client, alice, title="A")
        url = begun(client, alice, release)
        assert append(client, alice, url, whole[:4000], 0).status_code in {200, 204}
    there, [alice, bob, carol] = moved("alice", "bob", "carol")
    kinds = there.scalars(select(job.c.kind))
    assert {DELETION, REACTION} <= {*kinds}
    assert PERIODIC not in kinds
    with TestClient(there.app, raise_server_exceptions=False) as client:
        assert offset(client, alice, url) == (4000, "?0")
        answer = append(client, alice, url, whole[4000:], 4000, last=True)
        assert answer.status_code == 200, answer.text
        all_that_is_due(there)
        assert client.get(f"/tracks/{track['id']}").json()["like_count"] == 1
    assert there.scalars(select(account.c.did).where(account.c.leaving_since.is_not(None))) == []
    assert None not in there.scalars(select(likes.c.track_cid))
    with there.database.read() as connection:
        assert connection.scalar(select(job.c.id).where(job.c.kind.in_([DELETION, REACTION]))) is None
