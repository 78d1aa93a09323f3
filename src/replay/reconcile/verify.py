"""Compares every record that the PDSes hold for us with the log; no login is needed."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import Subject
from eventstore.coordination.threads import Joint, Turns
from eventstore.errors import EventStoreError
from eventstore.jobs.kinds import Failure
from eventstore.sql.database import Database, pages
from eventstore.sql.schema import stored_event
from eventstore.untrusted import clean
from identity.errors import IdentityError, UnknownIdentityError, UnsafeAddressError
from outbox.mirror.due import is_open
from outbox.mirror.states import TargetState
from outbox.mirror.tables import FEW_ROWS, delivery_attempt, mirror_lane, mirror_target, target
from outbox.mirror.targets import DELETE, PUT, are_about
from outbox.pds.client import RecordKey, RemoteUnknownError
from outbox.pds.verdict import Kind as VerdictKind
from outbox.record.dag_cbor import MAX_INTEGER, decode
from outbox.record.kind import RecordKinds, blob_reference
from outbox.repo.reads import Found, Records, RepoReads
from outbox.threads import in_thread
from replay.errors import NoPdsError, ReplayError
from replay.reconcile.drift import Drift, DriftKind, Expected, drifts_of
from storage.errors import StorageError

logger = logging.getLogger("mastertape.replay")

MAX_CONCURRENT_REPOS: Final = 8
MAX_CONCURRENT_REPOS_OF_A_HOST: Final = 2
Outdated = Callable[[str], Mapping[RecordKey, DriftKind]]
"""Which records of an account would be written otherwise now, and how they differ (outdated.py)."""


@dataclass(frozen=True)
class Repo:
    """An account and its PDS; `collections` are compared even if the log has no record in them."""

    did: str
    host: str
    collections: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verified:
    """The result for one repo; `problem` says why it could not be read."""

    repo: Repo
    records: int
    drifts: tuple[Drift, ...] = ()
    problem: str | None = None
    unjudged: AbstractSet[RecordKey] = frozenset()
    """Records that may differ, and no difference is told of: they could not be read, or are on their way."""
    unread: AbstractSet[RecordKey] = frozenset()


def repos_of(database: Database, did: str | None = None, *, collections: Sequence[str] = ()) -> list[Repo]:
    """List the accounts that have records, or the one; with `collections`, accounts without records too."""
    lane = mirror_lane.c
    query = sa.select(lane.did, lane.host).where(lane.host != "")
    if not collections:
        query = query.where(sa.select(target.did).where(target.did == lane.did).exists())
    if did is not None:
        query = query.where(lane.did == did)
    with database.read() as connection:
        return [
            Repo(row.did, row.host, tuple(collections))
            for row in connection.execute(query.order_by(lane.did))
        ]


@dataclass
class Verifier:
    """Compares repos, a few at once and fewer of one host; each once at a time, however many ask.

    Without the kinds, the blobs of records are not compared.
    """

    database: Database
    reads: RepoReads
    kinds: RecordKinds | None = None
    outdated: Outdated = lambda _: {}
    max_wait_seconds: float | None = None
    _under_way: Joint[str, Verified] = field(default_factory=Joint[str, "Verified"])
    _turns: Turns = field(default_factory=lambda: Turns(MAX_CONCURRENT_REPOS_OF_A_HOST, MAX_CONCURRENT_REPOS))

    async def verify(self, repo: Repo) -> Verified:
        """Compare a repo, or wait for its comparison that is under way; raises TimeoutError if it does not get its turn."""
        return await self._under_way.result(repo.did, partial(self._verify, repo))

    async def _verify(self, repo: Repo) -> Verified:
        async with AsyncExitStack() as held:
            async with asyncio.timeout(self.max_wait_seconds):
                await held.enter_async_context(self._turns.of(repo.host))
            try:
                return await self.compare(repo)
            except RemoteUnknownError as error:
                return Verified(repo, 0, problem=str(error))

    async def compare(self, repo: Repo) -> Verified:
        """Compare a repo now; raises RemoteUnknownError when its PDS does not answer.

        The log is read before the PDS and after it: a record whose target changed in between is not judged.
        """
        before, _ = await in_thread(expected_and_sent, self.database, repo.did, self.kinds)
        collections = {each.key.collection for each in before}.union(repo.collections)
        found = await self.reads.found(repo.host, repo.did, sorted(collections), _acknowledged(before))
        named = {each.blob for each in before if each.blob is not None}
        blobs = await self.reads.blobs(repo.host, repo.did, named) if named else None
        return await in_thread(self._compared, repo, set(before), found, blobs)

    def _compared(
        self,
        repo: Repo,
        before: AbstractSet[Expected],
        found: Mapping[str, Records],
        blobs: AbstractSet[str] | None,
    ) -> Verified:
        others = self.outdated(repo.did)
        records = {
            RecordKey(repo.did, name, rkey): each
            for name, of_collection in found.items()
            for rkey, each in of_collection.items()
        }
        after, ours = expected_and_sent(self.database, repo.did, self.kinds, records)
        expected = [
            replace(each, waits=each.waits or each not in before, outdated=others.get(each.key))
            for each in after
        ]
        newer = _newer_than_log(self.database, repo.did, ours, records.values())
        drifts = tuple(drifts_of(expected, records, ours=ours, blobs=blobs, newer=newer))
        unread = {key for key, each in records.items() if not each.is_read}
        if unread:
            first = clean(min(key.uri for key in unread))
            facts = {"did": repo.did, "host": repo.host, "records": len(unread), "first": first}
            logger.warning("records_unread", extra=facts)
        waiting = set[RecordKey]()
        for each in expected:
            remote = records.get(each.key)
            is_as_known = each.cid is None if remote is None else remote.is_read and remote.cid == each.cid
            if each.waits and not each.is_left and not is_as_known:
                waiting.add(each.key)
        unjudged = (waiting | unread) - {drift.key for drift in drifts}
        return Verified(repo, len(records), drifts, unjudged=unjudged, unread=unread)


def expected_of(
    connection: sa.Connection,
    did: str,
    subjects: Sequence[Subject] | None = None,
    kinds: RecordKinds | None = None,
) -> Sequence[Expected]:
    """Return what the PDS should hold of an account's records, or of those of some subjects; blobs only of known kinds."""
    blob_fields = {kind.name: kind.blob_field for kind in kinds or () if kind.blob_field is not None}
    open_ = is_open().label("is_open")
    query = sa.select(mirror_target, target.subject_id.label("subject_id"), open_)
    query = query.where(target.did == did).execution_options(**FEW_ROWS)
    queries = [query] if subjects is None else [query.where(some) for some in are_about(subjects)]
    rows = (row for each in queries for row in connection.execute(each))
    return [_expected_of(row, blob_fields.get(row.kind)) for row in rows]


