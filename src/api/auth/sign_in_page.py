"""The pages of a sign-in: who makes them, and who gets them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request, Response


@dataclass(frozen=True)
class Refusal:
    """Why a sign-in did not work: the status and the code of the error."""

    status: int
    code: str


class SignInPages(Protocol):
    """Makes the pages; this package has only the sign-in itself."""

    def form(self, message: str, asked: Mapping[str, str], refusal: Refusal | None = None) -> Response:
        """Return a page that asks for a handle and says why; its form repeats the parameters that were `asked`."""

    def onward(self, url: str) -> Response:
        """Return the page between the form and the authorization server of a PDS.

        A redirect would have to be in the form's form-action, which cannot name every PDS there is; this is a new
        navigation, which no policy of the form's page concerns.
        """


def sign_in_pages(request: Request) -> SignInPages | None:
    """Return the pages, if the caller is a browser, which accepts HTML; None for programs, and where there are no pages."""
    if "text/html" not in request.headers.get("accept", ""):
        return None
    pages: SignInPages | None = request.app.state.sign_in_pages
    return pages
