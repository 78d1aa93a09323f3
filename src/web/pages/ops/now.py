"""The first screen: how all is in one sentence, with its age, and all that waits, with what to do about it."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from fastapi import Response

from api.responses.ops.work import MOST_COUNTED, ReadModelState
from api.responses.states import ADOPTION, PERIODIC, JobState, MirrorReason, MirrorState
from api.routers.ops.deliveries import FailuresQuery, HostsQuery, read_failures, read_hosts
from api.routers.ops.work import JobsQuery, read_jobs, read_overview, read_work
from api.routers.records.audit import AuditQuery, audit_entries
from web.ask import Json, OperatorAsk, wanted
from web.page import screens
from web.pages.ops.words import OPERATOR_ACTED, AskedDep, ShowDep, about_host, about_wait, record_words
from web.rendering import counted
from web.state_words import Mark
from web.whereabouts import mark_of

router = screens()


@dataclass(frozen=True)
class Health:
    """The sentence, the colour of its mark, since when it is so, and what to do."""

    tone: str
    sentence: str
    since: str | None = None
    since_words: str = "Since"
    advice: str | None = None


def health(overview: Json, first: Json | None) -> Health:
    """Return how all is; `first` is the host that fails the longest."""
    parked = {each["reason"]: each for each in overview["waits"] if each["state"] == MirrorState.PARKED}
    since = {reason: wait["since"] for reason, wait in parked.items()}
    if overview["problem"]:
        waits_since = overview["oldest_pending_at"] or since.get(MirrorReason.RESTORED)
        return Health("bad", overview["problem"], waits_since, "The first change waits since")
    if first is not None:
        others = overview["failing_hosts"] - 1
        more = f", and {others:,} more" if others > 0 else ""
        if first["paused"]:
            words = f"{first['host']} is paused{more}.", since.get(MirrorReason.PAUSED)
            return Health("wait", *words, "The first record waits since", about_host(first))
        if first["failing_since"] is None:
            return Health("bad", f"{first['host']} is doubted{more}.", advice=about_host(first))
        sentence = f"{first['host']} does not answer as it should{more}."
        return Health("bad", sentence, first["failing_since"], advice=about_host(first))
    if not overview["waits"]:
        return Health("good", "All is well. Records reach their PDSes.")
    waiting, ready = sum(each["accounts"] for each in parked.values()), overview["ready_accounts"]
    some = "Deliveries" if waiting <= ready else "Few deliveries" if ready else "No deliveries"
    records = sum(each["records"] for each in overview["waits"])
    is_for_artists = all(
        each["state"] == MirrorState.PARKED and mark_of(each["state"], each["reason"]) is Mark.WAITING
        for each in overview["waits"]
    )
    return Health(
        "good" if waiting <= ready and is_for_artists else "wait",
        f"{some} go through; {records:,} record{' waits' if records == 1 else 's wait'}.",
        min((each["since"] for each in overview["waits"] if each["since"]), default=None),
        "Since" if records == 1 else "The first since",
    )


CAUSES: Final = 5
HOSTS: Final = 10
LATEST: Final = 10


@router.get("/ops")
async def show_now(ask: OperatorAsk, show: ShowDep) -> Response:
    overview, hosts, causes, actions = await asyncio.gather(
        ask(read_overview),
        ask(read_hosts, HostsQuery(failing=True, limit=HOSTS)),
        ask(read_failures, FailuresQuery(by="cause", limit=CAUSES)),
        ask(audit_entries, AuditQuery(type=OPERATOR_ACTED, limit=LATEST)),
    )
    failing = hosts["items"]
    return await show(
        "ops/now.html",
        overview=overview,
        health=health(overview, next(iter(failing), None)),
        waits=[
            {**each, "words": record_words(each), "advice": about_wait(each)} for each in overview["waits"]
        ],
        failing=failing,
        about=about_host,
        has_more_failing=hosts["cursor"] is not None,
        causes=causes["causes"],
        audit=actions["items"],
    )


STANDSTILL: Final = timedelta(minutes=10)
"""A replay that has not moved for so long may have been cut off; its last step may take long too."""
SCANS_BEHIND: Final = 2
"""Intervals after which a repo that was not scanned is late: its host may just have been busy before."""


class Trouble(NamedTuple):
    """What needs a look: its tone, the section that says more, and a sentence."""

    tone: str
    section: str
    sentence: str


@router.get("/ops/work")
async def show_work(ask: OperatorAsk, show: ShowDep) -> Response:
    work, periodic = await asyncio.gather(ask(read_work), ask(read_jobs, JobsQuery(kind=PERIODIC)))
    return await show(
        "ops/work.html",
        work=work,
        troubles=list(troubles(work, periodic["items"])),
        stands_still=stands_still(work),
        most=MOST_COUNTED,
    )


@router.get("/ops/jobs")
async def show_jobs(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    work, found = await asyncio.gather(ask(read_work), ask(read_jobs, wanted(JobsQuery, **asked)))
    kinds = sorted({each["kind"] for each in work["jobs"]})
    return await show("ops/jobs.html", **found, kind=asked["kind"], state=asked["state"], kinds=kinds)


def troubles(work: Json, periodic: Iterable[Json]) -> Iterator[Trouble]:
    """Yield what needs a look, the worst first."""
    outdated = [each["name"] for each in work["read_models"] if each["state"] == ReadModelState.OUTDATED]
    if outdated:
        yield Trouble(
            "bad", "read-models", f"No edit is taken: outdated read models ({', '.join(outdated)})."
        )
    for job in periodic:
        if job["problem"] is not None:
            yield Trouble("bad", "jobs", f"The job “{job['subject'].replace('_', ' ')}” fails.")
    if stands_still(work):
        yield Trouble("wait", "read-models", f"A {work['replay']['work']} of read models does not move.")
    for job in work["jobs"]:
        if job["jobs"] and (job["kind"], job["state"]) == (ADOPTION, JobState.FAILED):
            yield Trouble("wait", "jobs", f"{counted(job['jobs'], 'adoption')} failed.")
    scan = work["scan"]
    late = SCANS_BEHIND * timedelta(seconds=scan["interval_seconds"])
    if scan["due"] and scan["oldest_at"] and _age(work, scan["oldest_at"]) > late:
        yield Trouble("wait", "scan", f"The scan is behind: {counted(scan['due'], 'repo')} due.")
    streams = work["firehose"]["streams"]
    if lost := sum(streams.values()) - streams.get("followed", 0):
        yield Trouble("wait", "firehose", f"The firehose of {counted(lost, 'host')} is not followed.")


def stands_still(work: Json) -> bool:
    return work["replay"] is not None and _age(work, work["replay"]["moved_at"]) > STANDSTILL


def _age(work: Json, at: str) -> timedelta:
    return datetime.fromisoformat(work["at"]) - datetime.fromisoformat(at)
