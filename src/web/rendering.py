"""Renders templates into pages with the headers that a page needs, for the account in use in this browser.

First, what templates call: addresses of pages and of what they show on an artist's PDS; times, lengths and texts.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import OptionalCaller, ServicesDep, browser_sessions, cookie_tokens
from api.middleware.rate_limits import taken_of
from api.requests.fields import ITEM_CHARACTERS, MOST_ITEMS, TEXT_BYTES
from api.responses import states
from api.services import Services
from identity.accounts.credentials import Principal
from identity.errors import INVALID_HANDLE
from identity.resolution.address_policy import HOST_NAME
from web.ask import Json
from web.state_words import WORDS
from web.static_files import static_files
from web.whereabouts import for_listeners, may_copy

if TYPE_CHECKING:
    from jinja2 import Environment


WEB: Final = ("http", "https")
RENDITION: Final = "{address}?size={size}"


def artist_address(handle: str, did: str) -> str:
    """Return the address of an artist's page: by handle, by DID while the handle cannot be confirmed."""
    return "/@" + quote(did if handle == INVALID_HANDLE else handle, safe=":")


def track_address(track: Json) -> str:
    return f"{artist_address(track['artist_handle'], track['artist_did'])}/{track['id']}"


def tag_address(tag: str) -> str:
    return "/tags/" + quote(tag, safe="")


def list_address(made: Json) -> str:
    end = f"albums/{quote(made['slug'], safe='')}" if "release_date" in made else f"playlists/{made['id']}"
    return f"{artist_address(made['owner_handle'], made['owner_did'])}/{end}"


def cover_address(subject: Json, size_pixels: int) -> str | None:
    """Return the address of a cover in a size; None where none is served. Pages show images of our origin alone."""
    if subject["deleted_at"] is not None or subject.get("taken_down_at") is not None:
        return None
    if subject["thumbnail_url"] is not None:
        return RENDITION.format(address=urlsplit(subject["image_url"]).path, size=size_pixels)
    if subject["image_url"] is not None:
        return RENDITION.format(address=f"/tracks/{subject['id']}/artwork", size=size_pixels)
    return None


def picture_address(context: Json, avatar_url: str | None, size_pixels: int) -> str | None:
    """Return the address of a person's picture in a size; None of one that lies elsewhere."""
    if avatar_url is None or not avatar_url.startswith(f"{context['base_url']}/artwork/"):
        return None
    return RENDITION.format(address=urlsplit(avatar_url).path, size=size_pixels)


def record_address(pds_url: str, uri: str) -> str | None:
    """Return where a PDS shows a record; None for a PDS that is not on the web."""
    repo, collection, rkey = uri.removeprefix("at://").split("/")
    return _at(pds_url, "com.atproto.repo.getRecord", repo=repo, collection=collection, rkey=rkey)


def repo_address(pds_url: str, did: str) -> str | None:
    """Return where a PDS shows an account; None for a PDS that is not on the web."""
    return _at(pds_url, "com.atproto.repo.describeRepo", repo=did)


def origin(url: str) -> str:
    """Return the scheme, host and port of an address: in a policy a path means that one file, not what lies below it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def frame(address: str, title: str, width: int | str = "100%", height: int = 152) -> str:
    """Return the HTML by which another site shows a page of ours."""
    return str(
        Markup(
            '<iframe src="{}" title="{}" width="{}" height="{}" loading="lazy" frameborder="0"></iframe>'
        ).format(address, title, width, height)
    )


def host(url: str) -> str:
    return urlsplit(url).netloc


def _at(pds_url: str, method: str, **query: str) -> str | None:
    return f"{pds_url}/xrpc/{method}?{urlencode(query)}" if urlsplit(pds_url).scheme in WEB else None


UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
LINK: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][^\s<>\"\\]*)?")
"""A host in other letters or behind a user's name is no link: a browser could read it as another one, such as our own."""
BEHIND_A_LINK: Final = ".,;:!?'"
PUBLIC_PAGE: Final = re.compile(
    r"/?|/@[\w.:-]+(/[0-9]+|/albums/[^/]+|/playlists/[0-9]+)?|/tags(/[^/]+)?|/search|/docs(/[\w-]+)?",
    re.ASCII,
)
IN_BACKTICKS: Final = re.compile(r"`([^`]+)`")


