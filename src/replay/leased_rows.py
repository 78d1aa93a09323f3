"""Jobs whose rows carry the lease of the worker that runs them: `lease_owner`, `lease_until` and `lease_epoch`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, update


@dataclass(frozen=True)
class LeasedRows:
    """The rows of one table, each named by its `key`."""

    table: Table
    key: Column[Any]

    def held(self, key: object, epoch: int) -> ColumnElement[bool]:
        """Whether the claim of this epoch still holds; each claim raises the epoch."""
        job = self.table.c
        return and_(self.key == key, job.lease_epoch == epoch, job.lease_owner.is_not(None))

    def change(self, connection: Connection, key: object, epoch: int, values: Mapping[str, Any]) -> bool:
        """Change the row; False, and nothing is changed, where the claim was lost."""
        changed = update(self.table).where(self.held(key, epoch)).values(values)
        return connection.execute(changed).rowcount == 1


def unleased(now: datetime) -> dict[str, Any]:
    """Return the values of a row that no worker holds."""
    return {"lease_owner": None, "lease_until": now}
