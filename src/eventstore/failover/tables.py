"""The processes that may have acknowledged events, as rows that a standby has too."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Boolean, Column, Connection, Table, Text, delete, false, select

from eventstore.restore_detection import log_incarnation
from eventstore.schema import UtcDateTime, metadata

acknowledging_process: Final = Table(
    "acknowledging_process",
    metadata,
    Column("id", Text, primary_key=True),
    Column("machine", Text, nullable=False),
    Column("identity", Text, nullable=False),  # of the server on which it acknowledges
    Column("on_standby", Boolean, nullable=False, server_default=false()),
    Column("is_proven", Boolean, nullable=False, server_default=false()),
    Column("renewed_at", UtcDateTime, nullable=False),
)
process: Final = acknowledging_process.c
_KNOWN: Final = select(log_incarnation.c.identity).scalar_subquery()
_IS_OF_ANOTHER_SERVER: Final = process.identity != _KNOWN


def processes_of_another_server(connection: Connection) -> Sequence[Any]:
    """Return id, machine, on_standby and is_proven of those that acknowledged before the server became what it is."""
    query = select(process.id, process.machine, process.on_standby, process.is_proven)
    return connection.execute(query.where(_IS_OF_ANOTHER_SERVER).order_by(process.id)).all()


def forget_processes_of_another_server(connection: Connection) -> None:
    """Delete them: nothing is left to be proved."""
    connection.execute(delete(acknowledging_process).where(_IS_OF_ANOTHER_SERVER))