def moment(value: str | None) -> str:
    """Return an ISO time as `27 Nov 2026, 17:35 UTC`; scripts turn it into the viewer's own time zone."""
    at = utc(value)
    return f"{at.day} {at:%b %Y, %H:%M} UTC" if at is not None else value or ""


def day(value: str) -> str:
    """Return an ISO time as `27 November 2026`, in UTC."""
    at = utc(value)
    return f"{at.day} {at:%B %Y}" if at is not None else value


def playing_time(seconds: float | None) -> str:
    """Return seconds as `3:07`."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}"


def pause(seconds: str | float) -> str:
    """Return a pause as a person says it: `in 20 seconds`, `in 3 minutes`, `in 5 hours`."""
    count = max(int(seconds), 1)
    length, unit = next((each for each in UNITS[1:] if count >= 2 * each[0]), UNITS[-1])
    return f"in {counted(-(-count // length), unit)}"


def age(value: str) -> str:
    """Return how long ago an ISO time was: `5 minutes ago`; `just now` within a minute."""
    if (at := utc(value)) is None:
        return ""
    seconds = int((datetime.now(UTC) - at).total_seconds())
    past = (f"{counted(seconds // length, unit)} ago" for length, unit in UNITS if seconds >= length > 1)
    return next(past, "just now")


def counted(count: int, what: str) -> str:
    """Return how many there are: `1 track`, `2,000 tracks`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def coming(value: str) -> str:
    """Return when a planned ISO time comes: `in 20 seconds`; `now` once it has passed."""
    at = utc(value)
    if at is None:
        return ""
    seconds = (at - datetime.now(UTC)).total_seconds()
    return pause(seconds) if seconds > 0 else "now"


def relative(value: str) -> str:
    """Return how long ago an ISO time was, or in how long it comes."""
    at = utc(value)
    return coming(value) if at is not None and at > datetime.now(UTC) else age(value)


def stamp(value: str) -> Markup:
    """Return an ISO time as an element with its moment and its age: a filter, since long lists have one in each row."""
    shown = escape(f"{moment(value)} ({relative(value)})")
    return Markup(f'<time class="utc" datetime="{escape(value)}">{shown}</time>')  # noqa: S704 - both are escaped


def utc(value: str | None) -> datetime | None:
    """Parse a time; None for one of an adopted record that no calendar has."""
    try:
        return datetime.fromisoformat(value or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def with_code(text: str) -> Markup:
    """Return a text of ours with what stands in backticks as code."""
    return Markup(IN_BACKTICKS.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def with_links(context: Json, text: str) -> Markup:
    """Return a person's text with its web addresses as links; of ours, those of public pages alone."""
    own = urlsplit(context["base_url"]).hostname
    shown, done = [], 0
    for found in LINK.finditer(text):
        address = found[0].rstrip(BEHIND_A_LINK if "(" in found[0] else f"{BEHIND_A_LINK})")
        parts = urlsplit(address)
        leads_to = (
            PUBLIC_PAGE.fullmatch(parts.path)
            if parts.hostname == own
            else HOST_NAME.fullmatch(parts.hostname or "")
        )
        if leads_to:
            link = Markup('<a href="{0}" rel="nofollow ugc noopener">{0}</a>').format(address)
            shown += [escape(text[done : found.start()]), link]
            done = found.start() + len(address)
    return Markup("").join([*shown, escape(text[done:])])


NOT_IN_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml(text: str) -> str:
    """Return a text without the characters that no XML document may have, in any form."""
    return NOT_IN_XML.sub("", text)


def iso_duration(seconds: float) -> str:
    return f"PT{int(seconds)}S"


def combined(known: Json, *more: Json) -> dict[str, Any]:
    return dict(chain(known.items(), *(each.items() for each in more)))


def recording(title: str) -> Json:
    return {"@type": "MusicRecording", "name": title}


def initial(title: str) -> str:
    """Return what stands on a blank cover: the first letter, since file names begin with numbers."""
    return next(filter(str.isalpha, title), title[:1])


def sentence(phrase: str) -> str:
    """Return a phrase as a sentence: a capital, and a full stop."""
    return f"{phrase[:1].upper()}{phrase[1:]}."


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    each.__name__: each
    for each in (
        *(moment, day, playing_time, pause, coming, relative, stamp, counted),
        *(
            host,
            with_code,
            with_links,
            initial,
            sentence,
            xml,
            iso_duration,
            combined,
            recording,
            track_address,
            tag_address,
            list_address,
        ),
    )
}
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    each.__name__: each
    for each in (
        *(artist_address, cover_address, frame, picture_address, record_address, repo_address),
        *(for_listeners, may_copy),
    )
}

