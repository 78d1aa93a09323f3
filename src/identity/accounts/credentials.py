"""Credentials that this service issues: browser sessions and API tokens. Only their hashes are stored."""

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from pydantic import SecretStr

from aggregates.accounts.account import Account
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.sql.database import Database, count_rows
from eventstore.sql.prepared import Prepared
from eventstore.sql.schema import UtcDateTime, metadata
from eventstore.streams.buckets import account_columns, bucket_of
from eventstore.unit_of_work import UnitOfWork, account_of
from identity.accounts.accounts import AccountState, account
from identity.errors import CredentialExpiredError

LAST_USED_INTERVAL: Final = timedelta(minutes=1)
REMEMBERED_SECONDS: Final = LAST_USED_INTERVAL.total_seconds()
MAX_REMEMBERED: Final = 4096


class Scope(StrEnum):
    """What a token permits: `operator` includes `read`, `write` too, and `admin` includes all."""

    READ = "read"
    OPERATOR = "operator"
    WRITE = "write"
    ADMIN = "admin"


INCLUDED: Final = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.OPERATOR: frozenset({Scope.READ, Scope.OPERATOR}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.ADMIN: frozenset(Scope),
}
"""The scopes that each includes. An operator reads what concerns all accounts, and changes nothing."""


class CredentialKind(StrEnum):
    """Where a token is kept: in a browser's cookie or in a program's settings."""

    BROWSER = "browser"
    API = "api"


