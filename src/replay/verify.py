"""Verify: every record that PDSes hold for us against the log, without anybody's login."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, select

from eventstore.database import Database
from outbox.dag_cbor import Record, decode
from outbox.lanes import is_open
from outbox.pds import RecordKey, RemoteUnknownError
from outbox.repo_reads import RepoReads
from outbox.tables import delivery_attempt, mirror_lane, mirror_target
from outbox.threads import in_thread
from replay.drift import Drift, Expected, drifts_of

AT_ONCE: Final = 8
OF_A_HOST: Final = 2


@dataclass(frozen=True)
class Repo:
    """An account whose records we keep, and where."""

    did: str
    host: str


@dataclass(frozen=True)
class Verified:
    """What was found in one repo; `problem` says why it could not be read."""

    repo: Repo
    records: int
    drifts: tuple[Drift, ...] = ()
    problem: str | None = None


def repos_of(database: Database, did: str | None = None) -> list[Repo]:
    """List the accounts that have records to verify, or the one."""
    lane = mirror_lane.c
    query = select(lane.did, lane.host).where(
        lane.host != "", select(mirror_target.c.did).where(mirror_target.c.did == lane.did).exists()
    )
    if did is not None:
        query = query.where(lane.did == did)
    with database.read() as connection:
        return [Repo(row.did, row.host) for row in connection.execute(query.order_by(lane.did))]


async def verify(database: Database, reads: RepoReads, repos: Sequence[Repo]) -> AsyncIterator[Verified]:
    """Compare each repo, as they come: a few at once, and of one host fewer."""
    hosts: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(OF_A_HOST))
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
    found = {
        name: {rkey: remote async for rkey, remote in reads.records(repo.host, repo.did, name)}
        for name in sorted({each.key.collection for each in before})
    }
    blobs = await reads.blobs(repo.host, repo.did) if with_blobs else None
    after, ours = await in_thread(_expected, database, repo)
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
        waits=row.is_open or row.acked_gen == 0,
        blob=_blob_in(body),
        seen=frozenset({None} if row.detached else {row.conflict_cid} - {None}),
    )


def _blob_in(body: Record) -> str | None:
    match body.get("audioBlob"):
        case {"ref": {"$link": str(cid)}}:
            return cid
    return None


def _ours(connection: Connection, did: str) -> set[str]:
    attempt = delivery_attempt.c
    sent = select(attempt.request_cid).where(attempt.did == did, attempt.request_cid.is_not(None))
    return set(connection.scalars(sent.distinct()))
