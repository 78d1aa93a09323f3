"""The pages that are shared as links: the front page, artists, tags, tracks, albums and playlists."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Depends, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from api.error_responses import reply_for
from api.middleware.request_threads import in_thread
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
from identity.errors import INVALID_HANDLE
from web.ask import ApiDep, FormDep, Json, or_at, wanted
from web.page import Cursor, Public, PublicPage, pages, to
from web.rendering import artist_address, list_address, track_address

router = pages()

NEWEST: Final = 12
LIKES: Final = "/studio/likes"
TRACKS: Final = 48
NEWEST_COMMENTS: Final = PageQuery()
COVERED_HOSTS: Final = 6
"""The page names all but the last."""
REFUSALS: Final = {
    HTTPStatus.UNAUTHORIZED: HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.PAYMENT_REQUIRED: HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.SERVICE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of the page of a gated track, by what the API answers to the one who wants to hear it."""


@router.get("/", dependencies=[or_at("/tracks")])
async def show_home(page: Public) -> Response:
    newest = await page.ask(list_tracks, Listing(limit=NEWEST))
    return page.render("home.html", tracks=newest["items"])


@router.get("/@{artist}", dependencies=[or_at("/artists/{artist}")])
async def show_artist(page: Public, artist: str, cursor: str | None = None) -> Response:
    ask = page.ask
    found = await ask(read_artist, artist)
    address = artist_address(found["handle"], found["did"])
    if address != artist_address(artist, artist):
        query = f"?{urlencode({'cursor': cursor})}" if cursor else ""
        return RedirectResponse(address + query, HTTPStatus.FOUND)
    tracks = await ask(list_tracks, wanted(Listing, artist=found["did"], cursor=cursor, limit=TRACKS))
    albums: list[Json] = []
    playlists: list[Json] = []
    if cursor is None:
        of_lists = PageQuery(limit=TRACKS)
        albums = (await ask(albums_of_artist, found["did"], of_lists))["items"]
        playlists = (await ask(playlists_of_artist, found["did"], of_lists))["items"]
    return page.render(
        "artist.html",
        albums=albums,
        playlists=playlists,
        artist=found,
        address=address,
        has_handle=found["handle"] != INVALID_HANDLE,
        is_own=ask.is_by(found["did"]),
        tracks=tracks["items"],
        cursor=tracks["cursor"],
    )


@router.get("/search", dependencies=[or_at()])
async def search(page: Public, q: str = "", cursor: str | None = None) -> Response:
    """Tracks, artists, albums, playlists and tags whose words these are."""
    q = q.strip()
    found: Json = {"items": [], "cursor": None}
    beside: Json = {"artists": [], "albums": [], "playlists": [], "tags": []}
    if q:
        found = await page.ask(list_tracks, wanted(Listing, q=q, cursor=cursor, limit=TRACKS))
        beside = await page.ask(found_beside_tracks, q) if cursor is None else beside
    return page.render("search.html", q=q, tracks=found["items"], cursor=found["cursor"], beside=beside)


@router.get("/tags", dependencies=[or_at()])
async def show_tags(page: Public) -> Response:
    return page.render("tags.html", tags=(await page.ask(used_tags))["items"])


@router.get("/tags/{tag:path}", dependencies=[or_at("/tracks?tag={tag}")])
async def show_tag(page: Public, tag: str, cursor: str | None = None) -> Response:
    found = await page.ask(list_tracks, wanted(Listing, tag=tag, cursor=cursor, limit=TRACKS))
    return page.render("tag.html", tag=tag, tracks=found["items"], cursor=found["cursor"])


@dataclass(frozen=True)
class TrackPage(PublicPage):
    """Shows the page of a track, as it is or with a comment that was refused."""

    media: ForMedia

    async def show(
        self, track: Json, asked: PageQuery = NEWEST_COMMENTS, status: int | None = None, **told: Any
    ) -> Response:
        """Show it with the comments that end before the cursor; `told` of a refused one are `said`, its fields, and the `problem`."""
        ask = self.ask
        named = dict.fromkeys([track["artist_did"], *(feature["did"] for feature in track["features"])])
        here = {each["did"]: each for each in (await ask(list_artists, Wanted(did=list(named))))["items"]}
        comments = await ask(list_comments, track["id"], asked)
        audible, refusal = await _refusal(self.media, track)
        is_own, is_there = ask.is_by(track["artist_did"]), track["taken_down_at"] is None
        plays = refusal is None and is_there
        download = "open" if is_own else track["downloads"]
        album = (track["artist_did"], track["album"])
        return self.render(
            "track.html",
            status or audible,
            track=track,
            artist=here.get(track["artist_did"]),
            here=here,
            plays=plays,
            refusal=refusal,
            download=download if plays else "off",
            is_own=is_own,
            covered=await in_thread(covered_hosts, ask.services, COVERED_HOSTS),
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
    page: TrackPageDep, artist: str, track_id: str, asked: Cursor, hidden: str = ""
) -> Response:
    """A track, with its player where the viewer may hear it; another artist in the address leads to the right one."""
    number = number_of(track_id)
    if number is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    track = await page.ask(live_track, number)
    address = track_address(track)
    if address != f"{artist_address(artist, artist)}/{track_id}":
        return RedirectResponse(address, HTTPStatus.FOUND)
    return await page.show(track, asked, hidden=number_of(hidden))


@router.post("/@{artist}/{track_id}/like")
async def like(artist: str, track_id: int, form: FormDep, api: ApiDep) -> Response:
    """Like the track, or take the like back."""
    method = "DELETE" if form.get("liked") else "PUT"
    await api.send(method, f"/tracks/{track_id}/like", key=form.get("key"))
    here = f"{artist_address(artist, artist)}/{track_id}"
    return to(LIKES if form.get("return_to") == LIKES else here)


@router.get("/@{artist}/albums/{slug}", dependencies=[or_at("/artists/{artist}/albums")])
async def show_album(page: Public, artist: str, slug: str) -> Response:
    found = await page.ask(read_artist, artist)
    return await _show_list(page, artist, await page.ask(read_album, found["did"], slug))


@router.get("/@{artist}/playlists/{list_id}", dependencies=[or_at("/playlists/{list_id}")])
async def show_playlist(page: Public, artist: str, list_id: str) -> Response:
    """A playlist; a private one is for its owner alone."""
    number = number_of(list_id)
    if number is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return await _show_list(page, artist, await page.ask(read_list, PLAYLISTS, number))


async def _show_list(page: PublicPage, artist: str, made: Json) -> Response:
    """Show an album or a playlist; another artist in the address leads to the right one."""
    address, asked = list_address(made), artist_address(artist, artist)
    if not address.startswith(f"{asked}/"):
        return RedirectResponse(address, HTTPStatus.FOUND)
    is_album = "title" in made
    return page.render(
        "list.html",
        made=made,
        title=made["title"] if is_album else made["name"],
        word=(ALBUMS if is_album else PLAYLISTS).word,
        artist=await page.ask.find(read_artist, made["owner_did"]),
        is_own=page.ask.is_by(made["owner_did"]),
    )


async def _refusal(media: MediaRequest, track: Json) -> tuple[int, str | None]:
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
