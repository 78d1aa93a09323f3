"""The sign-in page: asks for a handle, and shows why a sign-in failed."""

from collections.abc import Mapping
from html import escape
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse

from api.middleware.security_headers import SIGN_IN_PAGE

PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} - mastertape</title>
<h1>{title}</h1>
<p>{message}</p>
<form action="/auth/login">
<input type="hidden" name="page" value="true">
{hidden}<label>Handle or DID <input name="handle" value="{handle}" autocomplete="username" required></label>
<button>Sign in</button>
</form>
"""
REDIRECT_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="0; url={url}">
<title>Sign in - mastertape</title>
<p>On to <a href="{url}">{host}</a>.</p>
"""


def wants_page(request: Request) -> bool:
    """Whether the caller is a browser: those accept HTML."""
    return "text/html" in request.headers.get("accept", "")


def sign_in_page(status: int, title: str, message: str, asked: Mapping[str, str]) -> HTMLResponse:
    """Return the page; its form repeats the parameters of the request."""
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(asked[name])}">\n'
        for name in ("scope", "return_to")
        if name in asked
    )
    content = PAGE.format(
        title=escape(title), message=escape(message), hidden=hidden, handle=escape(asked.get("handle", ""))
    )
    return HTMLResponse(content, status, SIGN_IN_PAGE)


def redirect_page(url: str) -> HTMLResponse:
    """Return the page between the form and the authorization server of a PDS.

    A redirect would have to be in the form's form-action, which cannot name every PDS there is; this is a new
    navigation, which no policy of the form's page concerns.
    """
    return HTMLResponse(REDIRECT_PAGE.format(url=escape(url), host=escape(urlsplit(url).netloc)))
