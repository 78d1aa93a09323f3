"""Giving out tokens and ending them: the row and the event that tells of it, in one unit."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from eventstore.account_stream import account_of
from eventstore.envelope import Envelope
from eventstore.unit import Unit
from eventstore.unit_of_work import EventLog
from identity.credentials import CredentialKind, Credentials, Issued, Scope

By = Callable[[str], Envelope]
"""Makes the envelope of what somebody with this DID does: who, through what, in which request."""


class Access:
    """What an account does with its own tokens."""

    def __init__(self, log: EventLog, credentials: Credentials) -> None:
        self._log: Final = log
        self._credentials: Final = credentials

    def issue(self, did: str, *, name: str, scope: Scope, expires_in: timedelta | None, by: By) -> Issued:
        """Give out a token for programs."""

        def work(unit: Unit) -> Issued:
            issued = self._credentials.issue(
                unit.connection,
                did=did,
                kind=CredentialKind.API,
                name=name,
                scope=scope,
                expires_in=expires_in,
            )
            account = account_of(unit)
            account.issue_token(
                issued.id, name=name, scope=scope.value, expires_at=issued.expires_at, at=unit.now
            )
            unit.save(account)
            return issued

        return self._log.transact(did, by(did), work)

    def end(self, did: str, credential_id: str, *, by: By) -> bool:
        """End a session or a token of this account; whether there was one to end."""

        def work(unit: Unit) -> bool:
            kind = self._credentials.revoke(unit.connection, did=did, credential_id=credential_id)
            if kind is None:
                return False
            account = account_of(unit)
            end = account.sign_out if kind is CredentialKind.BROWSER else account.revoke_token
            end(credential_id, at=unit.now)
            unit.save(account)
            return True

        return self._log.transact(did, by(did), work)
