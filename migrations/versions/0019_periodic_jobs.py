"""Periodic jobs and deletions of accounts are rows of `job` too, which says when the newest attempt began and ended."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """The times of the last runs stay; each account that leaves gets its job."""
    for name, kind in (("began_at", UtcDateTime()), ("began_by", sa.Text()), ("stopped_at", UtcDateTime())):
        op.add_column("job", sa.Column(name, kind))
    op.execute(
        "insert into job (kind, subject, account, due, problem, failing_since, actor, via, request_id, requested_at,"
        " began_at, began_by, stopped_at)"
        " select 'periodic', name, name, lease_until, problem, failing_since, '', 'job', '', lease_until, began_at, owner,"
        " ended_at from job_lease where name <> 'finish_leaving'"
    )
    op.execute(
        "insert into job (kind, subject, account, host, due, actor, via, request_id, requested_at)"
        " select 'account_deletion', did, did, pds_url, leaving_since, did, 'job', '', leaving_since"
        " from account where leaving_since is not null"
    )
    op.execute(
        "insert into job_turn (kind, account, served_at) select kind, account, due from job"
        " where kind in ('periodic', 'account_deletion')"
    )
    op.drop_table("job_lease")
