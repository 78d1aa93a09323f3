"""The fields of an account's event, as history shows them."""

from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from eventsourcing.domain import Aggregate

from aggregates.account import Account
from aggregates.account_events import AccountEvent, ProfileUpdated

ENVELOPE: Final = frozenset(field.name for field in fields(Aggregate.Created))


def fields_of(event: AccountEvent, before: Any) -> list[dict[str, Any]]:
    """List the fields that have a value, each as a change from nothing; of a profile, what it was before."""
    if isinstance(event, ProfileUpdated):
        earlier = vars(before) if isinstance(before, Account) else {}
        return [
            {"field": name, "before": earlier.get(name), "after": value}
            for name, value in event.changes.items()
        ]
    return [
        {"field": name, "before": None, "after": _plain(value)}
        for name, value in vars(event).items()
        if name not in ENVELOPE and value is not None
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
