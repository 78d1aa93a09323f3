"""Keeps the highest log position that this machine has seen in a file outside the database.

A log that ends below it was restored from a backup. The file is written every RECORD_INTERVAL_SECONDS and at an orderly
end, so a restore to a point within the last interval goes unnoticed.
"""

import logging
import secrets
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from eventstore.coordination.restore_detection import (
    compare_with_seen,
    last_issued,
    newest_issued,
    restored_because,
)
from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from eventstore.sql.cluster import is_distributed
from eventstore.sql.schema import stored_event
from service.config.settings import Settings

logger: Final = logging.getLogger("mastertape.service")

RECORD_INTERVAL_SECONDS: Final = 10


def high_water_mark_path(settings: Settings) -> Path:
    """Return the file, which a restore of the database leaves alone."""
    return settings.data / "newest_position"


def seen_position(settings: Settings) -> int:
    """Return the highest position that this machine has recorded; 0 without a file, or if it holds no number."""
    try:
        return int(high_water_mark_path(settings).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def detect_restore(log: EventLog, settings: Settings) -> None:
    """Compare the end of the log with the high-water mark, mark the database as restored if it is lower, and raise the mark."""
    compare_with_seen(log.database, seen_position(settings))
    record_high_water_mark(log, settings)


def record_high_water_mark(log: EventLog, settings: Settings) -> None:
    """Raise the high-water mark to the newest position. A lower position marks the database as restored instead."""
    path, seen = high_water_mark_path(settings), seen_position(settings)
    with log.database.read() as connection:
        # the log is on many nodes, its sequence on one
        if is_distributed(connection, stored_event.name) and last_issued(connection) == seen:
            return
        newest, is_restored = newest_issued(connection), restored_because(connection) is not None
    if newest < seen:
        compare_with_seen(log.database, seen)
    elif newest > seen and not is_restored:  # what was seen before may prove what was lost
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            unfinished.write_text(f"{newest}\n")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def try_record_high_water_mark(log: EventLog, settings: Settings) -> None:
    """Record the mark; an unreachable database or full disk is only logged, since the service must go on or end."""
    try:
        record_high_water_mark(log, settings)
    except (SQLAlchemyError, EventStoreError, OSError):
        logger.warning("newest_position_not_kept", exc_info=True)
