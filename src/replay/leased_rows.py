"""Jobs whose rows carry the lease of the worker that runs them: `lease_owner`, `lease_until` and `lease_epoch`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_, update


@dataclass(frozen=True)
class LeasedRows:
    """The rows of one table, each named by its `key`."""

    table: Table
    key: Column[Any]

    def claim(
        self, connection: Connection, free: Select[*tuple[Any, ...]], *, owner: str, until: datetime
    ) -> tuple[Any, int] | None:
        """Claim the first of these rows that no other worker is claiming now; returns it and the epoch of the claim."""
        row = connection.execute(free.limit(1).with_for_update(skip_locked=True)).one_or_none()
        if row is None:
            return None
        epoch = row.lease_epoch + 1
        taken = {"lease_owner": owner, "lease_until": until, "lease_epoch": epoch}
        key = row._mapping[self.key.name]  # noqa: SLF001 - SQLAlchemy's way to a row's columns
        connection.execute(update(self.table).where(self.key == key).values(taken))
        return row, epoch

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
