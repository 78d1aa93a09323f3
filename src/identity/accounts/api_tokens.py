"""Giving out tokens and ending them: the row and the event that tells of it, in one unit."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from eventstore.account_stream import account_of
from eventstore.envelope import Envelope
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import CredentialKind, Credentials, Issued, Principal, Scope
from identity.errors import CredentialExpiredError

By = Callable[[str], Envelope]
"""Makes the envelope of what somebody with this DID does: who, through what, in which request."""


class Access:
    """What an account does with its own tokens."""

    def __init__(self, log: EventLog, credentials: Credentials) -> None:
        self._log: Final = log
        self._credentials: Final = credentials

    def issue(
        self,
        maker: Principal,
        *,
        name: str,
        scope: Scope,
        expires_in: timedelta | None,
        by: By,
        also: Callable[[UnitOfWork, Issued], None] = lambda _unit, _issued: None,
    ) -> Issued:
        """Issue a token for programs, and do `also` that in the same unit. One that a program makes ends no later than the program's own.

        Raises CredentialExpiredError when what it is made with has been ended since.
        """
        did = maker.did
        ends_by = maker.expires_at if maker.kind is CredentialKind.API else None

        def work(unit: UnitOfWork) -> Issued:
            if not self._credentials.works(unit.connection, did=did, credential_id=maker.credential_id):
                raise CredentialExpiredError
            issued = self._credentials.issue(
                unit.connection,
                did=did,
                kind=CredentialKind.API,
                name=name,
                scope=scope,
                expires_in=expires_in,
                ends_by=ends_by,
            )
            account = account_of(unit)
            account.issue_token(
                issued.id, name=name, scope=scope.value, expires_at=issued.expires_at, at=unit.now
            )
            unit.save(account)
            also(unit, issued)
            return issued

        return self._log.transact(did, by(did), work)

    def end_others(self, user: Principal, *, by: By) -> int:
        """End every session and token of this account but the one in use; returns how many."""
        others = [each.id for each in self._credentials.issued_to(user.did) if each.id != user.credential_id]
        return sum(self.end(user.did, each, by=by) for each in others)

    def end(self, did: str, credential_id: str, *, by: By) -> bool:
        """End a session or a token of this account; whether there was one to end."""

        def work(unit: UnitOfWork) -> bool:
            kind = self._credentials.revoke(unit.connection, did=did, credential_id=credential_id)
            if kind is None:
                return False
            account = account_of(unit)
            end = account.sign_out if kind is CredentialKind.BROWSER else account.revoke_token
            end(credential_id, at=unit.now)
            unit.save(account)
            return True

        return self._log.transact(did, by(did), work)
