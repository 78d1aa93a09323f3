"""Lanes and targets as rows, for tests of what the relay does with many of them."""

import sys
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from eventstore.coordination.due_parts import parts_of
from eventstore.sql.database import Database
from outbox.mirror.lanes import Lane, change_lane, resume_lane
from outbox.mirror.tables import PAST, mirror_lane, mirror_target, pds_host
from outbox.relay.claim import claim

HOST = "http://pds.test"
LEASE = timedelta(seconds=60)


def add_lane(database: Database, number: int, *, host: str = HOST, **columns: Any) -> str:
    """A lane that works on this host, due the longer the lower its number, with one open target."""
    did = f"did:plc:{number}"
    with database.write() as connection:
        resume_lane(connection, did, host, PAST + timedelta(seconds=number))
        change_lane(connection, did, **{"lease_owner": None, **columns})
        add_target(connection, did, number)
    return did


def add_target(connection: Connection, did: str, track_id: int, **columns: Any) -> None:
    row = {
        "did": did,
        "collection": "c",
        "rkey": str(track_id),
        "subject_id": track_id,
        "desired_gen": 1,
        "desired_op": "put",
        "detached": False,
        **columns,
    }
    connection.execute(insert(mirror_target).values(row))


def change_target(database: Database, did: str, **columns: Any) -> None:
    with database.write() as connection:
        connection.execute(update(mirror_target).where(mirror_target.c.did == did).values(columns))


def set_host(database: Database, host: str = HOST, **columns: Any) -> None:
    with database.write() as connection:
        connection.execute(update(pds_host).where(pds_host.c.host == host).values(columns))


def lane_row(database: Database, did: str) -> Any:
    with database.read() as connection:
        return connection.execute(select(mirror_lane).where(mirror_lane.c.did == did)).one()


def claimed(
    database: Database,
    *,
    owner: str = "relay",
    limit: int = 100,
    backfill: int = sys.maxsize,
) -> list[Lane]:
    return claim(database, parts_of(database), owner=owner, limit=limit, lease=LEASE, backfill=backfill)


def dids(lanes: list[Lane]) -> list[str]:
    return [lane.did for lane in lanes]
