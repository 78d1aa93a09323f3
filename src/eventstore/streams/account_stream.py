"""The account of a unit of work, for events about the account."""

from aggregates.account import Account
from eventstore.errors import AggregateNotFoundError
from eventstore.unit_of_work import UnitOfWork


def account_of(unit: UnitOfWork) -> Account:
    """Return the account of the unit of work; one without events is opened. Raises ValueError without a DID."""
    if unit.did is None:
        msg = "an account's event belongs to an account: open the unit of work with a DID"
        raise ValueError(msg)
    try:
        return unit.load(Account, Account.create_id(unit.did))
    except AggregateNotFoundError:
        return Account.open(did=unit.did, at=unit.now)
