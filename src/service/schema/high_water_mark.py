"""The newest position that this machine has seen, in a file beside the database: it tells of a database that was put back.

It is written every few seconds and at an orderly end; what was lost within the last of them it does not notice.
"""

import logging
import secrets
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from eventstore.event_log import EventLog
from eventstore.restore_detection import compare_with_seen, newest_issued
from service.config.settings import Settings

logger: Final = logging.getLogger("mastertape.service")

EVERY_SECONDS: Final = 10


def file_of(settings: Settings) -> Path:
    """Where it is kept: outside of what a restore of the database puts back."""
    return settings.data / "newest_position"


def read_newest(path: Path) -> int:
    """Return the position; 0 where none was ever seen, or the file holds no number."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def look_for_restore(log: EventLog, settings: Settings) -> None:
    """Notice a log that ends before what this machine has seen of it, and remember what there is now."""
    compare_with_seen(log.database, read_newest(file_of(settings)))
    keep_newest(log, settings)


def keep_newest(log: EventLog, settings: Settings) -> None:
    """Remember the newest position; one that is lower than what was seen is noticed, and not remembered."""
    path = file_of(settings)
    with log.database.read() as connection:
        newest = newest_issued(connection)
    seen = read_newest(path)
    if newest < seen:
        compare_with_seen(log.database, seen)
    elif newest > seen:
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            unfinished.write_text(f"{newest}\n")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def keep_newest_if_possible(log: EventLog, settings: Settings) -> None:
    """The same, of a service that must go on, or end, whatever is away or full."""
    try:
        keep_newest(log, settings)
    except (DBAPIError, OSError) as error:
        logger.warning("newest_position_not_kept", extra={"reason": str(error)})
