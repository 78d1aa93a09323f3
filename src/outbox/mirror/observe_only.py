"""Observe-only: after a restore of the database, when the PDSes are ahead of the log, the relay sends nothing.

It sends nothing at all until an operator has run `mastertape recovered`, and nothing for an account until its records
have been compared, when what is newer on the PDS is held for its owner.
"""

from typing import Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    Text,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    update,
)

from eventstore.jobs.table import job
from eventstore.restore_detection import is_restored
from eventstore.schema import metadata
from outbox.mirror.tables import PAST, UPLOAD, mirror_lane, mirror_target

observed_account: Final = Table("observed_account", metadata, Column("did", Text, primary_key=True))
_ON_A_PDS: Final = select(mirror_lane.c.did).where(
    mirror_lane.c.host != "", exists().where(mirror_target.c.did == mirror_lane.c.did)
)
EPOCHS_SKIPPED: Final = 1000
"""So that no lane run from before the restore, still in flight, has the epoch of a later one."""


def is_observed() -> ColumnElement[bool]:
    """Whether the relay sends nothing for a lane."""
    return or_(is_restored(), exists().where(observed_account.c.did == mirror_lane.c.did))


def observe_all(connection: Connection) -> int:
    """Observe every account that has records; returns how many accounts are observed."""
    known = select(observed_account.c.did)
    these = _ON_A_PDS.where(mirror_lane.c.did.not_in(known))
    connection.execute(insert(observed_account).from_select(["did"], these))
    return observed_accounts(connection)


def end_leases(connection: Connection) -> None:
    """End the leases of lanes and uploads: what is still in flight cannot be settled any more."""
    epoch = mirror_lane.c.lease_epoch + EPOCHS_SKIPPED
    connection.execute(update(mirror_lane).values(lease_owner=None, lease_until=PAST, lease_epoch=epoch))
    connection.execute(delete(job).where(job.c.kind == UPLOAD))


def accounts_to_observe(connection: Connection) -> int:
    """Count the accounts that have records and a PDS, which deleted accounts have not."""
    return connection.scalar(select(func.count()).select_from(_ON_A_PDS.subquery())) or 0


def observed_accounts(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(observed_account)) or 0


def is_account_observed(connection: Connection, did: str) -> bool:
    return connection.scalar(select(exists().where(observed_account.c.did == did))) or False


def stop_observing(connection: Connection, did: str | None = None) -> None:
    """Let the relay send for an account again, or for all."""
    which = observed_account.c.did == did if did is not None else ~false()
    connection.execute(delete(observed_account).where(which))
