"""Stores one PDS session per account, with its tokens, which are serialized and encrypted together.

`generation` counts the token pairs of a row: a refresh takes a lease on the current generation, calls the PDS with no
transaction open, and stores the new tokens only if the generation is still the same.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self

import sqlalchemy as sa
from pydantic import SecretStr

from aggregates.errors import SignInRequiredError
from aggregates.states import State
from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime, metadata
from eventstore.streams.append import key_of, upsert
from eventstore.streams.buckets import account_columns, for_account
from eventstore.untrusted import clean
from identity.errors import DecryptionError
from identity.sessions.encryption import Cipher


@dataclass(frozen=True)
class TokenBinding:
    """What the tokens of an OAuth login are bound to; the tokens cannot be used without it."""

    issuer: str
    client_id: str
    dpop_key: SecretStr
    kid: str | None
    """Which of OAUTH_KEYS the login began with; None for a public client."""


@dataclass(frozen=True)
class Tokens:
    """An access and a refresh token. Without `access_expires_at` the access token is used until the PDS refuses it."""

    access: SecretStr
    refresh: SecretStr
    scope: str
    access_expires_at: datetime | None
    binding: TokenBinding | None = None
    """None for an app password, whose tokens are bearer tokens."""

    def to_bytes(self) -> bytes:
        """Serialize the secrets; the scope and the expiry have columns of their own."""
        stored: dict[str, Any] = {
            "access": self.access.get_secret_value(),
            "refresh": self.refresh.get_secret_value(),
        }
        if self.binding is not None:
            stored["grant"] = {**vars(self.binding), "dpop_key": self.binding.dpop_key.get_secret_value()}
        return json.dumps(stored).encode()

    @classmethod
    def from_bytes(cls, serialized: bytes, scope: str, access_expires_at: datetime | None) -> Self:
        stored, binding = json.loads(serialized), None
        if grant := stored.get("grant"):
            dpop_key = SecretStr(grant["dpop_key"])
            binding = TokenBinding(grant["issuer"], grant["client_id"], dpop_key, grant["kid"])
        access, refresh = SecretStr(stored["access"]), SecretStr(stored["refresh"])
        return cls(access, refresh, scope, access_expires_at, binding)


PURPOSE: Final = "pds_session"
REFRESH_LEASE_TTL: Final = timedelta(seconds=90)
"""Longer than a refresh can take: metadata, and a token request that is repeated with a new nonce."""

MAX_REASON_LENGTH: Final = 300


class SessionKind(StrEnum):
    """How the account signed in."""

    APP_PASSWORD = "app_password"  # noqa: S105
    OAUTH = "oauth"


class PdsSessionState(State):
    """States of a PDS session."""

    ACTIVE = "active", "its tokens sign requests to the PDS"
    REAUTH_REQUIRED = "reauth_required", "its tokens are deleted; the account has to sign in again"


pds_session = sa.Table(
    "pds_session",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("pds_url", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary),  # encrypted; null once the session has ended
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("refresh_until", UtcDateTime),
    sa.Column("refresh_owner", sa.Text),
    sa.Column("last_error", sa.Text),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("access_expires_at", UtcDateTime),
)


NO_LEASE: Final[dict[str, Any]] = {"refresh_until": None, "refresh_owner": None}
ENDED: Final[dict[str, Any]] = {
    "status": PdsSessionState.REAUTH_REQUIRED,
    "sealed": None,
    "access_expires_at": None,
    **NO_LEASE,
}
OF_ACCOUNT: Final = sa.select(pds_session).where(pds_session.c.did == sa.bindparam("did"))


@dataclass(frozen=True)
class Session:
    """An active row as of `loaded_at`; `SessionRows.tokens` decrypts its tokens for one request."""

    loaded_at: datetime
    kind: SessionKind
    did: str
    pds_url: str
    sealed: bytes
    scope: str
    generation: int
    refresh_until: datetime | None
    access_expires_at: datetime | None

    @property
    def refreshing(self) -> bool:
        return self.refresh_until is not None and self.refresh_until > self.loaded_at

    def expires_within(self, margin: timedelta) -> bool:
        return self.access_expires_at is not None and self.access_expires_at <= self.loaded_at + margin


_OF_ROW: Final = tuple(each.name for each in fields(Session))[2:]


@dataclass(eq=False)
class SessionRows:
    """Reads and writes the rows.

    Each hook is called first in the transaction that changes a row: it locks the account's lane, and lanes are locked
    before everything but the log.
    """

    database: Database
    cipher: Cipher
    on_reauth: Callable[[sa.Connection, str], None]
    on_signed_in: Callable[[sa.Connection, str, str], None]

    def load(self, did: str) -> Session:
        """Return the account's active session, or raise `SignInRequiredError`."""
        with self.database.read_committed() as connection:
            row = connection.execute(OF_ACCOUNT, for_account(did)).one_or_none()
            if row is None:
                raise SignInRequiredError(did)
            now = self.database.recent_now(connection)
        if row.status != PdsSessionState.ACTIVE:
            raise SignInRequiredError(did, row.last_error)
        return Session(now, SessionKind(row.kind), **{name: getattr(row, name) for name in _OF_ROW})

    def tokens(self, session: Session) -> Tokens:
        """Decrypt the tokens; keep them no longer than one request."""
        decrypted = self.cipher.decrypt(session.sealed, purpose=PURPOSE, did=session.did)
        return Tokens.from_bytes(decrypted, session.scope, session.access_expires_at)

    def put(
        self, connection: sa.Connection, *, did: str, kind: SessionKind, pds_url: str, tokens: Tokens
    ) -> None:
        """Store the tokens of a sign-in; they replace the row's session, ended or not."""
        self.on_signed_in(connection, did, pds_url)
        values = {"kind": kind.value, "pds_url": pds_url, **self._values(connection, did, tokens)}
        first = upsert(connection, pds_session).values(did=did, generation=1, **values)
        key = key_of(connection.dialect.name, pds_session)
        next_one = {**values, "generation": pds_session.c.generation + 1}
        connection.execute(first.on_conflict_do_update(index_elements=key, set_=next_one))

    def idle_since(self, before: timedelta) -> list[str]:
        with self.database.read() as connection:
            idle = pds_session.c.updated_at <= self.database.now(connection) - before
            return list(connection.scalars(sa.select(pds_session.c.did).where(_IS_ACTIVE, idle)))

    def claim(self, did: str, generation: int, owner: str) -> bool:
        """Take the refresh lease of this generation; False if another process has it or a newer generation is stored."""
        with self.database.write() as connection:
            now = self.database.now(connection)
            free = sa.or_(pds_session.c.refresh_until.is_(None), pds_session.c.refresh_until <= now)
            lease = {"refresh_until": now + REFRESH_LEASE_TTL, "refresh_owner": owner}
            return _changed(connection, did, generation, free, **lease)

    def store(self, did: str, generation: int, tokens: Tokens) -> bool:
        """Replace the tokens of this generation; False, and nothing is stored, if a newer generation is."""
        with self.database.write() as connection:
            renewed = self._values(connection, did, tokens)
            return _changed(connection, did, generation, **renewed, generation=generation + 1)

    def release(self, did: str, generation: int, owner: str, reason: str) -> None:
        with self.database.write() as connection:
            ours, said = pds_session.c.refresh_owner == owner, clean(reason, MAX_REASON_LENGTH)
            _changed(connection, did, generation, ours, **NO_LEASE, last_error=said)

    def end(self, did: str, generation: int, reason: str) -> None:
        """End the session, since the PDS refused its refresh token; a sign-in that has just replaced it stays."""
        with self.database.write() as connection:
            self.end_in(connection, did, generation, reason)

    def end_in(self, connection: sa.Connection, did: str, generation: int, reason: str) -> bool:
        """End the session inside a transaction; False, and nothing is changed, if the generation is no longer current."""
        with connection.begin_nested() as attempt:
            self.on_reauth(connection, did)
            now = self.database.now(connection)
            is_ended = _changed(connection, did, generation, **ENDED, last_error=reason, updated_at=now)
            if not is_ended:
                attempt.rollback()
            return is_ended

    def _values(self, connection: sa.Connection, did: str, tokens: Tokens) -> dict[str, Any]:
        return {
            "sealed": self.cipher.encrypt(tokens.to_bytes(), purpose=PURPOSE, did=did),
            "scope": clean(tokens.scope),
            "status": PdsSessionState.ACTIVE,
            **NO_LEASE,
            "last_error": None,
            "updated_at": self.database.now(connection),
            "access_expires_at": tokens.access_expires_at,
        }


