"""What programs that follow shared links ask for: previews to embed, feeds of artists and albums, the sitemap, icons.

They show what a visitor sees who is not signed in: nothing unlisted, private or taken down, and no audio for supporters alone.
"""

import io
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from api.auth.authentication import ServicesDep, counted
from api.middleware.http_layer import FRAMED
from api.middleware.request_threads import in_thread
from api.readers.feeds import addresses, listed_of, newest_of_artist
from api.requests.parameters import MAX_ID, DeferredRoute, Id, TrackId, number_of
from api.responses.list import ALBUMS
from api.routers.lists.lists import read_list
from api.routers.lists.reads import read_album
from api.routers.tracks.tracks import live_track, read_artist
from api.services import Services
from identity.accounts.credentials import Principal
from web.ask import Ask
from web.rendering import (
    PUBLIC_PAGE,
    artist_address,
    cover_address,
    frame,
    list_address,
    rendered,
    track_address,
    utc,
)
from web.static_files import static_files

router = APIRouter(route_class=DeferredRoute, include_in_schema=False, dependencies=[Depends(counted)])
BOTH: Final = ["GET", "HEAD"]

KEPT_SECONDS: Final = 300
FRAME_WIDTH_PX: Final = 480
FRAME_HEIGHT_PX: Final = 152
ALBUM_FRAME_HEIGHT_PX: Final = 400
COVER_PX: Final = 480
Bound = Annotated[int, Query(ge=0, le=MAX_ID)]
XML: Final = "text/xml"
MAX_ADDRESS_LENGTH: Final = 300
"""In letters: a longer one makes a QR code that no camera reads."""


async def ask_as_stranger(services: ServicesDep) -> Ask[Principal | None]:
    return Ask(None, services)


StrangersAsk = Annotated[Ask[Principal | None], Depends(ask_as_stranger)]


