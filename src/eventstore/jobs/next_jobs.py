"""Selects which job is next: of each account its first, and of those that of the account that was served the longest ago."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from eventstore.jobs.kinds import Kind
from eventstore.jobs.table import IS_WAITING, JobState, job, job_turn
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import Part, in_part

REMEMBERED: Final = 512
"""Statements of kinds and of their sets, for each part: what a kind refers to is not kept for ever."""
_WAITING: Final[sa.ColumnElement[str]] = sa.literal_column(f"'{JobState.WAITING}'")


@lru_cache(REMEMBERED)  # building it costs more than executing it (CONTRIBUTING.md)
def accounts_with_work(kinds: tuple[Kind, ...], part: Part) -> sa.Select[str]:
    """Select an account of the part that has a job of the kinds which is due by `:now`, or for which one of them finds something."""
    now = sa.bindparam("now", type_=UtcDateTime)
    is_due = (
        IS_WAITING,
        job.c.kind.in_([each.name for each in kinds]),
        job.c.due <= now,
        job.c.lease_until <= now,
        in_part(job.c.bucket, part),
    )
    due = sa.select(job.c.account).where(*is_due).limit(1).subquery()
    found = [each.find(part).limit(1).subquery() for each in kinds if each.find is not None]
    accounts = sa.union_all(*(sa.select(each.c.account) for each in (due, *found)))
    return sa.select(accounts.subquery().c.account)


@lru_cache(REMEMBERED)
def next_of_kinds(kinds: tuple[Kind, ...], part: Part) -> Any:
    """Select the next job of each kind, and without an id what the kind finds: one statement, since each goes to a node."""
    due = [
        sa.select(next_of(kind, part).subquery(), *map(sa.null().label, ("subject", "host")))
        for kind in kinds
    ]
    return sa.union_all(
        *due, *(_found(kind.name, kind.find(part)) for kind in kinds if kind.find is not None)
    )


def _found(kind: str, found: sa.Select[Any]) -> Any:
    of = found.subquery().c
    nothing = [sa.null().label(name) for name in ("rank", "served_at")]
    return sa.select(
        sa.literal(kind).label("kind"), *nothing, of.account, sa.null().label("id"), of.subject, of.host
    )


@lru_cache(REMEMBERED)
def next_of(kind: Kind, part: Part) -> sa.Select[Any]:
    """Select the due job of the account that was served the longest ago, of those of the part that are within the limits."""
    turn, running = job_turn.c, job.alias("running")
    now = sa.bindparam("now", type_=UtcDateTime)
    is_leased = (running.c.lease_owner.is_not(None), running.c.lease_until > now)
    leased = sa.and_(running.c.kind == kind.name, *is_leased)
    these = [turn.kind == kind.name, in_part(turn.bucket, part)]
    if kind.max_per_account is not None:
        of_account = sa.select(sa.func.count()).select_from(running)
        of_account = of_account.where(leased, running.c.account == turn.account)
        these.append(of_account.scalar_subquery() < kind.max_per_account)
    first = job.alias("first")
    waits = [first.c.kind == kind.name, first.c.account == turn.account, first.c.state == _WAITING]
    waits += [first.c.due <= now, first.c.lease_until <= now]
    if kind.condition is not None:
        waits.append(kind.condition(first, part))
    if kind.max_per_host is not None:
        waits.append(first.c.host.not_in(_busy_hosts(kind.name)))
    of_turn = sa.select(first.c.id).where(*waits).order_by(first.c.due, first.c.id).limit(1)
    ranks = [] if kind.rank is None else [kind.rank(turn.account).label("rank")]
    of_turns = of_turn.correlate(job_turn).scalar_subquery().label("id")
    found = sa.select(of_turns, *ranks, turn.served_at, turn.account).where(*these).subquery()
    order = [each for each in found.c if each is not found.c.id]
    rank = found.c.rank if ranks else sa.literal(0).label("rank")
    columns = (sa.literal(kind.name).label("kind"), rank, found.c.served_at, found.c.account, found.c.id)
    return sa.select(*columns).where(found.c.id.is_not(None)).order_by(*order).limit(1)


def _busy_hosts(kind: str) -> sa.BindParameter[Sequence[str]]:
    return sa.bindparam(f"busy {kind}", expanding=True)


def busy_in(kinds: Sequence[Kind], hosts: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {
        _busy_hosts(kind.name).key: hosts.get(kind.name, ())
        for kind in kinds
        if kind.max_per_host is not None
    }
