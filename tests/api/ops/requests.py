"""What operators ask the API for, and records that it tells them of."""

from datetime import timedelta

from sqlalchemy import update

from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Wanted
from outbox.mirror.tables import mirror_lane, mirror_target
from replay.derived import DerivedMedia
from storage.derived.renditions import DerivedKind
from tests.api.world import upload
from tests.eventstore.jobs.rig import claim_anywhere


def act(client, person, path, **body):
    return client.post(path, json=body, headers=person.headers)


def read(client, person, path, **wanted):
    answer = client.get(path, params=wanted, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def rejected(world, client, person, *seeds, error="InvalidRecord"):
    tracks = [upload(client, person, title=f"{seed}", seed=seed) for seed in seeds]
    world.pds.write_refusals = [(400, error)] * len(seeds)
    world.deliver()
    return tracks


def waits_an_hour(world):
    """As after many failures: what failed is tried again in an hour."""
    with world.database.write() as connection:
        later = world.database.now(connection) + timedelta(hours=1)
        for table in (mirror_lane, mirror_target):
            failed = update(table).where(table.c.failing_since.is_not(None))
            connection.execute(failed.values(not_before=later))


def by_cause(client, person, **wanted):
    body = read(client, person, "/ops/failures", by="cause", **wanted)
    assert body["items"] == []
    return body["causes"]


def cannot_be_made(world, *sources):
    """Waveforms of these, which no decoder reads."""
    [kind] = (each for each in DerivedMedia(*[None] * 5).kinds() if each.name == DerivedKind.WAVEFORM)
    with world.database.write() as connection:
        wanted = [Wanted(kind.name, each) for each in sources]
        queue.request(connection, wanted, world.database.now(connection))
    for _ in sources:
        job = claim_anywhere(world.database, kind, "one")
        queue.fail(world.database, kind, job, Failure("no decoder", final=True))
