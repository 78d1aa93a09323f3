"""Failures by cause, and the records of a cause."""

import asyncio

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.error_responses import error_response
from web.api_client import ApiDep
from web.page_route import PageRoute
from web.pages.ops.advice import about_cause
from web.pages.ops.handles import handles_of
from web.pages.ops.hosts import host_named
from web.pages.ops.record_words import rows_in_words
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])


@router.get("/ops/failures")
async def show_causes(api: ApiDep, render: RenderDep, host: str = "", cursor: str | None = None) -> Response:
    """Why requests fail, the cause met last first."""
    found = await api.read("/ops/failures", by="cause", host=host or None, cursor=cursor)
    return render(
        "ops/causes.html", causes=found["causes"], cursor=found["cursor"], host=host, about=about_cause
    )


@router.get("/ops/failures/{cause}")
async def show_cause(cause: str, api: ApiDep, render: RenderDep, cursor: str | None = None) -> Response:
    """One cause: since when, how often, a sample, and the records that it keeps from their PDS."""
    found = (await api.read("/ops/failures", by="cause", cause=cause))["causes"]
    if not found:
        return error_response(404, "not_found", "There is no such cause. It may have been forgotten since.")
    records, pds = await asyncio.gather(
        api.read("/ops/failures", cause=cause, cursor=cursor), host_named(api, found[0]["host"])
    )
    accounts = [each["did"] for each in (found[0]["sample"], *records["items"])]
    return render(
        "ops/cause.html",
        cause=found[0],
        handles=await handles_of(api, accounts),
        advice=about_cause(found[0]),
        pds=pds,
        records=rows_in_words(records["items"]),
        cursor=records["cursor"],
    )
