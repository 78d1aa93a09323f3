"""One account: the audit of its owner's sign-ins, sessions and tokens, and of operators' actions on it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.domain import Aggregate

from aggregates.accounts import account_events as events


class Account(Aggregate, created_event_name="Created"):
    """One account. Its tokens have ids, names and times here; the secrets are in rows elsewhere."""

    TOPIC = "account"

    # Events, in the order of an account's life.

    Event = events.AccountEvent
    Created = events.Opened
    SignedIn = events.SignedIn
    SignedOut = events.SignedOut
    Disconnected = events.Disconnected
    TokenIssued = events.TokenIssued
    TokenRevoked = events.TokenRevoked
    ProfileUpdated = events.ProfileUpdated
    OperatorActed = events.OperatorActed
    LeaveRequested = events.LeaveRequested
    Left = events.Left

    # State.

    did: str

    def __init__(self) -> None:
        self.connected = False
        self.sessions: events.Expiries = {}
        self.tokens: events.Expiries = {}
        self.display_name: str | None = None
        self.bio: str | None = None
        self.support_url: str | None = None
        self.comments = False
        self.leaving_since: datetime | None = None

    @classmethod
    def open(cls, *, did: str, at: datetime) -> "Account":
        return cls._create(cls.Created, timestamp=at, did=did)

    @staticmethod
    def create_id(did: str) -> UUID:
        """Return the aggregate id of a DID, or of the name of an operator without a DID."""
        return uuid5(NAMESPACE_URL, f"mastertape:account:{did}")

    # Commands. `at` is the time of the command.

    def sign_in(
        self,
        session_id: str,
        *,
        method: str,
        handle: str,
        pds_url: str,
        name: str,
        scope: str,
        expires_at: datetime | None,
        at: datetime,
    ) -> None:
        """Record a session that began with a sign-in at the PDS."""
        self.trigger_event(
            Account.SignedIn,
            method=method,
            handle=handle,
            pds_url=pds_url,
            session_id=session_id,
            name=name,
            scope=scope,
            expires_at=expires_at,
            timestamp=at,
        )

    def sign_out(self, session_id: str, *, at: datetime) -> None:
        """End a session; an unknown or ended one is no change."""
        if session_id in self.sessions:
            self.trigger_event(Account.SignedOut, session_id=session_id, timestamp=at)

    def disconnect(self, *, revoked: bool, at: datetime) -> None:
        """Record the end of the login at the PDS; without a login, no change. `revoked`: the PDS confirmed it."""
        if self.connected:
            self.trigger_event(Account.Disconnected, revoked=revoked, timestamp=at)

    def issue_token(
        self, token_id: str, *, name: str, scope: str, expires_at: datetime | None, at: datetime
    ) -> None:
        self.trigger_event(
            Account.TokenIssued,
            token_id=token_id,
            name=name,
            scope=scope,
            expires_at=expires_at,
            timestamp=at,
        )

    def revoke_token(self, token_id: str, *, at: datetime) -> None:
        """End a token; an unknown or ended one is no change."""
        if token_id in self.tokens:
            self.trigger_event(Account.TokenRevoked, token_id=token_id, timestamp=at)

    def update_profile(self, changes: Mapping[str, str | bool | None], *, at: datetime) -> None:
        """Set `display_name`, `bio`, `support_url` or `comments`, checked values, where they differ; None clears a text."""
        changed = {name: value for name, value in changes.items() if value != getattr(self, name)}
        if changed:
            self.trigger_event(Account.ProfileUpdated, changes=changed, timestamp=at)

    def record_operator_action(
        self, action: str, which: Mapping[str, Any], *, affected: int, reason: str | None, at: datetime
    ) -> None:
        """Record what an operator did, even if it affected nothing."""
        self.trigger_event(
            Account.OperatorActed,
            action=action,
            filter=dict(which),
            affected=affected,
            reason=reason,
            timestamp=at,
        )

    def request_leave(self, *, at: datetime) -> None:
        """Request the deletion of the account; a second request is no change."""
        if self.leaving_since is None:
            self.trigger_event(Account.LeaveRequested, timestamp=at)

    def leave(self, left_over: Mapping[str, Any], *, at: datetime) -> None:
        """Record that the account was deleted; without an open request, no change."""
        if self.leaving_since is not None:
            self.trigger_event(Account.Left, left_over=dict(left_over), timestamp=at)
