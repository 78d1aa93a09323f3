"""What the library's conformance tests do not ask of its recorders."""

import threading
from functools import partial

import pytest
from eventsourcing import persistence
from eventsourcing.application import Application
from eventsourcing.persistence import InfrastructureFactoryError, StoredEvent
from sqlalchemy import exc

from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.errors import CommitFailedError, LogBusyError, NestedUnitError
from eventstore.event_log import EventLog
from eventstore.library.factory import Factory
from eventstore.library.recorder import CoreApplicationRecorder, library_errors
from eventstore.schema import stored_event
from tests.eventstore.counter import ALICE, BOB, ENVELOPE, Counter, counter_id
from tests.eventstore.threads import DEADLINE, lock_waits, together, until

NAMES = (
    "InterfaceError",
    "DatabaseError",
    "DataError",
    "OperationalError",
    "IntegrityError",
    "InternalError",
    "ProgrammingError",
    "NotSupportedError",
)


def event(version: int = 1) -> StoredEvent:
    return StoredEvent(counter_id("a"), version, "topic", b"{}")


@pytest.mark.parametrize("name", NAMES)
def test_a_database_error_becomes_the_librarys_of_the_same_name(name: str) -> None:
    error = getattr(exc, name)("", {}, Exception("reason"))
    with pytest.raises(persistence.PersistenceError) as caught, library_errors():
        raise error
    assert type(caught.value) is getattr(persistence, name)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [CommitFailedError(), LogBusyError(), exc.TimeoutError()])
def test_what_is_no_answer_of_the_database_is_operational(error: Exception) -> None:
    with pytest.raises(persistence.PersistenceError) as caught, library_errors():
        raise error
    assert type(caught.value) is persistence.OperationalError


def test_an_append_keeps_the_envelope_it_is_given(database: Database) -> None:
    recorder = CoreApplicationRecorder(database, stored_event)
    recorder.insert_events([event(1)], did=BOB, envelope=Envelope("her", "cli", "r-9"))
    recorder.insert_events([event(2)])
    with database.read() as connection:
        rows = connection.execute(stored_event.select().order_by(stored_event.c.position)).all()
    assert [(r.did, r.actor, r.via, r.request_id) for r in rows] == [
        (BOB, "her", "cli", "r-9"),
        ("", "", "", ""),
    ]


def test_an_append_inside_a_transaction_is_refused(database: Database) -> None:
    recorder = CoreApplicationRecorder(database, stored_event)
    with EventLog(database).unit_of_work(ALICE, ENVELOPE), pytest.raises(NestedUnitError):
        recorder.insert_events([event()])


@pytest.mark.postgres
def test_an_append_waits_for_its_account_or_without_one_for_everybody(postgres: Database) -> None:
    recorder, saved = CoreApplicationRecorder(postgres, stored_event), threading.Event()
    inserted: list[str | None] = []

    def insert(version: int, did: str | None) -> None:
        assert saved.wait(DEADLINE)
        recorder.insert_events([event(version)], did=did)
        inserted.append(did)

    def hold() -> None:
        with EventLog(postgres).unit_of_work(ALICE, ENVELOPE) as unit:
            unit.save(Counter(name="b"))
            saved.set()
            until(lambda: BOB in inserted and lock_waits(postgres) == 2)
            assert inserted == [BOB]

    together(hold, partial(insert, 1, ALICE), partial(insert, 2, BOB), partial(insert, 3, None))
    assert set(inserted) == {ALICE, BOB, None}


class Counters(Application):
    """An application of the library."""


def test_an_application_of_the_library_runs_on_the_factory(database_url: str) -> None:
    env = {"PERSISTENCE_MODULE": "eventstore.library.factory", "EVENTSTORE_URL": database_url}
    with Counters(env) as app:
        counter = Counter(name="a")
        counter.add(2)
        app.save(counter, did=ALICE, envelope=ENVELOPE)
        assert app.repository.get(counter.id).total == 2
        assert [n.id for n in app.notification_log.select(start=1, limit=10)] == [1, 2]
        app.factory.close()


def test_a_factory_without_a_database_says_so() -> None:
    with pytest.raises(InfrastructureFactoryError, match="EVENTSTORE_URL"):
        Factory({})