def expected_and_sent(
    database: Database,
    did: str,
    kinds: RecordKinds | None = None,
    found: Mapping[RecordKey, Found] = {},
) -> tuple[Sequence[Expected], set[str]]:
    """Return what the PDS should hold of an account's records, and the CIDs of the records `found` that were ever sent to it.

    Attempts are read for records that differ alone: there are as many as an account ever had deliveries.
    """
    with database.read() as connection:
        expected = expected_of(connection, did, kinds=kinds)
        unchanged = _acknowledged(expected)
        differing = [(key, each.cid) for key, each in found.items() if (key, each.cid) not in unchanged]
        return expected, set(_sent_of(connection, did, differing))


def _acknowledged(expected: Iterable[Expected]) -> set[tuple[RecordKey, str | None]]:
    """Return the records that stand as the PDS acknowledged them, where nothing has changed since."""
    return {(each.key, each.cid) for each in expected if each.op == PUT}


def _sent_of(
    connection: sa.Connection, did: str, records: Iterable[tuple[RecordKey, str | None]]
) -> Iterator[str]:
    """Yield the CIDs of these records that were sent under their keys."""
    attempt = delivery_attempt.c
    of_collections = defaultdict[str, dict[str, str]](dict)
    for key, cid in records:
        if cid is not None:
            of_collections[key.collection][key.rkey] = cid
    for collection, cids in of_collections.items():
        for rkeys in pages(cids):
            these = (attempt.did == did, attempt.collection == collection, attempt.rkey.in_(rkeys))
            sent = attempt.request_cid.in_([cids[rkey] for rkey in rkeys])
            yield from connection.scalars(sa.select(attempt.request_cid).where(*these, sent).distinct())


def _expected_of(row: Any, blob_field: str | None) -> Expected:
    blob = (
        blob_reference(decode(row.observed_body).get(blob_field))
        if blob_field and row.observed_body
        else None
    )
    is_delete = row.desired_op == DELETE
    is_left = is_delete and not row.ever_sent
    decided: set[str | None] = set()
    if not row.is_open and row.state in {TargetState.HELD, TargetState.REJECTED}:
        decided |= {None} if is_delete else set()
        decided |= {row.observed_cid} if row.state == TargetState.HELD else set()
    return Expected(
        key=RecordKey(row.did, row.collection, row.rkey),
        subject=Subject(row.kind, row.subject_id),
        op=row.desired_op,
        cid=row.observed_cid,
        waits=row.is_open
        or 0 in {row.acked_gen, row.desired_gen}
        or (row.former and row.acked_gen < row.desired_gen)
        or is_left,
        blob=blob["ref"]["$link"] if blob else None,
        seen=frozenset({None} if row.detached else {row.conflict_cid} - {None}),
        generation=row.desired_gen,
        undecided_unless=frozenset(decided),
        is_left=is_left,
    )


def _newer_than_log(database: Database, did: str, ours: AbstractSet[str], found: Iterable[Found]) -> set[str]:
    """Return the CIDs of records that name a generation of ours which the log, restored to an earlier point, does not have."""
    named: dict[int, set[str]] = defaultdict(set)
    for remote in found:
        if remote.cid is not None and remote.cid not in ours and remote.generation is not None:
            named[remote.generation].add(remote.cid)
    position = stored_event.c.position
    wanted = [generation for generation in named if 0 < generation <= MAX_INTEGER]
    with database.read() as connection:
        for some in pages(wanted):
            these = (stored_event.c.did == did, position.in_(some))
            for known in connection.scalars(sa.select(position).where(*these)):
                del named[known]
    return {cid for cids in named.values() for cid in cids}


EXPECTED: Final = (ReplayError, RemoteUnknownError, IdentityError, EventStoreError, StorageError)
"""Their messages say what to do."""
MAX_PROBLEM_LENGTH: Final = 500


def judge(error: Exception) -> Failure | None:
    """Another attempt of a job cannot help where there is no such account, or its PDS does not know it, or its address is refused."""
    if not isinstance(error, EXPECTED):
        return None
    is_final = isinstance(error, NoPdsError | UnknownIdentityError | UnsafeAddressError)
    if isinstance(error, RemoteUnknownError):
        is_final = error.verdict.kind in {VerdictKind.REJECTED, VerdictKind.MOVED}
    return Failure(clean(error, MAX_PROBLEM_LENGTH), final=is_final)
