"""Carries what an account does to the accounts that read of it: likes of their tracks, and which lists follow their records."""

from typing import Final

from aggregates.track_list import TrackList
from application.likes import show_like
from application.lists.followed import show_followed
from application.lists.liked import request_liked_list
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs.kinds import Job, Kind, Outcome
from projections.likes import REACTION

MAX_CONCURRENT: Final = 4
FIRST_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 60.0


def reaction_kind(log: EventLog, threads: Threads) -> Kind:
    async def work(job: Job) -> Outcome:
        return await threads.run(carry_over, log, job)

    return Kind(
        REACTION,
        work,
        lambda _error: None,
        max_concurrent=MAX_CONCURRENT,
        max_per_account=MAX_CONCURRENT,
        first_pause_seconds=FIRST_PAUSE_SECONDS,
        max_pause_seconds=MAX_PAUSE_SECONDS,
    )


def carry_over(log: EventLog, job: Job) -> Outcome:
    # a job of an older version names no kind
    *kind, subject_id, version = job.subject.split("/")
    if kind == [TrackList.TOPIC]:
        show_followed(log, job, int(subject_id), int(version))
        return Outcome.DONE
    request_liked_list(log, job.account)
    return show_like(log, job, int(subject_id))
