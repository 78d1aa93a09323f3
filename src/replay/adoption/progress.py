"""How far an adoption is, and what is wrong with the records that it could not adopt, or not whole."""

from dataclasses import dataclass, field
from typing import Any, Final

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
        return self.known + self.adopted + self.refused

    def add_problem(self, problem: Problem) -> None:
        if len(self.problems) < MAX_NAMED_PROBLEMS:
            self.problems.append(problem)

    def refuse(self, problem: Problem) -> None:
        self.refused += 1
        self.add_problem(problem)


def problem_of(key: RecordKey, error: str, message: str, *, adopted: bool = False, **more: Any) -> Problem:
    """Describe a problem of a record; `adopted` says whether the record became a track nevertheless."""
    message = clean(message, MAX_PROBLEM_LENGTH)
    return {"uri": clean(key.uri), "error": error, "message": message, "adopted": adopted, **more}
