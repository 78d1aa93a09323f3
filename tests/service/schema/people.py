"""A database of many accounts, whose tables are then divided or distributed."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from outbox.mirror.targets import MirrorTargets
from service.cli.main import main
from service.schema.tables import READ_MODELS
from tests.dsl import a_track
from tests.service.command_line import environment

ENVELOPE = Envelope("artist", "test", "r")


@contextmanager
def log_of(people: Sequence[str], url: str) -> Iterator[EventLog]:
    """The log of these accounts, each of which has a track; nobody is connected."""
    with closing(Database(url)) as database:
        log = EventLog(database, projections=(*READ_MODELS, MirrorTargets()))
        for number, did in enumerate(people, 1):
            with log.unit_of_work(did, ENVELOPE) as unit:
                unit.save(a_track(number, did=did))
        database.engine.dispose()
        yield log


def typed(url: str, folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, words, env=environment({"DATABASE_URL": url, "DATA": folder / "data"}))
