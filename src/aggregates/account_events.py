"""The events of an account. Their topics and fields are stored data, and contain no secret."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from eventsourcing.domain import Aggregate

if TYPE_CHECKING:
    from aggregates.account import Account


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
        _forget_ended(account.sessions, self.timestamp)
        account.sessions[self.session_id] = self.expires_at


class SignedOut(AccountEvent):
    """One session here ended; the login at the PDS continues, and so does the relay."""

    TOPIC = "account.signed_out.v1"
    session_id: str

    def assign(self, account: "Account") -> None:
        account.sessions.pop(self.session_id, None)


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
        _forget_ended(account.tokens, self.timestamp)
        account.tokens[self.token_id] = self.expires_at


class TokenRevoked(AccountEvent):
    """A token for programs was revoked before it expired."""

    TOPIC = "account.token_revoked.v1"
    token_id: str

    def assign(self, account: "Account") -> None:
        account.tokens.pop(self.token_id, None)


class ProfileUpdated(AccountEvent):
    """The owner set the name or the bio shown here; only what changed, null means cleared."""

    TOPIC = "account.profile_updated.v1"
    changes: dict[str, str | None]

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
        account.display_name = account.bio = None
        account.sessions.clear()
        account.tokens.clear()


def _forget_ended(expiries: dict[str, datetime | None], now: datetime) -> None:
    """Delete expired entries, so that they do not accumulate: no event says that one has expired."""
    for ended in [each for each, expiry in expiries.items() if expiry is not None and expiry <= now]:
        del expiries[ended]
