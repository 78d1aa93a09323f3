"""An expected failure is one line, and its repeats are counted; a fault of the program keeps its traceback."""

import io
import json
import logging
import sqlite3
from collections.abc import Iterator

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from eventstore.errors import CommitFailedError
from service.observability.logging import JsonLog
from storage.errors import DiskFullError, StoreUnavailableError

BEGAN = 1_795_000_000.0
AWAY = (
    "the database does not answer: connection failed: connection to server at 10.0.0.5, port 5432 failed: "
    "Connection refused"
)


class DriverError(Exception):
    """An error of PostgreSQL's driver, under the name that it has there."""

    def __init__(self, text: str = AWAY.partition(": ")[2], sqlstate: str | None = None) -> None:
        super().__init__(f"{text}\n\tIs the server running on that host?")
        self.sqlstate = sqlstate


DriverError.__name__ = "OperationalError"


def of_sqlite(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("what SQLite said")
    error.sqlite_errorname = name
    return error


def away() -> DBAPIError:
    return OperationalError("select secret_of_the_statement", {}, DriverError())


class Log:
    """A log in virtual time."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        self.handler = JsonLog(self.text)

    def say(self, message: str, seconds: float, error: BaseException | None = None, **extra: object) -> None:
        info = (type(error), error, None) if error is not None else None
        record = logging.getLogger("some.where").makeRecord(
            "some.where", logging.ERROR, "file", 1, message, (), info, extra=extra
        )
        record.created = BEGAN + seconds
        self.handler.handle(record)

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    made.handler.close()


def test_a_database_that_is_away_is_one_line_that_says_what_comes_next(log: Log) -> None:
    log.say("relay_claim_failed", 0, away())
    [line] = log.lines
    assert line["message"] == "relay_claim_failed"
    assert line["error"] == AWAY
    assert line["next"] == (
        "tried again until it answers, nothing acknowledged is lost; `mastertape doctor` names its address"
    )


def test_repeats_are_counted_since_the_first_at_growing_intervals(log: Log) -> None:
    for second in range(600):
        log.say("relay_claim_failed", second, away())
    assert [(line.get("since"), line.get("times")) for line in log.lines] == [
        (None, None),
        *((log.lines[0]["at"], times) for times in (61, 181, 421)),
    ]


def test_the_last_repeats_are_told_with_what_is_logged_next(log: Log) -> None:
    for second in range(3):
        log.say("relay_claim_failed", second, away())
    log.say("request", 100)
    first, request, summary = log.lines
    assert (first["message"], request["message"]) == ("relay_claim_failed", "request")
    assert (summary["message"], summary["times"], summary["since"]) == ("relay_claim_failed", 3, first["at"])


def test_the_last_repeats_are_told_when_the_process_ends(log: Log) -> None:
    for second in range(3):
        log.say("relay_claim_failed", second, away())
    log.handler.close()
    assert [line.get("times") for line in log.lines] == [None, 3]


def test_a_failure_that_was_over_begins_anew(log: Log) -> None:
    log.say("relay_claim_failed", 0, away())
    log.say("request", 1000)
    log.say("relay_claim_failed", 1001, away())
    assert [line["message"] for line in log.lines] == ["relay_claim_failed", "request", "relay_claim_failed"]
    assert "since" not in log.lines[-1]


def test_failures_of_other_kinds_and_events_are_counted_apart(log: Log) -> None:
    log.say("relay_claim_failed", 0, away())
    log.say("job_failed", 0, away())
    log.say("relay_claim_failed", 1, of_sqlite("SQLITE_BUSY"))
    assert len(log.lines) == 3


def test_a_fault_of_the_program_keeps_its_traceback_each_time(log: Log) -> None:
    for _ in range(2):
        log.say("job_failed", 0, of_sqlite("SQLITE_ERROR"))  # a table that does not exist
        log.say("job_failed", 0, ZeroDivisionError("in a job"))
    assert len(log.lines) == 4
    assert all("next" not in line for line in log.lines)
    assert "ZeroDivisionError: in a job" in str(log.lines[1]["error"])


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (DriverError(), AWAY),
        (DriverError("no room", "53100"), "a disk is full: no room"),
        (DriverError("locked", "55P03"), "the database is busy: locked"),
        (of_sqlite("SQLITE_FULL"), "a disk is full: what SQLite said"),
        (of_sqlite("SQLITE_IOERR_WRITE"), "the database does not answer: what SQLite said"),
        (OSError(28, "No space left on device"), "a disk is full: [Errno 28] No space left on device"),
        (DiskFullError("media"), "a disk is full: The disk is full: media"),
        (StoreUnavailableError("S3"), "the media store does not answer: The store cannot be reached or does"),
    ],
    ids=["away", "full", "busy", "full file", "file away", "full disk", "full store", "store away"],
)
def test_what_happened_is_told_in_words(log: Log, error: Exception, what: str) -> None:
    log.say("job_failed", 0, error)
    assert str(log.lines[0]["error"]).startswith(what)


def test_a_commit_without_an_answer_is_told_with_its_cause(log: Log) -> None:
    unsure = CommitFailedError()
    unsure.__cause__ = away()
    log.say("request_failed", 0, unsure)
    [line] = log.lines
    assert str(line["error"]).endswith("Connection refused")
    assert line["next"] == "the caller is asked to try again, nothing acknowledged is lost"


def test_what_a_record_says_is_counted_by_decides_what_its_repeats_are(log: Log) -> None:
    for host in ("a", "b", "a"):
        log.say("not_delivered", 0, uri=f"at://{host}/1", counted_by=host)
    log.say("not_delivered", 0, uri="at://c/1")
    log.say("not_delivered", 0, uri="at://c/1")
    assert [line["uri"] for line in log.lines] == ["at://a/1", "at://b/1", "at://c/1", "at://c/1"]
    assert "counted_by" not in log.lines[0]
