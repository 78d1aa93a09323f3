"""Finds what accounts have made, and accounts, shows one of these, and the audit."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from fastapi import Response

from api.app import KINDS
from api.middleware.request_threads import in_thread
from api.readers.records import shown_at
from api.requests.parameters import MAX_PAGE_LENGTH, TrackId, number_of
from api.routers.lists.reads import read_album
from api.routers.ops.accounts import read_tokens_of
from api.routers.ops.deliveries import FailuresQuery, read_failures
from api.routers.reactions.comments import list_comments
from api.routers.reactions.likes import list_likes
from api.routers.records.audit import TYPES, AuditQuery, audit_entries
from api.routers.tracks.tracks import Listing, list_tracks, live_track, read_artist
from api.services import Services
from web.ask import Json, OperatorAsk, wanted
from web.page import Cursor, screens, to
from web.pages.ops.words import (
    DID,
    AskedDep,
    NamedAccount,
    RecordWords,
    ShowDep,
    did_of,
    record_words,
    rows_in_words,
)
from web.rendering import RenderDep

router = screens()

AT: Final = "at://"
LATEST: Final = 20


@router.get("/ops/find")
async def find(ask: OperatorAsk, render: RenderDep, q: str = "") -> Response:
    """Find anything by the address of its page or the URI of its record; a track by its number or title, an account by handle or DID."""
    q = q.strip()
    if q.startswith(f"{ask.services.base_url}/"):
        path = q.removeprefix(ask.services.base_url).partition("?")[0].partition("#")[0]
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if (address := await _address_of_list(ask, parts)) is not None:
            return to(address)
        q = parts[-1]
    if (number := number_of(q.removeprefix("#"))) is not None:
        return to(f"/ops/tracks/{number}")
    name, _, record = q.removeprefix(AT).partition("/") if q.startswith(AT) else (q, "", "")
    did = await did_of(ask, name)
    if record:
        address = await in_thread(_address_of, ask.services, f"{AT}{did}/{record}")
        if address is not None:
            return to(address)
    elif did.startswith(DID):
        return to(f"/ops/accounts/{quote(did, safe=':')}")
    tracks = (await ask(list_tracks, Listing(q=q)))["items"] if q else []
    account = did if did.startswith(DID) else None
    return render("ops/found.html", q=q, tracks=_marked(tracks), account=account)


@router.get("/ops/tracks/{track_id}/comments")
async def show_comments(track_id: TrackId, ask: OperatorAsk, show: ShowDep, asked: Cursor) -> Response:
    """The comments on a track, those that are hidden or taken down too."""
    page = await ask(list_comments, track_id, asked)
    track = await ask(live_track, track_id)
    return await show("ops/comments.html", track=track, comments=page["items"], cursor=page["cursor"])


@router.get("/ops/tracks/{track_id}/likes")
async def show_likes(track_id: TrackId, ask: OperatorAsk, show: ShowDep, asked: Cursor) -> Response:
    """The likes of a track, those that are taken down too."""
    page = await ask(list_likes, track_id, asked)
    track = await ask(live_track, track_id)
    return await show("ops/likes.html", track=track, likes=page["items"], cursor=page["cursor"])


@router.get("/ops/accounts/{did}")
async def show_account(did: NamedAccount, ask: OperatorAsk, show: ShowDep) -> Response:
    tracks, undelivered, audit, tokens = await asyncio.gather(
        ask(list_tracks, Listing(artist=did, limit=LATEST)),
        # as many as the API returns at once, to tell which audio was refused
        ask(read_failures, FailuresQuery(undelivered=True, did=did, limit=MAX_PAGE_LENGTH)),
        ask(audit_entries, AuditQuery(did=did, limit=LATEST)),
        ask.find(read_tokens_of, did),
    )
    records = rows_in_words(undelivered["items"])
    return await show(
        "ops/account.html",
        did=did,
        tracks=_marked(tracks["items"], {record["track_id"]: record["words"] for record in records}),
        records=records[:LATEST],
        has_more=len(records) > LATEST,
        audit=audit["items"],
        is_here=tokens is not None,
        tokens=tokens["items"] if tokens else [],
    )


@router.get("/ops/audit")
async def show_audit(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    """Who did what, newest first, in all accounts or one; `since` is in UTC."""
    form = {name: asked.typed[name] for name in ("did", "actor", "type", "since")}
    since = f"{asked['since'].removesuffix('Z')}Z" if asked["since"] else ""
    in_utc = {**{name: asked[name] for name in form}, "since": since}
    found = await ask(audit_entries, wanted(AuditQuery, **in_utc, cursor=asked["cursor"]))
    return await show(
        "ops/audit.html",
        audit=found["items"],
        cursor=found["cursor"],
        form=form,
        wanted={name: value for name, value in in_utc.items() if value},
        types=TYPES,
    )


async def _address_of_list(ask: OperatorAsk, parts: Sequence[str]) -> str | None:
    """Return the screen of the album or playlist whose page has this path."""
    match parts:
        case [_, "playlists", number] if number_of(number) is not None:
            return f"/ops/playlists/{number}"
        case [artist, "albums", slug] if (found := await ask.find(read_artist, artist[1:])) is not None:
            album = await ask.find(read_album, found["did"], slug)
            return f"/ops/albums/{album['id']}" if album is not None else None
    return None


def _address_of(services: Services, uri: str) -> str | None:
    """Return the screen of what has this record, or had it."""
    with services.database.read() as connection:
        found = shown_at(services, connection, KINDS, uri)
    return f"/ops{found[0].route(found[1].subject_id)}" if found is not None else None


def _marked(tracks: Iterable[Json], known: Mapping[int, RecordWords] | None = None) -> list[dict[str, Any]]:
    """Add to each track the words of its mark: those that are known, which tell of its audio too, or those of its mirror."""
    return [
        {**track, "words": (known or {}).get(track["id"]) or record_words(track["mirror"])}
        for track in tracks
    ]