def _file(content: str | bytes, mime: str) -> Response:
    headers = {
        "Cache-Control": f"public, max-age={KEPT_SECONDS}",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    return Response(content, headers=headers, media_type=mime)


async def _xml(template: str, services: Services, mime: str, **values: Any) -> Response:
    page = await in_thread(rendered, template, services, **values)
    return _file(bytes(page.body), mime)


@router.api_route("/robots.txt", methods=BOTH)
async def robots(services: ServicesDep) -> Response:
    hidden = "".join(f"Disallow: {path}\n" for path in ("/studio", "/ops", "/auth", "/plyr"))
    return PlainTextResponse(f"User-agent: *\n{hidden}Sitemap: {services.base_url}/sitemap.xml\n")


@router.api_route("/sitemap.xml", methods=BOTH)
async def sitemap(ask: StrangersAsk, first: Bound = 0, below: Bound = 0) -> Response:
    """All public pages of artists and tracks, or an index of sitemaps that have them: each is of the ids between two."""
    found = await ask(addresses, (first, below) if below else None)
    tracks = found["items"]
    artists = dict.fromkeys(artist_address(each["artist_handle"], each["artist_did"]) for each in tracks)
    return await _xml("sitemap.xml", ask.services, XML, parts=found["parts"], artists=artists, tracks=tracks)


@router.api_route("/favicon.ico", methods=BOTH)
@router.api_route("/apple-touch-icon.png", methods=BOTH)
async def icon(request: Request) -> Response:
    file = static_files().files[request.url.path[1:]]
    return _file(file.content, file.mime or "")


@router.api_route("/@{artist}/feed.xml", methods=BOTH)
async def feed_of_artist(artist: str, ask: StrangersAsk, cursor: str | None = None) -> Response:
    """The artist's tracks, newest first, as podcast programs read them."""
    found = await ask(read_artist, artist)
    page = await ask(newest_of_artist, found["did"], cursor)
    shown = {
        "title": found["display_name"],
        "about": found["bio"] or f"Tracks by {found['display_name']}.",
        "address": artist_address(found["handle"], found["did"]),
        "cover": None,
        "is_album": False,
    }
    return await _feed(ask.services, found, page, cursor, **shown)


@router.api_route("/@{artist}/albums/{slug}/feed.xml", methods=BOTH)
async def feed_of_album(artist: str, slug: str, ask: StrangersAsk, cursor: str | None = None) -> Response:
    """The tracks of an album, in its order."""
    found = await ask(read_artist, artist)
    album = await ask(read_album, found["did"], slug)
    order = _order(album)
    page = await ask(listed_of, album["owner_did"], order, cursor)
    for item in page["items"]:
        item["episode"] = order.index(item["id"]) + 1
    shown = {
        "title": album["title"],
        "about": album["description"] or f"{album['title']} by {found['display_name']}.",
        "address": list_address(album),
        "cover": cover_address(album, COVER_PX),
        "is_album": True,
    }
    return await _feed(ask.services, found, page, cursor, **shown)


def _order(album: dict[str, Any]) -> list[int]:
    return [entry["track_id"] for entry in album["tracks"] if entry["track_id"]]


async def _feed(
    services: Services, artist: dict[str, Any], page: dict[str, Any], cursor: str | None, **shown: object
) -> Response:
    """Return a page of a feed, with links to the first and the next one (RFC 5005)."""
    items = page["items"]
    for item in items:
        item["published"] = format_datetime(
            utc(item["created_at"]) or datetime.fromisoformat(item["updated_at"])
        )
        item["address"] = f"{artist_address(artist['handle'], artist['did'])}/{item['id']}"
    links = {"self": cursor, **({"first": None} if cursor else {})}
    links |= {"next": page["cursor"]} if page["cursor"] else {}
    mime = "application/rss+xml"
    return await _xml("feed.xml", services, mime, artist=artist, items=items, links=links, **shown)


class Preview(BaseModel):
    """A request of oEmbed (oembed.com)."""

    url: str
    format: str = "json"
    maxwidth: int = Field(FRAME_WIDTH_PX, ge=1)
    maxheight: int = Field(ALBUM_FRAME_HEIGHT_PX, ge=1)


@router.api_route("/oembed", methods=BOTH)
async def preview(wanted: Annotated[Preview, Query()], ask: StrangersAsk) -> Response:
    """Return how to embed a track or an album that is listed; another format than JSON is 501, as oEmbed says."""
    if wanted.format != "json":
        raise HTTPException(HTTPStatus.NOT_IMPLEMENTED)
    base_url = ask.services.base_url
    begins, path = f"{base_url}/@", wanted.url.partition("?")[0].partition("#")[0]
    if not path.startswith(begins):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    parts = [unquote(part) for part in path.removeprefix(begins).split("/")]
    match parts:
        case [_, number]:
            made = await ask(live_track, number_of(number) or 0)
            if made["unlisted"]:
                raise HTTPException(HTTPStatus.NOT_FOUND)
            found = {
                "handle": made["artist_handle"],
                "did": made["artist_did"],
                "display_name": made["artist"],
            }
            embed, height = f"/embed/tracks/{made['id']}", FRAME_HEIGHT_PX
        case [artist, "albums", slug]:
            found = await ask(read_artist, artist)
            made = await ask(read_album, found["did"], slug)
            embed, height = f"/embed/albums/{made['id']}", ALBUM_FRAME_HEIGHT_PX
        case _:
            raise HTTPException(HTTPStatus.NOT_FOUND)
    width, height = min(FRAME_WIDTH_PX, wanted.maxwidth), min(height, wanted.maxheight)
    cover = cover_address(made, COVER_PX)
    size = {"thumbnail_width": COVER_PX, "thumbnail_height": COVER_PX}
    thumbnail = {"thumbnail_url": f"{base_url}{cover}", **size}
    return JSONResponse(
        {
            "version": "1.0",
            "type": "rich",
            "title": made["title"],
            "author_name": found["display_name"],
            "author_url": base_url + artist_address(found["handle"], found["did"]),
            "provider_name": "mastertape",
            "provider_url": base_url,
            "html": frame(base_url + embed, made["title"], width, height),
            "width": width,
            "height": height,
            **(thumbnail if cover else {}),
        }
    )


@router.api_route("/embed/tracks/{track_id}", methods=BOTH)
async def embed_track(track_id: TrackId, ask: StrangersAsk) -> Response:
    """A track to play in a frame of any page."""
    track = await ask(live_track, track_id)
    shown = {"title": track["title"], "by": track["artist"], "address": track_address(track)}
    playable = {**track, "audio_url": None if track["support_gate"] else track["audio_url"]}
    return _framed(ask.services, made=track, tracks=[playable], **shown)


@router.api_route("/embed/albums/{album_id}", methods=BOTH)
async def embed_album(album_id: Id, ask: StrangersAsk) -> Response:
    album = await ask(read_list, ALBUMS, album_id)
    artist = await ask(read_artist, album["owner_did"])
    tracks = (await ask(listed_of, album["owner_did"], _order(album)))["items"]
    shown = {"title": album["title"], "by": artist["display_name"], "address": list_address(album)}
    return _framed(ask.services, made=album, tracks=tracks, **shown)


def _framed(services: Services, **values: Any) -> Response:
    page = rendered("embed.html", services, **values)
    policy = page.headers["content-security-policy"].replace("frame-ancestors 'none'", FRAMED.decode())
    page.headers.update({"Content-Security-Policy": policy, "Cross-Origin-Resource-Policy": "cross-origin"})
    return page


@router.api_route("/qr.svg", methods=BOTH)
async def qr_code(
    of: Annotated[str, Query(max_length=MAX_ADDRESS_LENGTH)], services: ServicesDep
) -> Response:
    """The address of a public page of ours, to be read by a camera."""
    if not PUBLIC_PAGE.fullmatch(of):
        raise HTTPException(HTTPStatus.NOT_FOUND)

    def drawn() -> bytes:
        import segno  # noqa: PLC0415 - takes long to load

        code, file = segno.make(services.base_url + of, micro=False), io.BytesIO()
        code.save(file, kind="svg", scale=4, border=4, dark="#000", light="#fff")
        return file.getvalue()

    return _file(await in_thread(drawn), "image/svg+xml")
