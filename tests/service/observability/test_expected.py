"""An expected failure is one line that says what comes next; a fault of the program keeps its traceback."""

import json
import logging
import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from eventstore.errors import CommitFailedError
from service.observability.logging import JsonLines
from storage.errors import DiskFullError, StoreUnavailableError

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


def logged(message: str, error: BaseException) -> dict[str, object]:
    info = (type(error), error, None)
    record = logging.getLogger("some.where").makeRecord(
        "some.where", logging.ERROR, "file", 1, message, (), info
    )
    return dict(json.loads(JsonLines().format(record)))


def test_a_database_that_is_away_is_one_line_that_says_what_comes_next() -> None:
    line = logged("relay_claim_failed", away())
    assert line["message"] == "relay_claim_failed"
    assert line["error"] == AWAY
    assert line["next"] == (
        "tried again until it answers, nothing acknowledged is lost; `mastertape doctor` names its address"
    )


@pytest.mark.parametrize(
    "error",
    [
        of_sqlite("SQLITE_ERROR"),
        psycopg.errors.ProgramLimitExceeded("index row size"),
        ZeroDivisionError("in a job"),
    ],
)
def test_a_fault_of_the_program_keeps_its_traceback(error: Exception) -> None:
    line = logged("job_failed", error)
    assert "next" not in line
    assert str(line["error"]).endswith(f"{type(error).__name__}: {error}")


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
def test_what_happened_is_told_in_words(error: Exception, what: str) -> None:
    assert str(logged("job_failed", error)["error"]).startswith(what)


def test_a_commit_without_an_answer_is_told_with_its_cause() -> None:
    unsure = CommitFailedError()
    unsure.__cause__ = away()
    line = logged("request_failed", unsure)
    assert str(line["error"]).endswith("Connection refused")
    assert line["next"] == "the caller is asked to try again, nothing acknowledged is lost"
