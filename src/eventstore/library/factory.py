"""The persistence module for the library's own applications: `PERSISTENCE_MODULE=eventstore.library.factory`.

Environment, each also with the application's name before it (`ALPHA_EVENTSTORE_URL`):

- EVENTSTORE_URL: the database, `sqlite:///FILE` or `postgresql+psycopg://...`; required.
- EVENTSTORE_TABLES: what the names of its tables begin with; the application's name in lower case by default.
- CREATE_TABLE: whether missing tables are created; yes by default, as in the library's own modules.
- APPLICATION_RECORDER_TOPIC, PROCESS_RECORDER_TOPIC, TRACKING_RECORDER_TOPIC: subclasses of ours.
"""

from typing import Final, TypeVar

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    InfrastructureFactoryError,
    ProcessRecorder,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic, strtobool
from sqlalchemy import MetaData, Table

from eventstore.database import Database
from eventstore.library.recorder import (
    CoreAggregateRecorder,
    CoreApplicationRecorder,
    CoreProcessRecorder,
    CoreTrackingRecorder,
)
from eventstore.schema import event_table, tracking_table

R = TypeVar("R")


class Factory(InfrastructureFactory[CoreTrackingRecorder]):
    """Recorders of one application on one database."""

    EVENTSTORE_URL = "EVENTSTORE_URL"
    EVENTSTORE_TABLES = "EVENTSTORE_TABLES"
    CREATE_TABLE = "CREATE_TABLE"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get(self.EVENTSTORE_URL)
        if not url:
            raise InfrastructureFactoryError(f"{self.EVENTSTORE_URL} is not set")
        self.database: Final = Database(url)
        self._prefix: Final = self.env.get(self.EVENTSTORE_TABLES) or self.env.name.lower() or "library"

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Streams of events or snapshots."""
        return CoreAggregateRecorder(self.database, self._events(purpose))

    def application_recorder(self) -> ApplicationRecorder:
        """The application's events."""
        recorder = self._class(self.APPLICATION_RECORDER_TOPIC, CoreApplicationRecorder)
        return recorder(self.database, self._events())

    def tracking_recorder(
        self, tracking_recorder_class: type[CoreTrackingRecorder] | None = None
    ) -> CoreTrackingRecorder:
        """How far others' events have been processed."""
        recorder = tracking_recorder_class or self._class(self.TRACKING_RECORDER_TOPIC, CoreTrackingRecorder)
        return recorder(self.database, self._tracking())

    def process_recorder(self) -> ProcessRecorder:
        """Both in one transaction."""
        recorder = self._class(self.PROCESS_RECORDER_TOPIC, CoreProcessRecorder)
        return recorder(self.database, self._events(), self._tracking())

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def _class(self, topic: str, default: type[R]) -> type[R]:
        name = self.env.get(topic)
        if not name:
            return default
        found: type[R] = resolve_topic(name)
        if not issubclass(found, default):
            raise InfrastructureFactoryError(f"{topic} {name!r} is no {default.__name__}")
        return found

    def _events(self, purpose: str = "events") -> Table:
        return self._there(event_table(f"{self._prefix}_{purpose}", MetaData()))

    def _tracking(self) -> Table:
        return self._there(tracking_table(f"{self._prefix}_tracking", MetaData()))

    def _there(self, table: Table) -> Table:
        if strtobool(self.env.get(self.CREATE_TABLE) or "yes"):
            table.create(self.database.engine, checkfirst=True)
        return table
