"""The account of a unit of work, for all who have something to note there."""

from aggregates.account import Account
from eventstore.errors import AggregateNotFoundError
from eventstore.unit_of_work import UnitOfWork


def account_of(unit: UnitOfWork) -> Account:
    """Return the account that the unit of work belongs to; its stream begins with the first thing that happens to it."""
    if unit.did is None:
        msg = "an account's event belongs to an account: open the unit of work with a DID"
        raise ValueError(msg)
    try:
        return unit.load(Account, Account.create_id(unit.did))
    except AggregateNotFoundError:
        return Account.open(did=unit.did, at=unit.now)
