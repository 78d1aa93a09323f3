"""Requests, claims and settles jobs. A claim leases a job to a worker, and whatever that one changes afterwards is fenced by its epoch.

The account that was served, or began to wait, the longest ago is next. Claims of one kind are made one after the other, so that their
limits hold; nothing is counted but the jobs that run.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from eventstore.change import Envelope
from eventstore.coordination.backoff import backoff
from eventstore.errors import LeaseLostError
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome, Wanted
from eventstore.jobs.next_jobs import (
    QUEUED_PER_PAGE,
    accounts_with_work,
    busy_in,
    next_of,
    next_of_kinds,
    unqueued_of,
)
from eventstore.jobs.table import (
    CONDITIONS,
    IS_LEASED,
    IS_QUEUED,
    IS_WAITING,
    PAST,
    JobState,
    job,
    job_turn,
    names_of,
)
from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.append import key_of, lock_key, upsert
from eventstore.streams.buckets import EVERY, Part, bucket_of, for_account, in_part

PROCESS_ENDED: Final = "each attempt ended with its process"

MAX_PAGES_QUEUED: Final = 10
"""By a claim: a backlog that comes due at once is queued by many claims, none of which takes long."""

row: Final = job.c
_other: Final = job.alias("other")
_next_other: Final = (
    sa.select(_other.c.id)
    .where(_other.c.kind == row.kind, _other.c.account == row.account, _other.c.id != row.id)
    .where(_other.c.state == sa.literal_column(f"'{JobState.WAITING}'"), _other.c.queued)
    .order_by(_other.c.due, _other.c.id)
    .limit(1)
    .scalar_subquery()
)
_has_others: Final = _next_other.is_not(None).label("has_others")
"""Whether the account has more queued jobs of the kind: the order has PostgreSQL read the index of queued jobs."""
_UNLEASED: Final[Mapping[str, Any]] = {"lease_owner": None, "lease_until": PAST}
NO_FAILURES: Final[Mapping[str, Any]] = {"problem": None, "failing_since": None, "first_error": None}


def request(
    connection: sa.Connection,
    wanted: Iterable[Wanted],
    now: datetime,
    *,
    again: bool = False,
    hurry: bool = False,
    new_first: bool = False,
) -> None:
    """Request jobs. One that is there stays as it is; `again` begins those anew that are done or have failed.

    `hurry` makes those due that wait for their next attempt. A new one is due whatever the clock says: it may be set back.
    `new_first` lets accounts that were never served go before the others, and not after those that began to wait earlier.
    """
    jobs = [_requested(each, now) for each in wanted]
    if not jobs:
        return
    insert, names = upsert(connection, job), ("kind", "subject", "account")
    key = key_of(connection.dialect.name, job, *(row[name] for name in names))
    if again:
        fresh = {name: insert.excluded[name] for name in jobs[0] if name not in names}
        statement = insert.on_conflict_do_update(
            index_elements=key, set_=fresh, where=row.state != JobState.WAITING
        )
    elif hurry:
        statement = insert.on_conflict_do_update(index_elements=key, set_={"due": now}, where=IS_WAITING)
    else:
        statement = insert.on_conflict_do_nothing()
    connection.execute(statement, jobs)
    turns = {(each["kind"], each["account"]) for each in jobs}
    connection.execute(
        upsert(connection, job_turn).on_conflict_do_nothing(),
        [
            {"kind": kind, "account": account, "served_at": PAST if new_first else now}
            for kind, account in sorted(turns)
        ],
    )


def job_of(
    connection: sa.Connection, kind: str, subject: str, account: str | None = None
) -> sa.Row[Any] | None:
    return connection.execute(sa.select(job).where(*_is_of(kind, subject, account))).one_or_none()


def is_unfinished(connection: sa.Connection, kind: str, subject: str) -> bool:
    return connection.scalar(sa.select(row.id).where(*_is_of(kind, subject), IS_WAITING)) is not None


def queue_again(connection: sa.Connection, kind: str, accounts: Sequence[str]) -> None:
    """Have the next claim rank these accounts anew."""
    these = (row.kind == kind, row.account == sa.bindparam("of_account"), IS_QUEUED)
    again = sa.update(job).where(*these).values(queued=False)
    connection.execute(again, [for_account(each, "of_account") for each in accounts])


def cancel(connection: sa.Connection, kind: str, subject: str, account: str | None = None) -> None:
    """Remove the job; its worker finds its lease lost."""
    connection.execute(sa.delete(job).where(*_is_of(kind, subject, account)))


def due_kinds(
    database: Database,
    kinds: Sequence[Kind],
    parts: Sequence[Part],
    *,
    busy: Mapping[str, Sequence[str]] = {},
) -> dict[str, list[Part]]:
    """Request what the kinds find, and return those that have a job to claim, each with its parts, the one of the account that is next first.

    `busy` says for each kind what hosts get no more from this process. Most looks find nothing, and need no write transaction.
    """
    found = _look(database, tuple(kinds), parts, busy)
    if wanted := [each for each, _ in found if each.id is None]:
        with database.write() as connection:
            now = database.now(connection)
            for kind in kinds:
                of_kind = [
                    Wanted(kind.name, each.subject, each.account, each.host)
                    for each in wanted
                    if each.kind == kind.name
                ]
                if of_kind:
                    to_request = kind.on_found(connection, of_kind, now)
                    request(connection, to_request, now, new_first=kind.new_first)
        found = _look(database, tuple(kinds), parts, busy)
    due = defaultdict[str, dict[Part, None]](dict)
    for each, part in sorted((one for one in found if one[0].id is not None), key=lambda one: tuple(one[0])):
        due[each.kind][part] = None
    return {kind: list(parts) for kind, parts in due.items()}


def _look(
    database: Database, kinds: tuple[Kind, ...], parts: Sequence[Part], busy: Mapping[str, Sequence[str]]
) -> list[tuple[sa.Row[Any], Part]]:
    """Ask first whether there is anything, which takes a sixth: a new connection plans the statement of all kinds ten times."""
    with database.read_committed() as connection:
        now = {"now": database.recent_now(connection)}
        given = now | busy_in(kinds, busy)
        return [
            (each, part)
            for part in (parts if kinds else ())
            if connection.execute(accounts_with_work(kinds, part), now).first() is not None
            for each in connection.execute(next_of_kinds(kinds, part), given)
        ]


def claim(
    database: Database,
    kind: Kind,
    *,
    owner: str,
    lease: timedelta,
    subject: str | None = None,
    account: str | None = None,
    part: Part = EVERY,
    busy: Sequence[str] = (),
) -> Job | None:
    """Claim the next due job of the kind in the part, or that of this subject even before it is due; None where there is none.

    It is not of a `busy` host. One that was tried too often fails instead.
    """
    while True:
        with database.write() as connection:
            _lock(connection, kind.name)
            now = database.now(connection)
            free = sa.select(job, _has_others).where(IS_WAITING, row.lease_until <= now)
            if subject is None:
                _queue(connection, kind, part, now)
                next_id = sa.select(next_of(kind, part).subquery().c.id).scalar_subquery()
                these = free.where(row.id == next_id, in_part(row.bucket, part))
            else:
                these = free.where(*_is_of(kind.name, subject, account))
            # a transaction that has its row may take long, and others claim meanwhile
            unlocked = these.with_for_update(skip_locked=True, of=job)
            given = {"now": now} | busy_in([kind], {kind.name: busy})
            found = connection.execute(unlocked, given).one_or_none()
            if found is None:
                return None
            claimed = _claimed(found, now, _pause(kind, found.attempts))
            taken = {"attempts": claimed.attempts, "due": claimed.due, "lease_epoch": claimed.epoch}
            is_unchanged = sa.and_(*is_job(found), row.lease_epoch == found.lease_epoch, IS_WAITING)
            leased = {"lease_owner": owner, "lease_until": now + lease, "began_at": now, "began_by": owner}
            leased["queued"] = False
            if connection.execute(sa.update(job).where(is_unchanged).values(**taken, **leased)).rowcount == 0:
                continue
            served = {"served_at": now, "ready": found.has_others}
            _set_turns(connection, [{"kind": kind.name, "account": found.account, **served}], served)
            if kind.max_attempts is None or found.attempts < kind.max_attempts:
                return claimed
            _end(connection, kind, claimed, found.problem or PROCESS_ENDED, now)


def _lock(connection: sa.Connection, kind: str) -> None:
    """Wait for other claims of the kind. SQLite has one writer."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock_key(job.name, kind))))


