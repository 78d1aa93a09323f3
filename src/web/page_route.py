"""The class of all routes of pages: they exist for callers that accept HTML, beside the API's at the same address."""

from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.routing import Match
from starlette.types import Scope

HTML = "text/html"


def accepts_html(scope: Scope) -> bool:
    """Whether a browser navigates, or a page asks for a page: both name text/html in Accept."""
    return HTML in Headers(scope=scope).get("accept", "")


class PageRoute(APIRoute):
    """A route that matches only requests that accept HTML."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and not accepts_html(scope):
            return Match.NONE, {}
        return super().matches(scope)
