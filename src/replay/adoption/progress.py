"""How far an adoption is, and what is wrong with the records that it could not adopt, or not whole."""

from dataclasses import dataclass, field
from typing import Any, Final

from aggregates.errors import InvalidFieldError
from eventstore.untrusted import clean
from outbox.pds.client import RecordKey

MAX_NAMED_PROBLEMS: Final = 500
"""More are counted and not named."""

MAX_PROBLEM_LENGTH: Final = 500
"""A message may quote a value of the record."""

Problem = dict[str, Any]


@dataclass
class Progress:
    """Of the records `found` at the PDS, how many were known here before, were adopted, or were refused."""

    found: int = 0
    known: int = 0
    adopted: int = 0
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """Return how many records are finished."""
        return self.known + self.adopted + self.refused

    @property
    def refused_uris(self) -> set[str]:
        """Return the named records that were refused."""
        return {problem["uri"] for problem in self.problems if not problem["adopted"]}

    def add_problem(self, problem: Problem) -> None:
        """Name a problem, up to MAX_NAMED_PROBLEMS of them."""
        if len(self.problems) < MAX_NAMED_PROBLEMS:
            self.problems.append(problem)

    def refuse(self, problem: Problem) -> None:
        """Count a record that was not adopted, and name its problem."""
        self.refused += 1
        self.add_problem(problem)


def invalid_field(key: RecordKey, error: InvalidFieldError) -> Problem:
    """Name the field that no track could hold."""
    problem = problem_of(key, "invalid_field", str(error), adopted=False)
    return problem | {"field": error.field, "limit": error.limit}


def bytes_unavailable(key: RecordKey, error: Exception, reason: str) -> Problem:
    """Say why the record's audio could not be fetched; `reason` is one word."""
    return problem_of(key, "bytes_unavailable", str(error), adopted=False) | {"reason": reason}


def problem_of(key: RecordKey, error: str, message: str, *, adopted: bool) -> Problem:
    """Describe a problem of a record; `adopted` says whether the record became a track nevertheless."""
    return {
        "uri": clean(key.uri),
        "error": error,
        "message": clean(message, MAX_PROBLEM_LENGTH),
        "adopted": adopted,
    }