_IS_ACTIVE: Final = pds_session.c.status == PdsSessionState.ACTIVE


def _changed(
    connection: sa.Connection, did: str, current: int, *more: sa.ColumnElement[bool], **values: Any
) -> bool:
    """Change the active session of this generation; False where another one is current."""
    is_current = (pds_session.c.did == did, pds_session.c.generation == current, _IS_ACTIVE)
    changed = connection.execute(sa.update(pds_session).where(*is_current, *more).values(**values))
    return changed.rowcount == 1


def active_dids(connection: sa.Connection, kind: SessionKind) -> Sequence[str]:
    active = sa.select(pds_session.c.did).where(pds_session.c.kind == kind.value, _IS_ACTIVE)
    return connection.scalars(active.order_by(pds_session.c.did)).all()


def end_logins(connection: sa.Connection, kind: SessionKind, reason: str, now: datetime) -> None:
    """End the active sessions of this kind here, without a request to any PDS; the accounts have to sign in again."""
    active = sa.update(pds_session).where(pds_session.c.kind == kind.value, _IS_ACTIVE)
    connection.execute(active.values(**ENDED, last_error=reason, updated_at=now))


def is_connected(connection: sa.Connection, did: str) -> bool:
    active = sa.select(pds_session.c.did).where(pds_session.c.did == did, _IS_ACTIVE)
    return connection.scalar(active) is not None


