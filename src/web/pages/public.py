"""The pages that are shared as links: the front page, artists, tags, tracks, albums and playlists."""

from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.error_responses import reply_for
from api.pipeline.media_request import ForMedia, MediaRequest
from api.readers.reactions import covered_hosts, offers
from api.readers.search import found_beside_tracks, used_tags
from api.requests.parameters import PageQuery, number_of
from api.responses import reaction
from api.responses.list import ALBUMS, PLAYLISTS
from api.routers.lists.lists import read_list
from api.routers.lists.reads import album_titled, albums_of_artist, playlists_of_artist, read_album
from api.routers.reactions.comments import list_comments
from api.routers.tracks.tracks import Listing, Wanted, list_artists, list_tracks, live_track, read_artist
from identity.accounts.credentials import Principal
from identity.errors import INVALID_HANDLE
from web.ask import ApiDep, Ask, FormDep, PageRoute, PublicAsk, or_at, wanted
from web.rendering import RenderDep, artist_address, list_address, track_address

router = APIRouter(route_class=PageRoute, include_in_schema=False)

NEWEST: Final = 12
LIKES: Final = "/studio/likes"
TRACKS: Final = 48
COMMENTS: Final = 50
COVERED_HOSTS: Final = 6
"""The page names all but the last."""
REFUSALS: Final = {
    HTTPStatus.UNAUTHORIZED: HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.PAYMENT_REQUIRED: HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.SERVICE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of the page of a gated track, by what the API answers to the one who wants to hear it."""


@router.get("/", dependencies=[or_at("/tracks")])
async def show_home(ask: PublicAsk, render: RenderDep) -> Response:
    newest = await ask(list_tracks, Listing(limit=NEWEST))
    return render("home.html", tracks=newest["items"])


@router.get("/@{artist}", dependencies=[or_at("/artists/{artist}")])
async def show_artist(artist: str, ask: PublicAsk, render: RenderDep, cursor: str | None = None) -> Response:
    found = await ask(read_artist, artist)
    address = artist_address(found["handle"], found["did"])
    if address != artist_address(artist, artist):
        query = f"?{urlencode({'cursor': cursor})}" if cursor else ""
        return RedirectResponse(address + query, HTTPStatus.FOUND)
    page = await ask(list_tracks, wanted(Listing, artist=found["did"], cursor=cursor, limit=TRACKS))
    is_first, of_lists = cursor is None, PageQuery(limit=TRACKS)
    albums = await ask(albums_of_artist, found["did"], of_lists) if is_first else {"items": []}
    playlists = await ask(playlists_of_artist, found["did"], of_lists) if is_first else {"items": []}
    return render(
        "artist.html",
        albums=albums["items"],
        playlists=playlists["items"],
        artist=found,
        address=address,
        has_handle=found["handle"] != INVALID_HANDLE,
        is_own=_is(ask.caller, found["did"]),
        tracks=page["items"],
        cursor=page["cursor"],
        is_first_page=is_first,
    )


@router.get("/search", dependencies=[or_at()])
async def search(ask: PublicAsk, render: RenderDep, q: str = "", cursor: str | None = None) -> Response:
    """Tracks, artists, albums, playlists and tags whose words these are."""
    q = q.strip()
    page: dict[str, Any] = {"items": [], "cursor": None}
    beside: dict[str, Any] = {"artists": [], "albums": [], "playlists": [], "tags": []}
    if q:
        page = await ask(list_tracks, wanted(Listing, q=q, cursor=cursor, limit=TRACKS))
        beside = await ask(found_beside_tracks, q) if cursor is None else beside
    return render("search.html", q=q, tracks=page["items"], cursor=page["cursor"], beside=beside)


@router.get("/tags", dependencies=[or_at()])
async def show_tags(ask: PublicAsk, render: RenderDep) -> Response:
    return render("tags.html", tags=(await ask(used_tags))["items"])


@router.get("/tags/{tag:path}", dependencies=[or_at("/tracks?tag={tag}")])
async def show_tag(tag: str, ask: PublicAsk, render: RenderDep, cursor: str | None = None) -> Response:
    page = await ask(list_tracks, wanted(Listing, tag=tag, cursor=cursor, limit=TRACKS))
    return render(
        "tag.html", tag=tag, tracks=page["items"], cursor=page["cursor"], is_first_page=cursor is None
    )


class TrackPage:
    """Shows the page of a track, as it is or with a comment that was refused."""

    def __init__(self, ask: PublicAsk, media: ForMedia, render: RenderDep) -> None:
        self.ask: Final = ask
        self._media: Final = media
        self._render: Final = render

    async def show(
        self, track: dict[str, Any], cursor: str | None = None, status: int | None = None, **told: Any
    ) -> Response:
        """Show it with the comments that end before the cursor; `told` of a refused one are `said`, its fields, and the `problem`."""
        ask = self.ask
        named = dict.fromkeys([track["artist_did"], *(feature["did"] for feature in track["features"])])
        here = {each["did"]: each for each in (await ask(list_artists, Wanted(did=list(named))))["items"]}
        comments = await ask(list_comments, track["id"], wanted(PageQuery, cursor=cursor, limit=COMMENTS))
        audible, refusal = await _refusal(self._media, track)
        is_own, is_there = _is(ask.caller, track["artist_did"]), track["taken_down_at"] is None
        plays = refusal is None and is_there
        download = "open" if is_own else track["downloads"]
        album = (track["artist_did"], track["album"])
        return self._render(
            "track.html",
            status or audible,
            track=track,
            artist=here.get(track["artist_did"]),
            here=here,
            plays=plays,
            refusal=refusal,
            download=download if plays else "off",
            is_own=is_own,
            covered=await run_in_threadpool(covered_hosts, ask.services, COVERED_HOSTS),
            may_like=is_there and offers(ask.services, reaction.LIKES),
            may_comment=is_there and track["comments"] and offers(ask.services, reaction.COMMENTS),
            comments=comments["items"],
            cursor=comments["cursor"],
            album=await ask.find(album_titled, *album) if track["album"] else None,
            **{"said": {}, "problem": None, "hidden": None, **told},
        )


TrackPageDep = Annotated[TrackPage, Depends()]


@router.get("/@{artist}/{track_id}", dependencies=[or_at("/tracks/{track_id}")])
async def show_track(
    artist: str, track_id: str, page: TrackPageDep, cursor: str | None = None, hidden: str = ""
) -> Response:
    """A track, with its player where the viewer may hear it; another artist in the address leads to the right one."""
    number = number_of(track_id)
    if number is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    track = await page.ask(live_track, number)
    address = track_address(track)
    if address != f"{artist_address(artist, artist)}/{track_id}":
        return RedirectResponse(address, HTTPStatus.FOUND)
    return await page.show(track, cursor, hidden=number_of(hidden))


@router.post("/@{artist}/{track_id}/like")
async def like(artist: str, track_id: int, form: FormDep, api: ApiDep) -> Response:
    """Like the track, or take the like back."""
    method = "DELETE" if form.get("liked") else "PUT"
    await api.send(method, f"/tracks/{track_id}/like", key=form.get("key"))
    here = f"{artist_address(artist, artist)}/{track_id}"
    return RedirectResponse(LIKES if form.get("return_to") == LIKES else here, HTTPStatus.SEE_OTHER)


@router.get("/@{artist}/albums/{slug}", dependencies=[or_at("/artists/{artist}/albums")])
async def show_album(artist: str, slug: str, ask: PublicAsk, render: RenderDep) -> Response:
    found = await ask(read_artist, artist)
    return await _show_list(artist, await ask(read_album, found["did"], slug), ask, render)


@router.get("/@{artist}/playlists/{list_id}", dependencies=[or_at("/playlists/{list_id}")])
async def show_playlist(artist: str, list_id: str, ask: PublicAsk, render: RenderDep) -> Response:
    """A playlist; a private one is for its owner alone."""
    number = number_of(list_id)
    if number is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return await _show_list(artist, await ask(read_list, PLAYLISTS, number), ask, render)


async def _show_list(
    artist: str, made: dict[str, Any], ask: Ask[Principal | None], render: RenderDep
) -> Response:
    """Show an album or a playlist; another artist in the address leads to the right one."""
    address, asked = list_address(made), artist_address(artist, artist)
    if not address.startswith(f"{asked}/"):
        return RedirectResponse(address, HTTPStatus.FOUND)
    is_album = "title" in made
    return render(
        "list.html",
        made=made,
        title=made["title"] if is_album else made["name"],
        word=(ALBUMS if is_album else PLAYLISTS).word,
        artist=await ask.find(read_artist, made["owner_did"]),
        is_own=_is(ask.caller, made["owner_did"]),
    )


async def _refusal(media: MediaRequest, track: dict[str, Any]) -> tuple[int, str | None]:
    """Return the page's status, and the code of the refusal where the viewer may not hear the track."""
    if track["support_gate"] is not None:
        try:
            await media.audible(track["file_id"], track["file_type"])
        except Exception as error:
            reply = reply_for(error)
            if reply.status in REFUSALS:
                return REFUSALS[HTTPStatus(reply.status)], reply.code
            if reply.status != HTTPStatus.NOT_FOUND:
                raise
    return HTTPStatus.OK, None


def _is(viewer: Principal | None, did: str) -> bool:
    return viewer is not None and viewer.did == did
