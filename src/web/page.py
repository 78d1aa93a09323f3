"""What routes of pages have at hand: what they ask, show and send as their viewer; and where they lead."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import RedirectResponse

from api.auth.authentication import operator
from api.requests.parameters import PageQuery
from web.ask import ApiDep, OwnAsk, PageRoute, PublicAsk, wanted
from web.rendering import RenderDep


@dataclass(frozen=True)
class PublicPage:
    ask: PublicAsk
    render: RenderDep
    api: ApiDep


@dataclass(frozen=True)
class OwnPage:
    ask: OwnAsk
    render: RenderDep
    api: ApiDep


Public = Annotated[PublicPage, Depends()]
Own = Annotated[OwnPage, Depends()]


def pages(prefix: str = "", dependencies: Sequence[Any] = ()) -> APIRouter:
    return APIRouter(
        prefix=prefix, route_class=PageRoute, include_in_schema=False, dependencies=[*dependencies]
    )


def screens(prefix: str = "") -> APIRouter:
    """Routes of the console: who is no operator is refused before anything that was sent is read."""
    return pages(prefix, [Depends(operator)])


def to(address: str) -> RedirectResponse:
    """Lead to the page that shows what a form has done."""
    return RedirectResponse(address, HTTPStatus.SEE_OTHER)


async def page_asked_for(cursor: str | None = None) -> PageQuery:
    return wanted(PageQuery, cursor=cursor)


Cursor = Annotated[PageQuery, Depends(page_asked_for)]
"""Which page of a list is asked for."""
Numbers = Annotated[list[int], Query(default_factory=list)]
Ids = Annotated[list[int], Query(alias="id", default_factory=list)]