class LoginState(State):
    """States of a login as it is shown; derived, never stored."""

    SIGNED_IN = "signed_in", "signed in"
    EXPIRED = "expired", "expired: it is renewed with the next request"
    ENDED = "ended", "ended: its owner has to sign in again"
    NONE = "none", "none: the account has not signed in here, or has left"


def login_of(connection: sa.Connection, did: str, now: datetime) -> dict[str, Any]:
    """Return an account's login at its PDS: its state, and facts about it where there is one."""
    row = connection.execute(OF_ACCOUNT, for_account(did)).one_or_none()
    state = LoginState.SIGNED_IN
    if row is None:
        state = LoginState.NONE
    elif row.status != PdsSessionState.ACTIVE:
        state = LoginState.ENDED
    elif row.access_expires_at is not None and row.access_expires_at <= now:
        state = LoginState.EXPIRED
    return {
        "state": state,
        "kind": row and row.kind,
        "changed_at": row and row.updated_at,
        "expires_at": row and row.access_expires_at,
        "problem": row and row.last_error,
    }


@dataclass(frozen=True)
class ReencryptionReport:
    logins: int
    resealed: int
    """Re-encrypted, or in a dry run to be."""
    lost: list[tuple[str, int]]
    """DID and generation of those that no key decrypts: these accounts have to sign in again."""


def reencrypt_logins(
    database: Database,
    cipher: Cipher,
    *,
    progress: Callable[[int, int], None] | None = None,
    dry_run: bool = False,
    limit: int | None = None,
) -> ReencryptionReport:
    """Encrypt each login with the newest key, or only count; a login that is refreshed meanwhile is left as it is."""
    rows = _logins(database, limit)
    reencrypted, lost = 0, []
    for number, row in enumerate(rows, start=1):
        if not cipher.is_current(row.sealed):
            try:
                plaintext = cipher.decrypt(row.sealed, purpose=PURPOSE, did=row.did)
            except DecryptionError:
                lost.append((row.did, row.generation))
            else:
                encrypted = cipher.encrypt(plaintext, purpose=PURPOSE, did=row.did)
                reencrypted += dry_run or _reencrypted(database, row, encrypted)
        if progress is not None:
            progress(number, len(rows))
    return ReencryptionReport(len(rows), reencrypted, lost)


def logins_by_oauth_key(database: Database, cipher: Cipher) -> Counter[str]:
    """Count the logins that began with each of OAUTH_KEYS, by kid: without its key a login cannot be refreshed."""
    decrypted = (cipher.decrypt(row.sealed, purpose=PURPOSE, did=row.did) for row in _logins(database))
    bindings = (Tokens.from_bytes(each, "", None).binding for each in decrypted)
    return Counter(binding.kid for binding in bindings if binding is not None and binding.kid is not None)


def _logins(database: Database, limit: int | None = None) -> Sequence[sa.Row[str, int, bytes]]:
    session = pds_session.c
    logins = sa.select(session.did, session.generation, session.sealed).where(session.sealed.is_not(None))
    with database.read() as connection:
        return connection.execute(logins.order_by(session.did).limit(limit)).all()


def _reencrypted(database: Database, row: sa.Row[str, int, bytes], encrypted: bytes) -> bool:
    with database.write() as connection:
        is_as_read = pds_session.c.sealed == row.sealed
        return _changed(connection, row.did, row.generation, is_as_read, sealed=encrypted)
