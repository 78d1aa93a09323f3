"""The class of all routes of pages: they exist for callers that accept HTML, beside the API's at the same address."""

from typing import Any, Final

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

HTML: Final = "text/html"
ANY: Final = "*/*"
ACCEPTS_HTML: Final = "mastertape.accepts_html"
PUBLIC: Final = ("/@", "/tags/", "/docs/")
"""The pages that are shared as links, where the API has no route, begin so."""


def accepts_html(scope: Scope) -> bool:
    """Whether to answer with a page: browsers name text/html in Accept; a public page is for all that accept anything."""
    if ACCEPTS_HTML not in scope:  # each route of a page asks
        accept = Headers(scope=scope).get("accept") or ANY
        is_public = scope["path"] in {"/", "/docs"} or scope["path"].startswith(PUBLIC)
        scope[ACCEPTS_HTML] = HTML in accept or (ANY in accept and is_public)
    return bool(scope[ACCEPTS_HTML])


class PageRoute(APIRoute):
    """A route that matches only requests that accept HTML."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.methods == {"GET"}:
            self.methods = {"GET", "HEAD"}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and not accepts_html(scope):
            return Match.NONE, {}
        return super().matches(scope)
