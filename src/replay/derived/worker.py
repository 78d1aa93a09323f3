"""The jobs that make renditions and waveforms: each kind in its own slots, one of an account at a time."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from eventstore.errors import ThreadsBusyError
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome
from eventstore.untrusted import clean
from replay.derived.covers import CannotBeMadeError, NotMadeError
from replay.derived.plan import request_recent
from storage.derived.jobs import DerivedKind
from storage.errors import MediaGoneError, StorageError, StoreUnavailableError, TakenDownError

MAX_CONCURRENT: Final[Mapping[DerivedKind, int]] = {
    DerivedKind.RENDITIONS: 1,
    DerivedKind.COVER: 4,
    DerivedKind.WAVEFORM: 1,
}
"""In a process; of covers at other hosts, one a host."""
MAX_ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 6 * 3600.0
MAX_PROBLEM_LENGTH: Final = 500

Maker = Callable[[str], Awaitable[None]]
"""Makes and keeps what is derived from a source; raises CannotBeMadeError, NotMadeError or StorageError."""


def derived_kinds(makers: Mapping[DerivedKind, Maker]) -> Sequence[Kind]:
    """Return the kinds of these makers; the first requests what the tracks that changed last lack."""
    return [
        Kind(
            kind,
            _work_of(maker),
            judge,
            max_concurrent=MAX_CONCURRENT[kind],
            max_per_host=1,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            max_pause_seconds=MAX_PAUSE_SECONDS,
            max_attempts=MAX_ATTEMPTS,
            find=None if number else request_recent,
        )
        for number, (kind, maker) in enumerate(makers.items())
    ]


def _work_of(maker: Maker) -> Callable[[Job], Awaitable[Outcome]]:
    async def work(job: Job) -> Outcome:
        await maker(job.subject)
        return Outcome.DONE

    return work


def judge(error: Exception) -> Failure | None:
    """A source that is not what it has to be is not tried again; a store that is away is no fault of the source."""
    problem = clean(error, MAX_PROBLEM_LENGTH)
    match error:
        case CannotBeMadeError() | MediaGoneError() | TakenDownError():
            return Failure(problem, final=True)
        case StoreUnavailableError() | ThreadsBusyError():
            return Failure(problem, counted=False)
        case NotMadeError() | StorageError():
            return Failure(problem)
    return None