def _queue(connection: sa.Connection, kind: Kind, part: Part, now: datetime) -> None:
    """Queue the jobs that have come due since the last claim, and make their accounts' turns ready: claims read no others."""
    for _ in range(MAX_PAGES_QUEUED):
        due = connection.execute(unqueued_of(kind, part), {"now": now}).all()
        if due:
            ready = {"kind": kind.name, "served_at": PAST if kind.new_first else now, "ready": True}
            ranks = {each.account: each.rank for each in due}
            turns = [{**ready, "account": account, "rank": ranks[account]} for account in sorted(ranks)]
            _set_turns(connection, turns, ("ready", "rank"))
            these = (row.id.in_([each.id for each in due]), in_part(row.bucket, part))
            connection.execute(sa.update(job).where(*these).values(queued=True))
        if len(due) < QUEUED_PER_PAGE:
            return


def _set_turns(connection: sa.Connection, turns: Sequence[Mapping[str, Any]], names: Iterable[str]) -> None:
    insert = upsert(connection, job_turn)
    key = key_of(connection.dialect.name, job_turn)
    newest = {name: insert.excluded[name] for name in names}
    connection.execute(insert.on_conflict_do_update(index_elements=key, set_=newest), turns)


def is_job(known: Any) -> tuple[sa.ColumnElement[bool], ...]:
    return row.id == known.id, row.bucket == bucket_of(known.account)


