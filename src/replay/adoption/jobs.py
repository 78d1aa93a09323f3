"""The rows of adoptions, at most one of each account: requested, and shown with their progress."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from eventstore.change import Envelope
from eventstore.errors import EventStoreError
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Wanted
from eventstore.untrusted import clean
from identity.errors import IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError
from outbox.mirror.tables import mirror_lane
from outbox.pds.client import RemoteUnknownError
from outbox.pds.verdict import Kind as VerdictKind
from replay.adoption.progress import Progress
from replay.errors import PdsTroubleError, TooManyProblemsError
from storage.errors import StorageError

ADOPTION: Final = "adoption"
MAX_CONCURRENT_ADOPTIONS: Final = 4
MAX_CONCURRENT_ADOPTIONS_OF_HOST: Final = 2
"""A slow PDS leaves room for the accounts of others."""
FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 3600.0
MAX_ATTEMPTS: Final = 30
"""About a day: after it, the owner has to request the adoption again."""
EXPECTED: Final = (
    RemoteUnknownError,
    PdsTroubleError,
    TooManyProblemsError,
    UnknownIdentityError,
    IdentityUnreachableError,
    UnsafeAddressError,
    EventStoreError,
    StorageError,
)
"""Their messages say what to do."""


def request(connection: Connection, did: str, envelope: Envelope, now: datetime) -> None:
    """Request an adoption; an unfinished one stays as it is."""
    host = connection.scalar(select(mirror_lane.c.host).where(mirror_lane.c.did == did)) or ""
    queue.request(connection, [Wanted(ADOPTION, did, did, host, envelope)], now, again=True)


def adoption_of(connection: Connection, did: str) -> Row[Any] | None:
    return queue.job_of(connection, ADOPTION, did)


def progress_of(row: Any) -> Progress:
    return Progress(**(row["progress"] or {}))


def judge(error: Exception) -> Failure | None:
    """Another attempt cannot help where there is no such account, or its address is refused."""
    if not isinstance(error, EXPECTED):
        return None
    is_final = isinstance(error, UnknownIdentityError | UnsafeAddressError)
    if isinstance(error, RemoteUnknownError):
        is_final = error.verdict.kind in {VerdictKind.REJECTED, VerdictKind.MOVED}
    return Failure(clean(error), final=is_final)
