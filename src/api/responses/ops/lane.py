"""The body of one account's lane, as operators see it."""

from datetime import datetime
from typing import Final, Self

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from api.responses.mirror import LaneBody, lane_body
from api.responses.ops.deliveries import FailureRow, HostRow, failure_rows, host_rows
from identity.accounts.accounts import accounts_of
from identity.sessions.session_store import Login, LoginState, login_of
from outbox.operations.operators import UnknownTargetError
from outbox.views import overview
from outbox.views.failures import waiting

FIRST_RECORDS: Final = 20


class LoginBody(BaseModel):
    """The account's login at its PDS: `signed_in`; `expired`, until it is renewed; `ended`, until its owner signs in; `none`."""

    state: LoginState
    kind: str | None = Field(description="oauth or app_password")
    changed_at: datetime | None = Field(description="when it was renewed, or ended")
    expires_at: datetime | None = Field(description="of the access token, which the service renews by itself")
    problem: str | None = Field(description="why it ended, or was not renewed the last time")

    @classmethod
    def of(cls, login: Login) -> Self:
        return cls(**vars(login))


class LaneOfAccountBody(LaneBody):
    """A lane as its owner reads it at /me/mirror, with its login, its host and the first records that wait."""

    handle: str | None
    under_way: bool = Field(description="whether a relay delivers it now")
    login: LoginBody
    pds: HostRow | None = Field(description="its host, as in /ops/hosts")
    records: list[FailureRow] = Field(description=f"the first {FIRST_RECORDS} records that wait")


def lane_of_account(connection: Connection, did: str, now: datetime) -> LaneOfAccountBody:
    """Return the lane of an account; raises UnknownTargetError."""
    lane = overview.lane_of(connection, did)
    if lane is None:
        raise UnknownTargetError(did)
    account = accounts_of(connection, [did]).get(did)
    hosts = host_rows(connection, list(overview.hosts_named(connection, [lane.host])), now)
    rows = connection.execute(waiting(did, limit=FIRST_RECORDS)).all()
    return LaneOfAccountBody(
        **lane_body(connection, did, now).model_dump(),
        handle=None if account is None else account.handle,
        under_way=lane.lease_until > now,
        login=LoginBody.of(login_of(connection, did, now)),
        pds=next(iter(hosts), None),
        records=failure_rows(connection, rows, now),
    )