def held(claimed: Job) -> sa.ColumnElement[bool]:
    return sa.and_(*is_job(claimed), row.lease_epoch == claimed.epoch, IS_LEASED)


def is_held(connection: sa.Connection, claimed: Job) -> bool:
    """Whether the claim still holds: no other worker has claimed the job, and it was not cancelled."""
    return connection.scalar(sa.select(row.id).where(held(claimed))) is not None


def require_held(connection: sa.Connection, claimed: Job) -> None:
    """Keep other workers from the job until the transaction ends; raises LeaseLostError if the claim is lost, or the job cancelled."""
    if connection.scalar(sa.select(row.id).where(held(claimed)).with_for_update()) is None:
        raise LeaseLostError


def extend(database: Database, claimed: Job, lease: timedelta) -> bool:
    """Extend the lease and store the progress; False when the claim was lost."""
    with database.write() as connection:
        until = database.now(connection) + lease
        return _change(connection, claimed, lease_until=until, progress=claimed.progress)


def record_step(connection: sa.Connection, claimed: Job) -> None:
    """Begin the count of attempts anew in the transaction of a step that is done for good."""
    _change(connection, claimed, attempts=1, **NO_FAILURES)


def settle(database: Database, kind: Kind, claimed: Job, outcome: Outcome) -> None:
    with database.write() as connection:
        now = database.now(connection)
        well = {**_UNLEASED, **NO_FAILURES, "attempts": 0}
        well |= {"stopped_at": now, "progress": claimed.progress}
        if outcome is Outcome.AGAIN:
            _change(connection, claimed, **well, due=PAST)
        elif outcome is Outcome.LATER:
            later = sa.literal(claimed.began_at + claimed.again_after, UtcDateTime)
            _change(connection, claimed, **well, due=sa.case((row.due == claimed.due, later), else_=row.due))
        elif kind.keeps_done:
            _change(connection, claimed, **well, state=JobState.DONE, ended_at=now)
        else:
            connection.execute(sa.delete(job).where(held(claimed)))


def fail(database: Database, kind: Kind, claimed: Job, failure: Failure) -> timedelta | None:
    """Record the problem; return the pause before another attempt, None where there is none."""
    with database.write() as connection:
        now = database.now(connection)
        # in the row: a step that was done since the claim has begun the count anew
        attempts = connection.scalar(sa.select(row.attempts).where(held(claimed)).with_for_update())
        if attempts is None:
            return None
        is_last = kind.max_attempts is not None and attempts >= kind.max_attempts
        if failure.final or (failure.counted and is_last):
            _end(connection, kind, claimed, failure.problem, now)
            return None
        pause = _pause(kind, attempts - 1)
        again = {"attempts": attempts - (not failure.counted), "due": now + pause}
        _change(connection, claimed, **again, **_failed(claimed, failure.problem, now))
        return pause


def release(database: Database, claimed: Job) -> None:
    """End the lease as if the attempt had not begun, so that another worker can claim it at once."""
    with database.write() as connection:
        now = database.now(connection)
        back = {"attempts": row.attempts - 1, "due": now, "progress": claimed.progress}
        _change(connection, claimed, **back, **_UNLEASED)


