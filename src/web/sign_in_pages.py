"""The pages of a sign-in, as `api.auth.sign_in_page` asks for them."""

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import Response

from api.services import Services
from web.rendering import rendered

STUDIO = "/studio"
"""Where a person who signs in on the page goes, if nothing else was asked for."""


class WebSignInPages:
    """Made from the same templates as all other pages."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def form(self, status: int, title: str, message: str, asked: Mapping[str, str]) -> Response:
        kept = {name: asked[name] for name in ("scope", "return_to") if name in asked}
        return rendered(
            "sign_in.html",
            self._services,
            status,
            title=title,
            message=message,
            handle=asked.get("handle", ""),
            kept={"return_to": STUDIO} | kept,
            is_refusal=status >= HTTPStatus.BAD_REQUEST,
        )

    def onward(self, url: str) -> Response:
        return rendered("onward.html", self._services, url=url, host=urlsplit(url).netloc)
