"""Background work: how far each part of it is, and what needs a look; the jobs of every kind."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.responses.ops.work import MOST_COUNTED, ReadModelState
from api.responses.states import ADOPTION, PERIODIC, JobState
from api.routers.ops.work import JobsQuery, read_jobs, read_work
from web.ask import OperatorAsk, PageRoute, wanted
from web.pages.ops.words import AskedDep, ShowDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

STANDSTILL: Final = timedelta(minutes=10)
"""A replay that has not moved for so long may have been cut off; its last step may take long too."""
SCANS_BEHIND: Final = 2
"""Intervals after which a repo that was not scanned is late: its host may just have been busy before."""

Trouble = Mapping[str, str]
"""What needs a look: its tone, a sentence, and the section that says more."""


@router.get("/ops/work")
async def show_work(ask: OperatorAsk, show: ShowDep) -> Response:
    """Read models, jobs, the scan and the firehose: how far each is."""
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
    """The jobs, of a kind or in a state."""
    work, found = await asyncio.gather(ask(read_work), ask(read_jobs, wanted(JobsQuery, **asked)))
    kinds = sorted({each["kind"] for each in work["jobs"]})
    return await show("ops/jobs.html", **found, kind=asked["kind"], state=asked["state"], kinds=kinds)


def troubles(work: Mapping[str, Any], periodic: Iterable[Mapping[str, Any]]) -> Iterator[Trouble]:
    """Yield what needs a look, the worst first."""
    outdated = [each["name"] for each in work["read_models"] if each["state"] == ReadModelState.OUTDATED]
    if outdated:
        yield _trouble(
            "bad", "read-models", f"No edit is taken: outdated read models ({', '.join(outdated)})."
        )
    for job in periodic:
        if job["problem"] is not None:
            yield _trouble("bad", "jobs", f"The job “{job['subject'].replace('_', ' ')}” fails.")
    if stands_still(work):
        yield _trouble("wait", "read-models", f"A {work['replay']['work']} of read models does not move.")
    for job in work["jobs"]:
        if job["jobs"] and (job["kind"], job["state"]) == (ADOPTION, JobState.FAILED):
            yield _trouble("wait", "jobs", f"{_some(job['jobs'], 'adoption')} failed.")
    scan = work["scan"]
    late = SCANS_BEHIND * timedelta(seconds=scan["interval_seconds"])
    if scan["due"] and scan["oldest_at"] and _age(work, scan["oldest_at"]) > late:
        yield _trouble("wait", "scan", f"The scan is behind: {_some(scan['due'], 'repo')} due.")
    streams = work["firehose"]["streams"]
    if lost := sum(streams.values()) - streams.get("followed", 0):
        yield _trouble("wait", "firehose", f"The firehose of {_some(lost, 'host')} is not followed.")


def stands_still(work: Mapping[str, Any]) -> bool:
    """Whether a replay has not moved for STANDSTILL."""
    return work["replay"] is not None and _age(work, work["replay"]["moved_at"]) > STANDSTILL


def _age(work: Mapping[str, Any], at: str) -> timedelta:
    return datetime.fromisoformat(work["at"]) - datetime.fromisoformat(at)


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _trouble(tone: str, section: str, sentence: str) -> Trouble:
    return {"tone": tone, "section": section, "sentence": sentence}
