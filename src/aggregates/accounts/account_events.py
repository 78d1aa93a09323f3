"""The events of an account. Their topics and fields are stored data, and contain no secret."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from eventsourcing.domain import Aggregate

if TYPE_CHECKING:
    from aggregates.accounts.account import Account


class AccountEvent(Aggregate.Event):
    """Base of the events of an account."""

    def apply(self, aggregate: Any) -> None:
        self.assign(aggregate)

    def assign(self, account: "Account") -> None:
        """Set what this event changes. No clock, no I/O, no refusal."""


class Opened(AccountEvent, Aggregate.Created):
    """The stream of this account, or of an operator without one, begins; the next event says why."""

    TOPIC = "account.opened.v1"
    did: str

    def assign(self, account: "Account") -> None:
        account.did = self.did


class SignedIn(AccountEvent):
    """The owner authenticated at the account's PDS; the session has `scope`."""

    TOPIC = "account.signed_in.v1"
    method: str
    handle: str
    pds_url: str
    session_id: str
    name: str
    scope: str
    expires_at: datetime | None

    def assign(self, account: "Account") -> None:
        account.connected = True
        unexpired = _unexpired(account.sessions, self.timestamp)
        account.sessions = {**unexpired, self.session_id: self.expires_at}


class SignedOut(AccountEvent):
    """One session here ended; the login at the PDS continues, and so does the relay."""

    TOPIC = "account.signed_out.v1"
    session_id: str

    def assign(self, account: "Account") -> None:
        account.sessions = _without(account.sessions, self.session_id)


class Disconnected(AccountEvent):
    """The login at the PDS was revoked and deleted; `revoked` says whether the PDS confirmed that."""

    TOPIC = "account.disconnected.v1"
    revoked: bool

    def assign(self, account: "Account") -> None:
        account.connected = False


class TokenIssued(AccountEvent):
    """A token for programs was issued; only its owner has it."""

    TOPIC = "account.token_issued.v1"
    token_id: str
    name: str
    scope: str
    expires_at: datetime | None

    def assign(self, account: "Account") -> None:
        unexpired = _unexpired(account.tokens, self.timestamp)
        account.tokens = {**unexpired, self.token_id: self.expires_at}


class TokenRevoked(AccountEvent):
    """A token for programs was revoked before it expired."""

    TOPIC = "account.token_revoked.v1"
    token_id: str

    def assign(self, account: "Account") -> None:
        account.tokens = _without(account.tokens, self.token_id)


class ProfileUpdated(AccountEvent):
    """The owner set the name, the bio or the address for supporters shown here, or whether people may comment; only what changed, null means cleared."""

    TOPIC = "account.profile_updated.v1"
    changes: dict[str, str | bool | None]

    def assign(self, account: "Account") -> None:
        for name, value in self.changes.items():
            setattr(account, name, value)


class OperatorActed(AccountEvent):
    """An operator intervened: what was done, to whom, how many it affected, and why; the envelope says who."""

    TOPIC = "account.operator_acted.v1"
    action: str
    filter: dict[str, Any]
    affected: int
    reason: str | None


class LeaveRequested(AccountEvent):
    """The owner wants every record removed from the PDS, and then to leave."""

    TOPIC = "account.leave_requested.v1"

    def assign(self, account: "Account") -> None:
        account.leaving_since = self.timestamp


class Left(AccountEvent):
    """Nothing of ours is left on the PDS except `left_over`; login, sessions and tokens are deleted, and bytes may be swept."""

    TOPIC = "account.left.v1"
    left_over: dict[str, Any]

    def assign(self, account: "Account") -> None:
        account.leaving_since = None
        account.connected = False
        account.display_name = account.bio = account.support_url = None
        account.comments = False
        account.sessions = account.tokens = {}


Expiries = Mapping[str, datetime | None]
"""By session or token. An event changes no value in place: the states before it and after it share what stays."""


def _without(expiries: Expiries, ended: str) -> Expiries:
    return {each: expiry for each, expiry in expiries.items() if each != ended}


def _unexpired(expiries: Expiries, now: datetime) -> Expiries:
    """Leave out expired entries, so that they do not accumulate: no event says that one has expired."""
    return {each: expiry for each, expiry in expiries.items() if expiry is None or expiry > now}
