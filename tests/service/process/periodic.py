"""Runs periodic jobs of a container at once, as its worker does."""

import asyncio
from datetime import timedelta

from sqlalchemy import update

from application.account_deletion import DELETION
from eventstore.jobs import queue
from eventstore.jobs.periodic import PERIODIC, request_periodic
from eventstore.jobs.table import job as job_table
from eventstore.jobs.worker import Worker
from service.process.jobs import PeriodicJob, periodic_kind
from service.wiring.bootstrap import Container


def run_if_due(container: Container, job: PeriodicJob) -> bool:
    """Run the job if it is due, and return whether it ran to its end."""
    request_periodic(container.database, [job.name])
    kind = periodic_kind(container, [job])
    before = began(container, job)
    asyncio.run(Worker(container.database, [kind], owner="test", lease=timedelta(minutes=1)).run_once())
    with container.database.read() as connection:
        row = queue.job_of(connection, PERIODIC, job.name)
    assert row is not None
    return row.began_at != before and row.problem is None


def began(container: Container, job: PeriodicJob) -> object:
    with container.database.read() as connection:
        row = queue.job_of(connection, PERIODIC, job.name)
    return row and row.began_at


def make_due(container: Container) -> None:
    """All jobs are due now."""
    with container.database.write() as connection:
        connection.execute(update(job_table).values(due=container.database.now(connection)))


def continue_account_deletions(container: Container) -> None:
    """Take every step of every deletion that is possible now."""
    with container.database.read() as connection:
        dids = connection.scalars(
            job_table.select().with_only_columns(job_table.c.subject).where(job_table.c.kind == DELETION)
        ).all()
    for did in dids:
        asyncio.run(container.worker.run_now(DELETION, did))
