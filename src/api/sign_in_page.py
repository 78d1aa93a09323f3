"""The one page for people here: it asks who wants to sign in, and says why it did not work."""

from html import escape
from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse

HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} - mastertape</title>
<h1>{title}</h1>
<p>{message}</p>
<form action="/auth/login">
<label>Handle or DID <input name="handle" value="{handle}" autocomplete="username" required></label>
<button>Sign in</button>
</form>
"""


def wants_page(request: Request) -> bool:
    """Whether a person looks at the answer: browsers name HTML, programs do not."""
    return "text/html" in request.headers.get("accept", "")


def sign_in_page(status: int, title: str, message: str, handle: str) -> HTMLResponse:
    """Make the page."""
    content = PAGE.format(title=escape(title), message=escape(message), handle=escape(handle))
    return HTMLResponse(content, status, HEADERS)