LIMITS: Final = {"TEXT_BYTES": TEXT_BYTES, "MOST_ITEMS": MOST_ITEMS, "ITEM_CHARACTERS": ITEM_CHARACTERS}
"""Of the fields of forms."""


@dataclass(frozen=True)
class Viewer:
    account: Principal | None
    others: tuple[Principal, ...] = ()


async def viewer_of(request: Request, services: ServicesDep, caller: OptionalCaller) -> Viewer:
    """Return the caller, who is counted against the rate limit once for all that the page asks the API."""
    if caller is None or len(cookie_tokens(request)) < 2:  # noqa: PLR2004 - one account has no others
        return Viewer(caller)
    here = await run_in_threadpool(browser_sessions, request, services)
    return Viewer(caller, tuple(who for _, who in here if who.did != caller.did))


async def viewer_in_cookie(request: Request, services: Services) -> Viewer:
    """Return who is signed in, for the page of an error, which must not fail itself; of a request that was not counted, a visitor."""
    taken = taken_of(request.scope)
    is_counted = services.rate_limits is None or (taken is not None and taken.retry_after is None)
    tokens = cookie_tokens(request) if is_counted else []
    try:
        here = await run_in_threadpool(browser_sessions, request, services) if tokens else []
    except Exception:  # noqa: BLE001 - the error that the page is about may be the cause
        here = []
    if not here or here[0][0] != tokens[0]:
        return Viewer(None)
    (_, account), *others = here
    return Viewer(account, tuple(who for _, who in others))


ViewerDep = Annotated[Viewer, Depends(viewer_of)]


CSP: Final = (
    "default-src 'none'; script-src {scripts}; style-src {scripts}; font-src {scripts}; img-src 'self'; media-src {media}; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Scripts and styles come from the path of our own files alone: none runs that a record, an upload or an answer contains."""


@cache
def templates() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context  # noqa: PLC0415 - takes long to load

    environment = Environment(loader=PackageLoader("web"), autoescape=True, undefined=StrictUndefined)
    pass_context(with_links)
    pass_context(picture_address)
    environment.filters |= FILTERS
    known: dict[str, Any] = FUNCTIONS | LIMITS | {"states": states, "WORDS": WORDS}
    known["static"] = static_files().address
    known["form_key"] = lambda: uuid4().hex  # an Idempotency-Key: a form that is sent twice acts once
    environment.globals |= known
    return environment


def page_headers(services: Services) -> dict[str, str]:
    """Return the headers of a page: where it may load from, and that it depends on Accept and the cookie."""
    scripts = services.base_url + static_files().path
    copies = services.urls.public_url
    media = "'self'" if copies is None else f"'self' {origin(copies)}"
    return {
        "Content-Security-Policy": CSP.format(scripts=scripts, media=media),
        "Referrer-Policy": "same-origin",  # without one, browsers send a form's Origin as null, which is never accepted
        "Vary": "Accept, Cookie",
    }


def rendered(template: str, services: Services, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
    """Return a page without a viewer, as errors have it."""
    known = {
        "viewer": Viewer(None),
        "path": "/",
        "base_url": services.base_url,
        "grace_days": services.sweep_grace.days,
    }
    content = templates().get_template(template).render(known | values)
    return HTMLResponse(content, status, page_headers(services))


def address_of(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


@dataclass(frozen=True)
class Render:
    request: Request
    viewer: ViewerDep

    def __call__(self, template: str, status: int = HTTPStatus.OK, **values: Any) -> HTMLResponse:
        asked = self.request
        return rendered(
            template,
            asked.app.state.services,
            status,
            viewer=self.viewer,
            path=asked.url.path,
            page_address=address_of(asked),
            is_first_page="cursor" not in asked.query_params,
            **values,
        )


RenderDep = Annotated[Render, Depends()]
