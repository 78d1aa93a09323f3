"""The library's own conformance tests, of the log's insert and reads and of the transcoder, on both databases."""

import threading
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import Transcoder
from eventsourcing.tests import persistence as kit
from sqlalchemy import MetaData

from eventstore.database import Database
from eventstore.event_log import json_transcoder
from eventstore.schema import event_table
from tests.eventstore.library.recorders import LogAggregateRecorder, LogApplicationRecorder


class OnDatabase:
    """Fresh tables for each test of the kit."""

    kind: str

    @pytest.fixture(autouse=True)
    def fresh_database(self, request: pytest.FixtureRequest):
        self.url = request.getfixturevalue(f"fresh_{self.kind}")
        self.database = Database(self.url)
        metadata = MetaData()
        self.events = event_table("events", metadata)
        metadata.create_all(self.database.engine)
        others = set(threading.enumerate())
        yield
        for reader in set(threading.enumerate()) - others:
            reader.join(timeout=10)  # the kit leaves its readers running
        self.database.close()

    def close_db_connection(self, *_: Any) -> None:
        self.database.close()


class AggregateCase(OnDatabase):
    def create_recorder(self) -> LogAggregateRecorder:
        return LogAggregateRecorder(self.database, self.events)


class ApplicationCase(OnDatabase):
    def create_recorder(self) -> LogApplicationRecorder:
        return LogApplicationRecorder(self.database, self.events)

    def new_originator_id(self) -> str:
        return str(uuid4())


class NonInterleavingCase(OnDatabase):
    create_recorder = ApplicationCase.create_recorder
    new_originator_id = ApplicationCase.new_originator_id


class TextIds:
    """Streams named by text instead of a UUID."""

    new_originator_id = ApplicationCase.new_originator_id


CASES = {
    "AggregateRecorder": (AggregateCase, kit.AggregateRecorderTestCase),
    "AggregateRecorderWithTextIds": (TextIds, AggregateCase, kit.AggregateRecorderTestCase),
    "ApplicationRecorder": (ApplicationCase, kit.ApplicationRecorderTestCase),
    "NonInterleaving": (NonInterleavingCase, kit.NonInterleavingNotificationIDsBaseCase),
}

for kind in ("sqlite", "postgres"):
    for case, bases in CASES.items():
        name = f"Test{case}On{kind.title()}"
        made = type(name, bases, {"kind": kind, "__module__": __name__})
        globals()[name] = pytest.mark.postgres(made) if kind == "postgres" else made
del made


class TestTranscoder(kit.TranscoderTestCase):
    """JSON writes a subclass as its base and a tuple as a list; `Unit.save` decodes what it stored for that."""

    test_dict_subclass = test_list_subclass = test_str_subclass = test_int_subclass = None  # type: ignore[assignment]
    test_tuple = test_mixed = None  # type: ignore[assignment]

    def construct_transcoder(self) -> Transcoder:
        return json_transcoder([kit.CustomType1AsDict(), kit.CustomType2AsDict()])
