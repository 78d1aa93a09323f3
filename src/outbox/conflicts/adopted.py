"""Targets of adopted records, which existed before their subject: acknowledged as they are on the PDS."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, select, update

from outbox.mirror.tables import mirror_lane, mirror_target, pds_host
from outbox.mirror.targets import CHANGE_TARGET, insert_into, of_target
from outbox.pds.client import RecordKey
from outbox.record.dag_cbor import Record, encode
from outbox.relay.journal import record_adopted

target: Final = mirror_target.c


def subjects_of_records(connection: Connection, did: str, kind: str) -> dict[tuple[str, str], int]:
    """Return the id of the subject of each record of an account, by collection and key, former copies included."""
    these = (target.did == did, target.kind == kind)
    rows = connection.execute(select(target.collection, target.rkey, target.subject_id).where(*these))
    return {(collection, rkey): subject_id for collection, rkey, subject_id in rows}


def acknowledge_as_found(
    connection: Connection, key: RecordKey, gen: int, record: tuple[str, Record], now: datetime
) -> None:
    """Acknowledge `record`, a CID and a body, as delivered: nothing is written before the subject changes."""
    cid, body = record
    found = {"acked_gen": gen, "acked_at": now, "observed_cid": cid, "observed_body": encode(body)}
    connection.execute(CHANGE_TARGET, {**of_target(key), **found, "ever_sent": True})
    record_adopted(connection, key, gen, cid, now)


def set_lane_host(connection: Connection, did: str, host: str) -> None:
    """Set the host of a lane whose account never signed in, so that its records can be verified."""
    known = insert_into(connection, pds_host).values(host=host)
    connection.execute(known.on_conflict_do_nothing())
    without_host = (mirror_lane.c.did == did, mirror_lane.c.host == "")
    connection.execute(update(mirror_lane).where(*without_host).values(host=host))
