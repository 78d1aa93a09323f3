"""Issues and ends the tokens of an account; the row and its event commit in one unit of work."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from aggregates.account import Account
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork, account_of
from identity.accounts.credentials import (
    CredentialKind,
    Credentials,
    Issued,
    Principal,
    Scope,
    revoke_usable,
)
from identity.errors import CredentialExpiredError

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

        A token that is created with an API token ends with that one. Raises CredentialExpiredError if the creator's token
        has been ended meanwhile.
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
            account = account_of(unit)
            account.issue_token(
                issued.id, name=name, scope=scope.value, expires_at=issued.expires_at, at=unit.now
            )
            unit.save(account)
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
                account = account_of(unit)
                record_ends(account, ended, at=unit.now)
                unit.save(account)
            return len(ended)

        return self._log.transact(did, by(did), work)


def record_ends(account: Account, ended: Iterable[tuple[str, CredentialKind]], *, at: datetime) -> None:
    for credential_id, kind in ended:
        end = account.sign_out if kind is CredentialKind.BROWSER else account.revoke_token
        end(credential_id, at=at)
