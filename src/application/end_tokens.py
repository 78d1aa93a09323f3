"""End the sessions and tokens of an account: an operator's decision, for when one may have been stolen."""

from dataclasses import dataclass
from typing import Final

from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork, account_of
from identity.accounts.api_tokens import record_ends
from identity.accounts.credentials import revoke_usable
from outbox.operations.operators import CountChangedError, Operator

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
