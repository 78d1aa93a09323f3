"""What an account asks for itself (an adoption, a profile), and what an operator ends of it: sessions and tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from application.authorization import owner_of, require_staying
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork, account_of
from identity.accounts.accounts import set_profile
from identity.accounts.api_tokens import record_ends
from identity.accounts.credentials import revoke_usable
from outbox.operations.operators import CountChangedError, Operator
from replay.adoption import adopt


def request_adoption(log: EventLog, did: str, envelope: Envelope) -> None:
    """Request a job, or join the one that runs; raises LeavingError."""

    def work(unit: UnitOfWork) -> None:
        require_staying(unit)
        adopt.request(unit.connection, did, envelope, unit.now)

    log.transact(did, envelope, work)


def update_profile(unit: UnitOfWork, changes: Mapping[str, str | None]) -> None:
    """Set `display_name` or `bio`; None clears, and the profile's name is shown again. Tracks keep their artist's name."""
    require_staying(unit)
    account = account_of(unit)
    before = (account.display_name, account.bio)
    account.update_profile(changes, at=unit.now)
    if (account.display_name, account.bio) != before:
        unit.save(account)
        set_profile(unit.connection, owner_of(unit), chosen_name=account.display_name, bio=account.bio)


END_TOKENS: Final = "end_tokens"


@dataclass(frozen=True)
class EndTokens:
    """The account, and the id of one of its sessions or tokens, which ends with those made with it; without an id, all."""

    did: str
    token_id: str | None = None
    expected: int | None = None
    """How many the operator was shown."""


def end_tokens(log: EventLog, command: EndTokens, operator: Operator) -> int:
    """End them at once, and return how many; the account's stream says who did, and why. Raises CountChangedError.

    The login at the PDS continues, and what waits is still delivered.
    """

    def work(unit: UnitOfWork) -> int:
        ended = revoke_usable(unit.connection, did=command.did, only=command.token_id, now=unit.now)
        if command.expected not in {None, len(ended)}:
            raise CountChangedError(command.expected or 0, len(ended))
        if command.token_id is not None and not ended:
            return 0
        account = account_of(unit)
        record_ends(account, ended, at=unit.now)
        which = {"did": command.did, "token_id": command.token_id}
        filters = {name: value for name, value in which.items() if value is not None}
        account.record_operator_action(
            END_TOKENS, filters, affected=len(ended), reason=operator.reason, at=unit.now
        )
        unit.save(account)
        return len(ended)

    return log.transact(command.did, operator.envelope, work)
