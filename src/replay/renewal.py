"""Makes snapshots anew after a release whose code folds aggregates otherwise: until then, streams are folded from their beginning.

One job for each such release. Each turn goes on after the last snapshot that was looked at, and each snapshot has the one before to begin with.
"""

from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from eventsourcing.utils import get_topic

from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs.kinds import Job, Kind, Outcome, Wanted
from eventstore.jobs.queue import request
from eventstore.streams import snapshots
from eventstore.streams.buckets import bucket_of
from eventstore.streams.snapshots import aggregate_snapshot, encode

SNAPSHOTS: Final = "snapshots"
SNAPSHOTS_PER_TURN: Final = 50
"""Each decodes EVENTS_PER_SNAPSHOT events: others wait for no more than a turn."""
FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 3600.0

_snapshot: Final = aggregate_snapshot.c
_PLACE: Final = (_snapshot.originator_id, _snapshot.originator_version)


def request_renewal(log: EventLog) -> None:
    """Request the job of this release, which stays when it is done."""
    with log.database.write() as connection:
        wanted = Wanted(SNAPSHOTS, snapshots.code_fingerprint())
        request(connection, [wanted], log.database.now(connection))


def renewal_kind(log: EventLog, threads: Threads) -> Kind:
    """Return the kind of these jobs; a process takes that of its own release alone."""

    async def work(job: Job) -> Outcome:
        progress = await threads.run(renew, log, job.progress or {})
        if progress is None:
            return Outcome.DONE
        job.progress = progress
        return Outcome.AGAIN

    return Kind(
        SNAPSHOTS,
        work,
        max_concurrent=1,
        first_pause_seconds=FIRST_PAUSE_SECONDS,
        max_pause_seconds=MAX_PAUSE_SECONDS,
        keeps_done=True,
        condition=lambda job, _part: job.c.subject == snapshots.code_fingerprint(),
        ends_when_cancelled=False,
    )


def renew(log: EventLog, progress: dict[str, Any]) -> dict[str, Any] | None:
    """Renew the next snapshots; return where to go on, None at the end."""
    after = (progress.get("stream", ""), progress.get("version", 0))
    columns = (_snapshot.did, *_PLACE, _snapshot.fingerprint)
    page = sa.select(*columns).where(sa.tuple_(*_PLACE) > after).order_by(*_PLACE).limit(SNAPSHOTS_PER_TURN)
    with log.database.read_committed() as connection:
        rows = connection.execute(page).all()
    for row in rows:
        if row.fingerprint != snapshots.code_fingerprint():
            _renew(log, row)
    if not rows:
        return None
    return {"stream": rows[-1].originator_id, "version": rows[-1].originator_version}


def _renew(log: EventLog, row: Any) -> None:
    with log.database.write() as connection:
        found = log.state_at(connection, row.did, UUID(row.originator_id), row.originator_version)
        if found is None or found.state.version != row.originator_version:
            return  # the database was put back to before this event
        this = (_snapshot.bucket == bucket_of(row.did), _snapshot.originator_id == row.originator_id)
        anew = {
            "position": found.position,
            "fingerprint": snapshots.code_fingerprint(),
            "topic": get_topic(type(found.state)),
            "state": encode(found.state),
        }
        of_version = _snapshot.originator_version == row.originator_version
        connection.execute(sa.update(aggregate_snapshot).where(*this, of_version).values(anew))
