"""Sets the name and the bio that an account shows here."""

from collections.abc import Mapping

from application.authorization import owner_of, require_staying
from eventstore.unit_of_work import UnitOfWork, account_of
from identity.accounts.accounts import set_profile


def update_profile(unit: UnitOfWork, changes: Mapping[str, str | None]) -> None:
    """Set `display_name` or `bio`; None clears, and the profile's name is shown again. Tracks keep their artist's name."""
    require_staying(unit)
    account = account_of(unit)
    before = (account.display_name, account.bio)
    account.update_profile(changes, at=unit.now)
    if (account.display_name, account.bio) != before:
        unit.save(account)
        set_profile(unit.connection, owner_of(unit), chosen_name=account.display_name, bio=account.bio)
