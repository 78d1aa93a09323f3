"""How templates show times, lengths and sizes, and the addresses of pages and of what they show on an artist's PDS."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from identity.errors import INVALID_HANDLE
from identity.resolution.address_policy import HOST_NAME

Json = Mapping[str, Any]

WEB: Final = ("http", "https")
RENDITION: Final = "{address}?size={size}"


def artist_address(handle: str, did: str) -> str:
    """Return the address of an artist's page: by handle, by DID while the handle cannot be confirmed."""
    return "/@" + quote(did if handle == INVALID_HANDLE else handle, safe=":")


def track_address(track: Json) -> str:
    return f"{artist_address(track['artist_handle'], track['artist_did'])}/{track['id']}"


def tag_address(tag: str) -> str:
    return "/tags/" + quote(tag, safe="")


def cover_address(track: Json, size_pixels: int) -> str | None:
    """Return the address of a track's cover in a size; None where none is served. Pages show images of our origin alone."""
    if track["deleted_at"] is not None or track["taken_down_at"] is not None:
        return None
    if track["thumbnail_url"] is not None:
        return RENDITION.format(address=urlsplit(track["image_url"]).path, size=size_pixels)
    if track["image_url"] is not None:
        return RENDITION.format(address=f"/tracks/{track['id']}/artwork", size=size_pixels)
    return None


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


def host(url: str) -> str:
    return urlsplit(url).netloc


def _at(pds_url: str, method: str, **query: str) -> str | None:
    return f"{pds_url}/xrpc/{method}?{urlencode(query)}" if urlsplit(pds_url).scheme in WEB else None


UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
LINK: Final = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][^\s<>\"\\]*)?")
"""A host in other letters or behind a user's name is no link: a browser could read it as another one, such as our own."""
BEHIND_A_LINK: Final = ".,;:!?'"
PUBLIC_PAGE: Final = re.compile(r"/?|/@[\w.:-]+(/[0-9]+)?|/tags/[^/]+|/docs(/[\w-]+)?", re.ASCII)
IN_BACKTICKS: Final = re.compile(r"`([^`]+)`")


def moment(value: str | None) -> str:
    """Return an ISO time as `27 Nov 2026, 17:35 UTC`; scripts turn it into the viewer's own time zone."""
    at = _utc(value)
    return f"{at.day} {at:%b %Y, %H:%M} UTC" if at is not None else value or ""


def day(value: str) -> str:
    """Return an ISO time as `27 November 2026`, in UTC."""
    at = _utc(value)
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
    return f"in {_amount(-(-count // length), unit)}"


def age(value: str) -> str:
    """Return how long ago an ISO time was: `5 minutes ago`; `just now` within a minute."""
    if (at := _utc(value)) is None:
        return ""
    seconds = int((datetime.now(UTC) - at).total_seconds())
    past = (f"{_amount(seconds // length, unit)} ago" for length, unit in UNITS if seconds >= length > 1)
    return next(past, "just now")


def _amount(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"


def coming(value: str) -> str:
    """Return when a planned ISO time comes: `in 20 seconds`; `now` once it has passed."""
    at = _utc(value)
    if at is None:
        return ""
    seconds = (at - datetime.now(UTC)).total_seconds()
    return pause(seconds) if seconds > 0 else "now"


def relative(value: str) -> str:
    """Return how long ago an ISO time was, or in how long it comes."""
    at = _utc(value)
    return coming(value) if at is not None and at > datetime.now(UTC) else age(value)


def stamp(value: str) -> Markup:
    """Return an ISO time as an element with its moment and its age: a filter, since long lists have one in each row."""
    shown = escape(f"{moment(value)} ({relative(value)})")
    return Markup(f'<time class="utc" datetime="{escape(value)}">{shown}</time>')  # noqa: S704 - both are escaped


def _utc(value: str | None) -> datetime | None:
    """Parse a time; None for one of an adopted record that no calendar has."""
    try:
        return datetime.fromisoformat(value or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def with_code(text: str) -> Markup:
    """Return a text of ours with what stands in backticks as code."""
    return Markup(IN_BACKTICKS.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


@pass_context
def with_links(context: Context, text: str) -> Markup:
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


def sentence(phrase: str) -> str:
    """Return a phrase as a sentence: a capital, and a full stop."""
    return f"{phrase[:1].upper()}{phrase[1:]}."


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    each.__name__: each
    for each in (
        *(moment, day, playing_time, pause, coming, relative, stamp),
        *(host, with_code, with_links, sentence, track_address, tag_address),
    )
}
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    each.__name__: each for each in (artist_address, cover_address, record_address, repo_address)
}