credential = sa.Table(
    "credential",
    metadata,
    sa.Column("token_hash", sa.Text, primary_key=True),
    # public: it identifies the token, but does not authenticate
    sa.Column("id", sa.Text, nullable=False, unique=True),
    *account_columns(index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("last_used_at", UtcDateTime),
    sa.Column("revoked_at", UtcDateTime),
    sa.Column("parent", sa.Text),  # the id of the API token that made it, with which it ends
)


_LISTED: Final = (
    *(credential.c.id, credential.c.kind, credential.c.name, credential.c.scope),
    *(credential.c.created_at, credential.c.expires_at, credential.c.last_used_at),
)
"""What lists show of a token: its id can revoke it, and does not authenticate."""


@dataclass(frozen=True)
class Principal:
    """The authenticated account of a request, and what its token permits."""

    did: str
    handle: str
    scope: Scope
    admin: bool
    kind: CredentialKind
    name: str
    credential_id: str
    state: AccountState = AccountState.ACTIVE
    """Whether the account has requested its deletion."""
    expires_at: datetime | None = None
    """When the token of this request expires."""
    operator: bool = False
    """Whether it may read what concerns all accounts; every admin may."""

    def may(self, scope: Scope) -> bool:
        """Whether the token permits `scope`; for those of operators, the account also has to be one."""
        match scope:
            case Scope.ADMIN:
                return self.admin
            case Scope.OPERATOR:
                return self.operator
        return scope in INCLUDED[self.scope]


def did_of(caller: Principal | None) -> str | None:
    return caller.did if caller is not None else None


@dataclass(frozen=True)
class Issued:
    id: str
    token: SecretStr
    expires_at: datetime | None


BY_TOKEN: Final = (
    sa.select(credential, account.c.handle, account.c.leaving_since)
    .join(account, account.c.did == credential.c.did)
    .where(credential.c.token_hash == sa.bindparam("token_hash"), credential.c.revoked_at.is_(None))
)
BUCKET_OF_TOKEN: Final = re.compile(r"mt_([0-9a-f]{3})_[\w-]{43}")
"""With its length: an older token is shorter, and may begin like this by chance."""
_IS_IN_BUCKET: Final = credential.c.bucket == sa.bindparam("named", type_=sa.SmallInteger)
_BY_TOKEN: Final = Prepared(lambda _: BY_TOKEN.where(_IS_IN_BUCKET))
_BY_OLDER_TOKEN: Final = Prepared(lambda _: BY_TOKEN)


class Credentials:
    """Issues, checks and revokes tokens, each of the bucket of its account and 32 random bytes; older ones name no bucket."""

    def __init__(
        self, database: Database, *, admin_dids: Collection[str] = (), operator_dids: Collection[str] = ()
    ) -> None:
        self._database = database
        self._admin_dids = frozenset(admin_dids)
        self._operator_dids = frozenset(operator_dids) | self._admin_dids
        self._remembered: Final[OrderedDict[str, tuple[Principal, float]]] = OrderedDict()

    def issue(
        self,
        connection: sa.Connection,
        *,
        did: str,
        kind: CredentialKind,
        name: str,
        scope: Scope = Scope.WRITE,
        expires_in: timedelta | None = None,
        ends_by: datetime | None = None,
        parent: str | None = None,
    ) -> Issued:
        """Issue a token. It expires after `expires_in` or at `ends_by`, whichever is earlier, or never; it ends with `parent`."""
        now = self._database.now(connection)
        ends = [None if expires_in is None else now + expires_in, ends_by]
        expires_at = min((end for end in ends if end is not None), default=None)
        token = f"mt_{bucket_of(did):03x}_{secrets.token_urlsafe(32)}"
        issued = Issued(secrets.token_hex(8), SecretStr(token), expires_at)
        connection.execute(
            sa.insert(credential).values(
                token_hash=_hash(issued.token),
                id=issued.id,
                did=did,
                kind=kind.value,
                name=name,
                scope=scope.value,
                created_at=now,
                expires_at=expires_at,
                parent=parent,
            )
        )
        return issued

    def authenticate(self, token: SecretStr) -> Principal | None:
        """Return the account of this token; None if it is unknown or revoked. Raises `CredentialExpiredError`."""
        self._remembered.pop(_hash(token), None)
        with self._database.read_committed() as connection:
            named = BUCKET_OF_TOKEN.fullmatch(token.get_secret_value())
            this = {"token_hash": _hash(token), "named": int(named[1], 16) if named else None}
            rows = (_BY_TOKEN if named else _BY_OLDER_TOKEN).start(connection, this).all()
            if not rows:
                return None
            (row,) = rows
            now = self._database.recent_now(connection)
        if row.expires_at is not None and row.expires_at <= now:
            raise CredentialExpiredError
        if row.last_used_at is None or row.last_used_at <= now - LAST_USED_INTERVAL:
            with self._database.write() as connection:
                this_one = (credential.c.did == row.did, credential.c.token_hash == row.token_hash)
                unused = credential.c.last_used_at.is_not_distinct_from(row.last_used_at)
                connection.execute(sa.update(credential).where(*this_one, unused).values(last_used_at=now))
        principal = Principal(
            did=row.did,
            handle=row.handle,
            scope=Scope(row.scope),
            admin=self.is_admin(row.did) and row.scope == Scope.ADMIN,
            kind=CredentialKind(row.kind),
            name=row.name,
            credential_id=row.id,
            state=AccountState.since(row.leaving_since),
            expires_at=row.expires_at,
            operator=self.is_operator(row.did) and Scope.OPERATOR in INCLUDED[Scope(row.scope)],
        )
        self._remembered[row.token_hash] = principal, time.monotonic()
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return principal

    def remembered(self, token: SecretStr) -> Principal | None:
        """Return the account of a token that was authenticated lately; its caller proves that it `IS_USABLE` still."""
        principal, at = self._remembered.get(_hash(token), (None, 0.0))
        return principal if time.monotonic() - at < REMEMBERED_SECONDS else None

    def is_operator(self, did: str) -> bool:
        """Whether the account is one of OPERATOR_DIDS or ADMIN_DIDS; it also needs a token of scope operator or admin."""
        return did in self._operator_dids

    def is_admin(self, did: str) -> bool:
        """Whether the account is one of ADMIN_DIDS; an admin also needs a token of scope admin."""
        return did in self._admin_dids

    def issued_to(self, did: str, only: str | None = None) -> Sequence[Any]:
        """Return the usable tokens of this account, or `only` the one with this id and those made with it; newest first."""
        with self._database.read() as connection:
            these = sa.select(*_LISTED).where(_of(did, only), _is_usable(self._database.now(connection)))
            newest_first = these.order_by(credential.c.created_at.desc(), credential.c.token_hash)
            return connection.execute(newest_first).all()

    def is_usable(self, connection: sa.Connection, *, did: str, credential_id: str) -> bool:
        now = self._database.now(connection)
        return bool(IS_USABLE.query(did=did, credential_id=credential_id, now=now).start(connection).all())


def revoke_usable(
    connection: sa.Connection, *, did: str, now: datetime, only: str | None = None, but: str | None = None
) -> list[tuple[str, CredentialKind]]:
    """Revoke and return usable tokens of this account: `only` the one with this id and those made with it, or all `but` one."""
    which = (_of(did, only), credential.c.id != (but or ""), _is_usable(now))
    revoked = sa.update(credential).where(*which).values(revoked_at=now)
    rows = connection.execute(revoked.returning(credential.c.id, credential.c.kind)).all()
    return sorted((row.id, CredentialKind(row.kind)) for row in rows)


def _of(did: str, only: str | None) -> sa.ColumnElement[bool]:
    of_account = credential.c.did == did
    if only is None:
        return of_account
    made = sa.select(credential.c.id).where(of_account, credential.c.id == only).cte("made", recursive=True)
    made = made.union_all(sa.select(credential.c.id).where(of_account, credential.c.parent == made.c.id))
    return sa.and_(of_account, credential.c.id.in_(sa.select(made.c.id)))


def revoke_all_tokens(connection: sa.Connection, now: datetime) -> None:
    working = sa.update(credential).where(credential.c.revoked_at.is_(None))
    connection.execute(working.values(revoked_at=now))


def count_usable_tokens(connection: sa.Connection, now: datetime, did: str | None = None) -> int:
    of_account = () if did is None else (credential.c.did == did,)
    return count_rows(connection, _is_usable(now), *of_account)


def _is_usable(now: datetime | sa.BindParameter[datetime]) -> sa.ColumnElement[bool]:
    unexpired = sa.or_(credential.c.expires_at.is_(None), credential.c.expires_at > now)
    return sa.and_(credential.c.revoked_at.is_(None), unexpired)


IS_USABLE: Final = Prepared(
    lambda _: sa.select(credential.c.id).where(
        *(credential.c.id == sa.bindparam("credential_id"), credential.c.did == sa.bindparam("did")),
        _is_usable(sa.bindparam("now", type_=UtcDateTime())),
    )
)


def _hash(token: SecretStr) -> str:
    return hashlib.sha256(token.get_secret_value().encode()).hexdigest()


EnvelopeFor = Callable[[str], Envelope]
"""Makes the envelope (actor, channel, request) of a change by the account with this DID."""


class AccountTokens:
    def __init__(self, log: EventLog, credentials: Credentials) -> None:
        self._log: Final = log
        self._credentials: Final = credentials

    def issue(
        self,
        creator: Principal,
        *,
        name: str,
        scope: Scope,
        expires_in: timedelta | None,
        by: EnvelopeFor,
        also: Callable[[UnitOfWork, Issued], None] = lambda _unit, _issued: None,
    ) -> Issued:
        """Issue an API token, and call `also` in the same unit.

        It ends with the API token that creates it. Raises CredentialExpiredError if that has been ended meanwhile.
        """
        did = creator.did
        by_program = creator.kind is CredentialKind.API

        def work(unit: UnitOfWork) -> Issued:
            if not self._credentials.is_usable(unit.connection, did=did, credential_id=creator.credential_id):
                raise CredentialExpiredError
            issued = self._credentials.issue(
                unit.connection,
                did=did,
                kind=CredentialKind.API,
                name=name,
                scope=scope,
                expires_in=expires_in,
                ends_by=creator.expires_at if by_program else None,
                parent=creator.credential_id if by_program else None,
            )
            stream = account_of(unit)
            stream.issue_token(
                issued.id, name=name, scope=scope.value, expires_at=issued.expires_at, at=unit.now
            )
            unit.save(stream)
            also(unit, issued)
            return issued

        return self._log.transact(did, by(did), work)

    def end_others(self, user: Principal, *, by: EnvelopeFor) -> int:
        """End every session and token of this account except the one in use; returns how many."""
        return self._end(user.did, by, but=user.credential_id)

    def end(self, did: str, credential_id: str, *, by: EnvelopeFor) -> bool:
        """End a session or token of this account, and what was made with it; False if there was none that could be used."""
        return self._end(did, by, only=credential_id) > 0

    def _end(self, did: str, by: EnvelopeFor, **which: str) -> int:
        def work(unit: UnitOfWork) -> int:
            ended = revoke_usable(unit.connection, did=did, now=unit.now, **which)
            if ended:
                stream = account_of(unit)
                record_ends(stream, ended, at=unit.now)
                unit.save(stream)
            return len(ended)

        return self._log.transact(did, by(did), work)


def record_ends(stream: Account, ended: Iterable[tuple[str, CredentialKind]], *, at: datetime) -> None:
    for credential_id, kind in ended:
        end = stream.sign_out if kind is CredentialKind.BROWSER else stream.revoke_token
        end(credential_id, at=at)