def release_ended(
    database: Database,
    kinds: Iterable[str],
    has_ended: Callable[[str], bool],
    *,
    but: Iterable[str] = (),
) -> int:
    """End the leases of processes that are proved to have ended; returns how many."""
    with database.read_committed() as connection:
        leased = sa.select(row.id, row.account, row.lease_epoch, row.lease_owner).where(
            IS_LEASED, row.kind.in_(list(kinds))
        )
        found = connection.execute(leased.where(row.lease_owner.not_in(list(but)))).all()
    ended = [each for each in found if has_ended(each.lease_owner)]
    for each in ended:
        with database.write() as connection:
            same = sa.and_(*is_job(each), row.lease_epoch == each.lease_epoch, IS_LEASED)
            connection.execute(sa.update(job).where(same).values(_UNLEASED))
    return len(ended)


def retry(connection: sa.Connection, job_id: int, now: datetime) -> sa.Row[Any] | None:
    """Begin a job anew that has failed, or make one due that waits; returns its row as it was, None where there is no such job."""
    retriable = sa.or_(row.state == JobState.FAILED, CONDITIONS[JobState.WAITING])
    found = connection.execute(sa.select(job).where(row.id == job_id, retriable)).one_or_none()
    if found is not None:
        envelope = Envelope(found.actor, found.via, found.request_id)
        wanted = Wanted(found.kind, found.subject, found.account, found.host, envelope)
        has_failed = found.state == JobState.FAILED
        request(connection, [wanted], now, again=has_failed, hurry=not has_failed)
    return found


def prune_turns(database: Database, before: datetime) -> None:
    """Forget when accounts were served that have had no job of a kind queued since."""
    turn = job_turn.c
    is_queued = sa.exists().where(IS_QUEUED, row.kind == turn.kind, row.account == turn.account)
    with database.read() as connection:
        kinds = names_of(connection, turn.kind)
    for kind in kinds:
        old = (turn.kind == kind, turn.served_at <= before)
        with database.write() as connection:
            _lock(connection, kind)
            connection.execute(sa.update(job_turn).where(*old, turn.ready, ~is_queued).values(ready=False))
            connection.execute(sa.delete(job_turn).where(*old, ~turn.ready))


def _is_of(kind: str, subject: str, account: str | None = None) -> tuple[sa.ColumnElement[bool], ...]:
    return row.kind == kind, row.subject == subject, row.account == (account or subject)


def _requested(wanted: Wanted, now: datetime) -> dict[str, Any]:
    return {
        "kind": wanted.kind,
        "subject": wanted.subject,
        "account": wanted.account or wanted.subject,
        "host": wanted.host,
        "state": JobState.WAITING,
        "due": PAST,
        "attempts": 0,
        **NO_FAILURES,
        **vars(wanted.envelope),
        "requested_at": now,
        **dict.fromkeys(("progress", "ended_at", "began_at", "began_by", "stopped_at")),
    }


def _claimed(found: sa.Row[Any], now: datetime, pause: timedelta) -> Job:
    return Job(
        found.id,
        found.kind,
        found.subject,
        found.account,
        found.host,
        found.attempts + 1,
        found.lease_epoch + 1,
        found.problem,
        Envelope(found.actor, found.via, found.request_id),
        found.progress,
        now,
        now + pause,
    )


def _pause(kind: Kind, failures: int) -> timedelta:
    return backoff(failures, first=kind.first_pause_seconds, cap=kind.max_pause_seconds)


def _end(connection: sa.Connection, kind: Kind, claimed: Job, problem: str, now: datetime) -> None:
    ended = {"state": JobState.FAILED, "ended_at": now}
    if _change(connection, claimed, **ended, **_failed(claimed, problem, now)):
        kind.on_failed(connection, claimed, problem, now)


def _failed(claimed: Job, problem: str, now: datetime) -> dict[str, Any]:
    at_first: dict[str, Any] = {"failing_since": now, "first_error": problem}
    since: dict[str, Any] = {name: sa.func.coalesce(row[name], value) for name, value in at_first.items()}
    since |= {"problem": problem, "stopped_at": now}
    return {**since, **_UNLEASED, "progress": claimed.progress}


def _change(connection: sa.Connection, claimed: Job, **values: Any) -> bool:
    return connection.execute(sa.update(job).where(held(claimed)).values(values)).rowcount == 1
