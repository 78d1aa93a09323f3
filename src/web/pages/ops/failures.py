"""Failures by cause, and the records of a cause."""

import asyncio

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.error_responses import error_response
from api.routers.ops.deliveries import FailuresQuery, read_failures
from web.ask import OperatorAsk, wanted
from web.page_route import PageRoute
from web.pages.ops.advice import about_cause
from web.pages.ops.handles import handles_of
from web.pages.ops.hosts import causes_of, host_named
from web.pages.ops.record_words import rows_in_words
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])


@router.get("/ops/failures")
async def show_causes(
    ask: OperatorAsk, render: RenderDep, host: str = "", cursor: str | None = None
) -> Response:
    """Why requests fail, the cause met last first."""
    found = await ask(read_failures, wanted(FailuresQuery, by="cause", host=host, cursor=cursor))
    return render(
        "ops/causes.html", causes=found["causes"], cursor=found["cursor"], host=host, about=about_cause
    )


@router.get("/ops/failures/{cause}")
async def show_cause(cause: str, ask: OperatorAsk, render: RenderDep, cursor: str | None = None) -> Response:
    """One cause: since when, how often, a sample, and the records that it keeps from their PDS."""
    found = await causes_of(ask, cause=cause)
    if not found:
        return error_response(404, "not_found", "There is no such cause. It may have been forgotten since.")
    records, pds = await asyncio.gather(
        ask(read_failures, wanted(FailuresQuery, cause=cause, cursor=cursor)),
        host_named(ask, found[0]["host"]),
    )
    accounts = [each["did"] for each in (found[0]["sample"], *records["items"])]
    return render(
        "ops/cause.html",
        cause=found[0],
        handles=await handles_of(ask, accounts),
        advice=about_cause(found[0]),
        pds=pds,
        records=rows_in_words(records["items"]),
        cursor=records["cursor"],
    )
