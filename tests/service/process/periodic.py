"""Runs periodic jobs of a container at once, as its worker does."""

import asyncio
from datetime import timedelta

from sqlalchemy import select, update

from application.account import DELETION, deletion_kind
from eventstore.jobs import queue
from eventstore.jobs.kinds import PERIODIC
from eventstore.jobs.table import job as job_table
from eventstore.jobs.worker import Worker
from service.process.jobs import PeriodicJob, periodic_kind, request_periodic
from service.wiring.bootstrap import Container
from service.wiring.identity import IdentityParts, pds_http_client

LEASE = timedelta(minutes=1)


def run_if_due(container: Container, job: PeriodicJob) -> bool:
    request_periodic(container.database, [job.name])
    kind = periodic_kind(container, [job])
    before = began(container, job)
    asyncio.run(Worker(container.database, [kind], owner="test", lease=LEASE).run_once())
    with container.database.read() as connection:
        row = queue.job_of(connection, PERIODIC, job.name)
    assert row is not None
    return row.began_at != before and row.problem is None


def began(container: Container, job: PeriodicJob) -> object:
    with container.database.read() as connection:
        row = queue.job_of(connection, PERIODIC, job.name)
    return row and row.began_at


def make_due(container: Container) -> None:
    with container.database.write() as connection:
        connection.execute(update(job_table).values(due=container.database.now(connection)))


def continue_account_deletions(container: Container) -> None:
    asyncio.run(_continue(container))


async def _continue(container: Container) -> None:
    with container.database.read() as connection:
        dids = connection.scalars(select(job_table.c.subject).where(job_table.c.kind == DELETION)).all()
    async with pds_http_client(container.settings) as http:
        parts = IdentityParts(
            container.settings, container.log, http, http, collections=(), on_refresh=lambda _outcome: None
        )
        kind = deletion_kind(container.log, parts.sessions.disconnect, container.services.threads)
        worker = Worker(container.database, [kind], owner="test", lease=LEASE)
        for did in dids:
            await worker.run_now(DELETION, did)
        await parts.sessions.finish()
