"""How many of an account's records are not as the log says, by the state they are in."""

from collections import Counter
from typing import Final

from sqlalchemy import Connection, or_, select

from outbox.status import DELIVERED, mirrors
from outbox.tables import mirror_target

IDS_A_QUERY: Final = 500


def waiting_records(connection: Connection, did: str) -> dict[str, int]:
    """Count them."""
    target = mirror_target.c
    not_settled = or_(target.desired_gen > target.acked_gen, target.detached, target.state == "held")
    ids = list(connection.scalars(select(target.track_id).where(target.did == did, not_settled)))
    counts: Counter[str] = Counter()
    for start in range(0, len(ids), IDS_A_QUERY):
        counts.update(
            mirror.state for mirror in mirrors(connection, ids[start : start + IDS_A_QUERY]).values()
        )
    del counts[DELIVERED]
    return dict(counts)
