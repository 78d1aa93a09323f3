"""The progress of an account deletion as JSON."""

from datetime import datetime
from typing import Final

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from eventstore.database import Database
from identity.accounts.credentials import count_usable_tokens
from identity.sessions.session_store import is_connected
from outbox.operations.account_deletion import Remains, remains
from projections.media_references import cids_of

HERE: Final = "/me"


class WaitingBody(BaseModel):
    """A number of records that are or may be still on the PDS, and why."""

    state: str = Field(description="pending, parked, held or rejected")
    reason: str | None
    records: int


class RecordsBody(BaseModel):
    """What is to go from the PDS. `untouched` are those that we have never written: ones that were taken over stay."""

    to_remove: int
    removed: int
    untouched: int
    waiting: list[WaitingBody]


class LeavingBody(BaseModel):
    """Since when the account leaves, and what of it is still there; when nothing waits, the rest goes within minutes.

    `waits_for` says why the lane does not go on: after auth_required, signing in again lets it.
    """

    since: datetime
    records: RecordsBody
    waits_for: str | None
    connected: bool = Field(description="whether there is a login at the PDS")
    tokens: int = Field(description="valid sessions and tokens")
    media: int = Field(description="files that are released at the end; those that others also have stay")
    look_at: str = Field(description="where to look again; 401 once the account is gone")


def leaving_body(database: Database, connection: Connection, did: str, since: datetime) -> LeavingBody:
    """Return what is left of an account whose deletion was requested."""
    now = database.now(connection)
    left = remains(connection, did, since, now)
    return LeavingBody(
        since=since,
        records=_records(left),
        waits_for=left.waits_for if left.waiting else None,
        connected=is_connected(connection, did),
        tokens=count_usable_tokens(connection, now, did),
        media=len(cids_of(connection, did)),
        look_at=HERE,
    )


def _records(left: Remains) -> RecordsBody:
    return RecordsBody(
        to_remove=left.to_remove,
        removed=left.removed,
        untouched=left.untouched,
        waiting=[WaitingBody(**vars(each)) for each in left.waiting],
    )
