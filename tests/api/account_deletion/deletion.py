"""Helpers: ask for the deletion of an account, and look at what is left of it."""

from datetime import timedelta

from sqlalchemy import select, update

from aggregates.accounts.account import Account
from outbox.mirror.tables import delivery_attempt
from storage.media import media
from tests.api.world import upload
from tests.media_samples import samples
from tests.service.process.periodic import continue_account_deletions


def three_tracks(world, client, person):
    """Upload three tracks, one with a cover, whose records have been on the PDS for hours."""
    made = [
        upload(client, person, seed=seed, image=samples.png() if seed == 1 else None) for seed in (1, 2, 3)
    ]
    world.deliver()
    long_since(world)
    return made


def long_since(world):
    """Backdate all attempts by hours, so that no write can arrive late any more."""
    with world.database.write() as connection:
        started = delivery_attempt.c.started_at
        for row in connection.execute(select(delivery_attempt.c.id, started)).all():
            this = delivery_attempt.c.id == row.id
            connection.execute(
                update(delivery_attempt).where(this).values(started_at=row.started_at - timedelta(hours=3))
            )


def leave(client, person):
    answer = client.delete("/me", headers=person.headers)
    assert (answer.status_code, answer.headers["location"]) == (202, "/me"), answer.text
    return answer.json()


def is_deleted(world, client, person):
    """All of the account goes, none of whose writes can arrive late any more."""
    long_since(world)
    leave(client, person)
    world.deliver()
    continue_account_deletions(world.made)


def me(client, person):
    return client.get("/me", headers=person.headers)


def noted(world, did):
    with world.database.read() as connection:
        events = [each.event for each in world.log.stream(connection, did, Account.create_id(did))]
    return [type(event).__name__ for event in events], events[-1]


def rows(world, table, did):
    return world.rows(select(table).where(table.c.did == did))


def live_media(world):
    return world.scalars(select(media.c.cid).where(media.c.state == "live"))
