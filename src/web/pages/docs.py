"""The API reference: an index of all routes, a page for each group of them, and one for the codes of errors."""

from functools import cached_property
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.document import DocumentedApp
from web.ask import PageRoute
from web.reference import failures_of, operations_of
from web.rendering import RenderDep, templates

router = APIRouter(route_class=PageRoute, include_in_schema=False)

INDEX: Final = ""
ERRORS: Final = "errors"


class Reference:
    """The reference of an application; it is rendered once in a process."""

    def __init__(self, app: DocumentedApp) -> None:
        self._app: Final = app

    def page(self, name: str) -> Markup | None:
        return self._pages.get(name)

    @cached_property
    def _pages(self) -> dict[str, Markup]:
        document, base_url = self._app.openapi(), self._app.state.services.base_url
        groups: dict[str, list[dict[str, Any]]] = {}
        for operation in operations_of(document, base_url):
            groups.setdefault(operation["tag"], []).append(operation)
        known = {
            "groups": groups,
            "headers": list(document["components"]["parameters"].values()),
            "failures": failures_of(document),
            "base_url": base_url,
        }
        kinds = {INDEX: "index", **dict.fromkeys(groups, "group"), ERRORS: "errors"}
        return {
            name: Markup(templates().get_template(f"docs/{kind}.html").render(known, name=name))  # noqa: S704 - it was escaped there
            for name, kind in kinds.items()
        }


async def reference_of(request: Request) -> Reference:
    found: Reference = request.app.state.reference
    return found


ReferenceDep = Annotated[Reference, Depends(reference_of)]


@router.get("/docs")
async def show_index(reference: ReferenceDep, render: RenderDep) -> Response:
    return await _shown(INDEX, "API", reference, render)


@router.get("/docs/{name}")
async def show_group(name: str, reference: ReferenceDep, render: RenderDep) -> Response:
    return await _shown(name, f"API: {name}", reference, render)


async def _shown(name: str, title: str, reference: Reference, render: RenderDep) -> Response:
    content = await run_in_threadpool(reference.page, name)
    if content is None:
        raise HTTPException(404)
    return render("docs/page.html", title=title, content=content)
