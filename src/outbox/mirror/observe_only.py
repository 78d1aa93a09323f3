"""Observe-only: after a restore of the database, when the PDSes are ahead of the log, the relay sends nothing.

It sends nothing at all until an operator has run `mastertape recovered`, and nothing for an account until its records
have been compared, when what is newer on the PDS is held for its owner.
"""

from typing import Final

import sqlalchemy as sa

from eventstore.coordination.restore_detection import is_restored
from eventstore.jobs.table import job
from eventstore.sql.database import count_rows
from eventstore.sql.schema import metadata
from eventstore.streams.buckets import account_columns
from outbox.mirror.tables import IS_OPEN_JOB, PAST, UPLOAD, blob_job, lane, mirror_lane, target

observed_account: Final = sa.Table("observed_account", metadata, *account_columns(primary_key=True))
_ON_A_PDS: Final = sa.select(lane.did).where(lane.host != "", sa.exists().where(target.did == lane.did))
EPOCHS_SKIPPED: Final = 1000
"""So that no lane run from before the restore, still in flight, has the epoch of a later one."""


def is_observed() -> sa.ColumnElement[bool]:
    """Whether the relay sends nothing for a lane."""
    return sa.or_(is_restored(), sa.exists().where(observed_account.c.did == lane.did))


def observe_all(connection: sa.Connection) -> int:
    """Observe every account that has records; returns how many accounts are observed."""
    known = sa.select(observed_account.c.did)
    these = _ON_A_PDS.where(lane.did.not_in(known)).add_columns(lane.bucket)
    connection.execute(sa.insert(observed_account).from_select(["did", "bucket"], these))
    return observed_accounts(connection)


def end_leases(connection: sa.Connection) -> None:
    """End the leases of lanes and uploads: what is still in flight cannot be settled any more."""
    epoch = lane.lease_epoch + EPOCHS_SKIPPED
    connection.execute(sa.update(mirror_lane).values(lease_owner=None, lease_until=PAST, lease_epoch=epoch))
    connection.execute(sa.delete(job).where(job.c.kind == UPLOAD))
    connection.execute(sa.update(blob_job).where(IS_OPEN_JOB).values(queue_at=PAST))


def accounts_to_observe(connection: sa.Connection) -> int:
    """Count the accounts that have records and a PDS, which deleted accounts have not."""
    return count_rows(connection, of=_ON_A_PDS.subquery())


def observed_accounts(connection: sa.Connection) -> int:
    return count_rows(connection, of=observed_account)


def is_account_observed(connection: sa.Connection, did: str) -> bool:
    return connection.scalar(sa.select(sa.exists().where(observed_account.c.did == did))) or False


def stop_observing(connection: sa.Connection, did: str | None = None) -> None:
    """Let the relay send for an account again, or for all."""
    which = observed_account.c.did == did if did is not None else ~sa.false()
    connection.execute(sa.delete(observed_account).where(which))
