"""Uploads: one at a time by a form; with scripts, several at once, each with its own progress."""

from http import HTTPStatus

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from web.api_client import ApiDep, RefusedError
from web.ask import OwnAsk
from web.page_route import PageRoute
from web.pages.studio.problems import Problem, problem_of
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/studio/upload")
async def show_upload(_ask: OwnAsk, render: RenderDep) -> Response:
    return _page(render, None)


@router.post("/studio/upload")
async def upload(api: ApiDep, render: RenderDep) -> Response:
    """Pass the form on to the API as it comes."""
    answer = await api.pass_on("POST", "/tracks")
    if answer.is_success:
        return RedirectResponse(f"/studio/tracks/{answer.body['id']}?done=uploaded", HTTPStatus.SEE_OTHER)
    if answer.status == HTTPStatus.UNAUTHORIZED:
        raise RefusedError(answer)
    return _page(render, problem_of(answer), answer.status)


def _page(render: RenderDep, problem: Problem | None, status: int = HTTPStatus.OK) -> Response:
    return render("studio/upload.html", status, problem=problem)
