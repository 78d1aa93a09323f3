"""Verify: every record that PDSes hold for us against the log, without anybody's login."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, select

from eventstore.database import Database
from eventstore.schema import stored_event
from outbox.mirror.lanes import is_open
from outbox.mirror.tables import delivery_attempt, mirror_lane, mirror_target
from outbox.mirror.targets import DELETE
from outbox.pds.client import RecordKey, Remote, RemoteUnknownError
from outbox.record.dag_cbor import MAX_INTEGER, Record, decode
from outbox.record.record import GENERATION
from outbox.repo.reads import RepoReads
from outbox.threads import in_thread
from replay.reconcile.drift import Drift, Expected, drifts_of

AT_ONCE: Final = 8
MAX_UPLOADS_PER_HOST: Final = 2
GENERATIONS_A_QUERY: Final = 500


@dataclass(frozen=True)
class Repo:
    """An account whose records we keep, and where; `collection` is looked through even if the log has none in it."""

    did: str
    host: str
    collection: str | None = None


@dataclass(frozen=True)
class Verified:
    """What was found in one repo; `problem` says why it could not be read."""

    repo: Repo
    records: int
    drifts: tuple[Drift, ...] = ()
    problem: str | None = None


def repos_of(database: Database, did: str | None = None, *, collection: str | None = None) -> list[Repo]:
    """List the accounts that have records to verify, or the one; with a `collection`, also those that should have none."""
    lane = mirror_lane.c
    query = select(lane.did, lane.host).where(lane.host != "")
    if collection is None:
        query = query.where(select(mirror_target.c.did).where(mirror_target.c.did == lane.did).exists())
    if did is not None:
        query = query.where(lane.did == did)
    with database.read() as connection:
        return [Repo(row.did, row.host, collection) for row in connection.execute(query.order_by(lane.did))]


async def verify(database: Database, reads: RepoReads, repos: Sequence[Repo]) -> AsyncIterator[Verified]:
    """Compare each repo, as they come: a few at once, and of one host fewer."""
    hosts: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MAX_UPLOADS_PER_HOST))
    room = asyncio.Semaphore(AT_ONCE)

    async def one(repo: Repo) -> Verified:
        async with hosts[repo.host], room:
            try:
                return await compared(database, reads, repo)
            except RemoteUnknownError as error:
                return Verified(repo, 0, problem=str(error))

    for done in asyncio.as_completed([one(repo) for repo in repos]):
        yield await done


async def compared(database: Database, reads: RepoReads, repo: Repo, *, with_blobs: bool = True) -> Verified:
    """Compare one repo; raises RemoteUnknownError when its PDS does not tell.

    The log is read before the PDS and after it: what was written meanwhile is not judged.
    """
    before, _ = await in_thread(_expected, database, repo)
    names = {each.key.collection for each in before}
    if repo.collection is not None:
        names.add(repo.collection)
    found = await reads.found(repo.host, repo.did, sorted(names))
    blobs = await reads.blobs(repo.host, repo.did) if with_blobs else None
    after, ours = await in_thread(_expected, database, repo)
    newer = await in_thread(_newer, database, repo, ours, found)
    still = set(before)
    expected = [each if each in still else replace(each, waits=True) for each in after]
    drifts = [
        drift
        for name, remotes in found.items()
        for drift in drifts_of(
            [each for each in expected if each.key.collection == name],
            remotes,
            ours=ours,
            blobs=blobs,
            repo=RecordKey(repo.did, name, ""),
            newer=newer,
        )
    ]
    return Verified(repo, sum(map(len, found.values())), tuple(drifts))


def _expected(database: Database, repo: Repo) -> tuple[list[Expected], set[str]]:
    with database.read() as connection:
        rows = connection.execute(
            select(mirror_target, is_open().label("is_open")).where(mirror_target.c.did == repo.did)
        ).all()
        return [_of(row) for row in rows], _ours(connection, repo.did)


def _of(row: Any) -> Expected:
    body = decode(row.observed_body) if row.observed_body is not None else {}
    return Expected(
        key=RecordKey(row.did, row.collection, row.rkey),
        track_id=row.track_id,
        op=row.desired_op,
        cid=row.observed_cid,
        waits=row.is_open
        or row.acked_gen == 0
        or (row.former and row.acked_gen < row.desired_gen)
        or _is_left_alone(row),
        blob=_blob_in(body),
        seen=frozenset({None} if row.detached else {row.conflict_cid} - {None}),
    )


def _is_left_alone(row: Any) -> bool:
    """Whether what is there was never ours: taken over, and left where it was by who has gone."""
    return row.desired_op == DELETE and not row.ever_sent


def _blob_in(body: Record) -> str | None:
    match body.get("audioBlob"):
        case {"ref": {"$link": str(cid)}}:
            return cid
    return None


def _newer(
    database: Database, repo: Repo, ours: AbstractSet[str], found: Mapping[str, Mapping[str, Remote]]
) -> set[str]:
    """Return the CIDs of records that name a generation of ours which the log does not have."""
    named: dict[int, set[str]] = defaultdict(set)
    for remote in (remote for remotes in found.values() for remote in remotes.values()):
        generation = (remote.body or {}).get(GENERATION)
        if remote.cid is not None and remote.cid not in ours and isinstance(generation, int):
            named[generation].add(remote.cid)
    position = stored_event.c.position
    wanted = [generation for generation in named if 0 < generation <= MAX_INTEGER]
    with database.read() as connection:
        for start in range(0, len(wanted), GENERATIONS_A_QUERY):
            some = position.in_(wanted[start : start + GENERATIONS_A_QUERY])
            for known in connection.scalars(select(position).where(stored_event.c.did == repo.did, some)):
                del named[known]
    return {cid for cids in named.values() for cid in cids}


def _ours(connection: Connection, did: str) -> set[str]:
    attempt = delivery_attempt.c
    sent = select(attempt.request_cid).where(attempt.did == did, attempt.request_cid.is_not(None))
    return set(connection.scalars(sent.distinct()))
