"""Proves that a promoted standby has all that was acknowledged, and ends the recovery then; otherwise nothing changes.

Each machine looks for the transactions in its own files. The database is recovered once that has been done for every process
which may have acknowledged, each of which a synchronous standby knew of before.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, text, update

from eventstore.coordination.commit_signals import announce
from eventstore.failover.acknowledged_file import REQUEST_BYTES, Acknowledged, AcknowledgedFile, files_left
from eventstore.failover.acknowledgements import Acknowledgements
from eventstore.failover.tables import (
    acknowledging_process,
    forget_processes_of_another_server,
    process,
    processes_of_another_server,
)
from eventstore.restore_detection import (
    IDENTITY,
    POSITIONS_SKIPPED,
    log_incarnation,
    mark_recovered,
    require_same_server,
)
from eventstore.schema import stored_event

logger: Final = logging.getLogger("mastertape.eventstore")

NO_STANDBY: Final = "no standby is connected"

_EVENTS: Final = select(
    stored_event.c.position,
    stored_event.c.originator_id,
    stored_event.c.originator_version,
    stored_event.c.request_id,
).where(stored_event.c.position.in_(bindparam("positions", expanding=True)))
_IS_PROVEN: Final = (
    update(acknowledging_process)
    .where(process.id.in_(bindparam("ids", expanding=True)))
    .values(is_proven=True)
)
_STANDBYS: Final = text("""
    select count(*) as connected, count(*) filter (where sync_state in ('sync', 'quorum')) as synchronous
    from pg_stat_replication where state <> 'backup'
""")


class FailoverProof:
    """The part of one process in the proof.

    `seen` returns the newest position that this machine has ever seen; `on_proved` runs in the transaction that ends the waiting.
    """

    def __init__(
        self,
        acknowledgements: Acknowledgements,
        seen: Callable[[], int],
        on_proved: Callable[[Connection], None],
    ) -> None:
        self._acknowledgements: Final = acknowledgements
        self._database: Final = acknowledgements.database
        self._seen: Final = seen
        self._on_proved: Final = on_proved
        self._said: str | None = None

    def run(self) -> bool:
        """Return whether the database was recovered now: a standby was promoted, and nothing is missing."""
        with self._database.read_committed() as connection:
            require_same_server(connection)
            found: Any = connection.execute(select(log_incarnation)).one_or_none()
            identity = connection.info.get(IDENTITY)
        if found is None or found.restored_because is None or not found.is_promotion or identity is None:
            return False
        problem, proven = self._prove(self._acknowledgements.leave(identity))
        self._acknowledgements.forget(proven)
        if problem is None:
            logger.warning("failover_proved", extra={"reason": found.restored_because})
        elif problem != self._said:
            logger.error("failover_not_proved", extra={"reason": problem})
        self._said = problem
        return problem is None

    def _prove(self, own: Sequence[AcknowledgedFile]) -> tuple[str | None, Sequence[Path]]:
        """Look for what the files hold; return what is not proven, None once all is, and the files that are needed no more."""
        with self._database.write() as connection:
            require_same_server(connection)
            now: Any = connection.execute(select(log_incarnation).with_for_update()).one()
            if now.restored_because is None or not now.is_promotion:
                return "another process or an operator was faster", ()
            files = [*own, *(left := files_left(self._acknowledgements.folder))]
            try:
                kept = {file.path: file.read() for file in files}
            finally:
                for file in left:
                    file.close()
            newest = now.issued_up_to - POSITIONS_SKIPPED
            if (
                disproof := self._disproof(connection, newest, chain.from_iterable(kept.values()))
            ) is not None:
                connection.execute(
                    update(log_incarnation).values(is_promotion=False)
                )  # for other machines too
                return disproof, ()
            connection.execute(_IS_PROVEN, {"ids": [path.name for path in kept]})
            problem = _unproven(connection)
            if problem is None:
                mark_recovered(connection, self._database)
                forget_processes_of_another_server(connection)
                self._on_proved(connection)
                announce(connection)
        return problem, list(kept)

    def _disproof(self, connection: Connection, newest: int, kept: Iterable[Acknowledged]) -> str | None:
        """Return what is known to be lost."""
        if (seen := self._seen()) > newest:
            return f"the log ends at position {newest}, and {seen} was seen in it"
        if missing := _missing(connection, kept):
            last = missing[-1]
            return f"{len(missing)} acknowledged transactions are missing, one of them at position {last.position}"
        return None


def _missing(connection: Connection, acknowledged: Iterable[Acknowledged]) -> list[Acknowledged]:
    kept = {each.position: each for each in acknowledged}
    found = {
        row.position: Acknowledged(
            row.position, row.originator_id, row.originator_version, row.request_id.encode()[:REQUEST_BYTES]
        )
        for row in connection.execute(_EVENTS, {"positions": list(kept)})
    }
    return [each for position, each in sorted(kept.items()) if found.get(position) != each]


def _unproven(connection: Connection) -> str | None:
    """Return which process is not proven to have lost nothing; None if all are, and there was one."""
    processes = processes_of_another_server(connection)
    if not processes:
        return "no process had registered"
    for row in processes:
        if not row.on_standby:
            return f"no synchronous standby knew of a process on {row.machine} when it began"
        if not row.is_proven:
            return f"a process on {row.machine} has not found its transactions yet"
    return None


def why_not_provable(connection: Connection) -> str | None:
    """Return why a promotion of a standby, now, would not be proved to have lost nothing; None if it would be."""
    standbys: Any = connection.execute(_STANDBYS).one()
    if not standbys.connected:
        return NO_STANDBY
    if standbys.synchronous < standbys.connected:
        others = standbys.connected - standbys.synchronous
        return f"{others} of {standbys.connected} standbys are not synchronous, or this role lacks pg_monitor"
    machines = connection.scalars(select(process.machine).where(~process.on_standby).distinct()).all()
    if machines:
        return f"processes began before a synchronous standby knew of them, on {', '.join(sorted(machines))}"
    return None
