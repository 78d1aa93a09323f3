"""The API reference: an index of all routes, a page for each group of them, and one for the codes of errors."""

from functools import cached_property
from threading import Lock
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.document import DocumentedApp
from web.page_route import PageRoute
from web.reference.operations import Operation, failures_of, operations_of
from web.rendering import RenderDep, templates

router = APIRouter(route_class=PageRoute, include_in_schema=False)

INDEX: Final = ""
ERRORS: Final = "errors"


class Reference:
    """The reference of an application; each of its pages is rendered once in a process."""

    def __init__(self, app: DocumentedApp) -> None:
        self._app: Final = app
        self._pages: Final[dict[str, Markup]] = {}
        self._lock: Final = Lock()

    def page(self, name: str) -> Markup | None:
        """Return the content of a page; None if there is none of that name."""
        with self._lock:
            if name not in self._pages and name in {INDEX, ERRORS, *self._by_tag}:
                self._pages[name] = self._rendered(name)
            return self._pages.get(name)

    @cached_property
    def _by_tag(self) -> dict[str, list[Operation]]:
        found: dict[str, list[Operation]] = {}
        for operation in operations_of(self._app.openapi(), self._base_url):
            found.setdefault(operation.tag, []).append(operation)
        return found

    @property
    def _base_url(self) -> str:
        address: str = self._app.state.services.base_url
        return address

    def _rendered(self, name: str) -> Markup:
        kind = {INDEX: "index", ERRORS: "errors"}.get(name, "group")
        values = {
            "name": name,
            "groups": self._by_tag,
            "headers": list(self._app.openapi()["components"]["parameters"].values()),
            "failures": failures_of(self._app.openapi()) if name == ERRORS else [],
            "base_url": self._base_url,
        }
        return Markup(templates().get_template(f"docs/{kind}.html").render(values))  # noqa: S704 - it was escaped there


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
