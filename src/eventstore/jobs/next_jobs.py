"""Selects which job is next: of each account its first, and of those that of the account that was served the longest ago."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from eventstore.jobs.kinds import Kind
from eventstore.jobs.table import IS_UNQUEUED, JobState, job, job_turn
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import Part, in_part

REMEMBERED: Final = 512
"""Statements of kinds and of their sets, for each part: what a kind refers to is not kept for ever."""
QUEUED_PER_PAGE: Final = 100
"""Few, so that PostgreSQL reads them in the order of their index, whatever it expects to find."""
_NOW: Final = sa.bindparam("now", type_=UtcDateTime)
_WAITING: Final[sa.ColumnElement[str]] = sa.literal_column(f"'{JobState.WAITING}'")


@lru_cache(REMEMBERED)  # building it costs more than executing it (CONTRIBUTING.md)
def accounts_with_work(kinds: tuple[Kind, ...], part: Part) -> sa.Select[str]:
    """Select an account of the part that may have a job of the kinds to claim by `:now`, or for which one of them finds something."""
    names, turn = [each.name for each in kinds], job_turn.c
    # in an order of the index: without one, PostgreSQL expects to find a row soon in any order
    unqueued = sa.select(job.c.account).where(job.c.kind.in_(names), *_is_unqueued(part))
    due = unqueued.order_by(job.c.kind, job.c.due, job.c.id).limit(1).subquery()
    ready = sa.select(turn.account).where(turn.kind.in_(names), turn.ready, in_part(turn.bucket, part))
    found = [each.find(part).limit(1).subquery() for each in kinds if each.find is not None]
    accounts = sa.union_all(*(sa.select(each.c.account) for each in (due, ready.limit(1).subquery(), *found)))
    return sa.select(accounts.subquery().c.account)


def _is_unqueued(part: Part) -> tuple[sa.ColumnElement[bool], ...]:
    return IS_UNQUEUED, job.c.due <= _NOW, job.c.lease_until <= _NOW, in_part(job.c.bucket, part)


@lru_cache(REMEMBERED)
def next_of_kinds(kinds: tuple[Kind, ...], part: Part) -> Any:
    """Select the next job of each kind, one that is not queued yet, and without an id what the kind finds: one statement, since each goes to a node."""
    of_kinds = [of for kind in kinds for of in (next_of(kind, part), _first_unqueued(kind, part))]
    due = [sa.select(of.subquery(), *map(sa.null().label, ("subject", "host"))) for of in of_kinds]
    return sa.union_all(
        *due, *(_found(kind.name, kind.find(part)) for kind in kinds if kind.find is not None)
    )


def _first_unqueued(kind: Kind, part: Part) -> sa.Select[*tuple[Any, ...]]:
    columns = (job.c.kind, sa.literal(0).label("rank"), job.c.requested_at, job.c.account, job.c.id)
    these = (job.c.kind == kind.name, *_is_unqueued(part))
    return sa.select(*columns).where(*these).order_by(job.c.due, job.c.id).limit(1)


@lru_cache(REMEMBERED)
def unqueued_of(kind: Kind, part: Part) -> sa.Select[*tuple[Any, ...]]:
    """Select the jobs of the part that have come due, and the rank of their accounts."""
    rank = sa.literal(0) if kind.rank is None else kind.rank(job.c.account)
    query = sa.select(job.c.id, job.c.account, rank.label("rank"))
    query = query.where(job.c.kind == kind.name, *_is_unqueued(part))
    return query.order_by(job.c.due, job.c.id).limit(QUEUED_PER_PAGE)


def _found(kind: str, found: sa.Select[Any]) -> Any:
    of = found.subquery().c
    nothing = [sa.null().label(name) for name in ("rank", "served_at")]
    return sa.select(
        sa.literal(kind).label("kind"), *nothing, of.account, sa.null().label("id"), of.subject, of.host
    )


@lru_cache(REMEMBERED)
def next_of(kind: Kind, part: Part) -> sa.Select[Any]:
    """Select the queued job of the account that was served the longest ago, of those of the part that are within the limits."""
    turn, running = job_turn.c, job.alias("running")
    is_leased = (running.c.lease_owner.is_not(None), running.c.lease_until > _NOW)
    leased = sa.and_(running.c.kind == kind.name, *is_leased)
    these = [turn.kind == kind.name, turn.ready, in_part(turn.bucket, part)]
    if kind.max_per_account is not None:
        of_account = sa.select(sa.func.count()).select_from(running)
        of_account = of_account.where(leased, running.c.account == turn.account)
        these.append(of_account.scalar_subquery() < kind.max_per_account)
    first = job.alias("first")
    waits = [first.c.kind == kind.name, first.c.account == turn.account]
    waits += [first.c.state == _WAITING, first.c.queued, first.c.due <= _NOW, first.c.lease_until <= _NOW]
    if kind.condition is not None:
        waits.append(kind.condition(first, part))
    if kind.max_per_host is not None:
        waits.append(first.c.host.not_in(_busy_hosts(kind.name)))
    of_turn = sa.select(first.c.id).where(*waits).order_by(first.c.due, first.c.id).limit(1)
    of_turns = of_turn.correlate(job_turn).scalar_subquery().label("id")
    order = (turn.rank, turn.served_at, turn.account)
    found = sa.select(sa.literal(kind.name).label("kind"), *order, of_turns).where(*these).subquery()
    first_turn = [found.c[each.name] for each in order]
    return sa.select(found).where(found.c.id.is_not(None)).order_by(*first_turn).limit(1)


def _busy_hosts(kind: str) -> sa.BindParameter[Sequence[str]]:
    return sa.bindparam(f"busy {kind}", expanding=True)


def busy_in(kinds: Sequence[Kind], hosts: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {
        _busy_hosts(kind.name).key: hosts.get(kind.name, ())
        for kind in kinds
        if kind.max_per_host is not None
    }
