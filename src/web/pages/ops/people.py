"""Finds tracks and accounts, shows one of each as their owner sees them, and the audit."""

import asyncio
import re
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from api.auth.authentication import operator
from api.routers.audit import TYPES
from web.api_client import ApiDep, RefusedError
from web.page_route import PageRoute
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

TRACK_ID: Final = re.compile(r"#?([0-9]{1,18})")
RECORD: Final = re.compile(r"at://(did:[a-z]+:[^/]+)/[^/]+/([^/]+)")
LATEST: Final = 20


@router.get("/ops/find")
async def find(api: ApiDep, render: RenderDep, q: str = "") -> Response:
    """Find a track by its number or title, a record by its URI, an account by handle or DID."""
    q = q.strip()
    if (number := TRACK_ID.fullmatch(q)) is not None:
        return RedirectResponse(f"/ops/tracks/{number[1]}", HTTPStatus.SEE_OTHER)
    if (record := RECORD.fullmatch(q)) is not None:
        tracks = (await api.read("/tracks", artist=record[1], limit=100))["items"]
        for track in tracks:
            if track["atproto_record_uri"] == q:
                return RedirectResponse(f"/ops/tracks/{track['id']}", HTTPStatus.SEE_OTHER)
        return RedirectResponse(f"/ops/accounts/{record[1]}", HTTPStatus.SEE_OTHER)
    if q.startswith("did:"):
        return RedirectResponse(f"/ops/accounts/{q}", HTTPStatus.SEE_OTHER)
    by_handle = (await api.read("/tracks", artist=q.removeprefix("@")))["items"] if "." in q else []
    by_title = (await api.read("/tracks", q=q))["items"] if q else []
    seen = {track["id"]: track for track in (*by_handle, *by_title)}
    return render("ops/found.html", q=q, tracks=list(seen.values()))


@router.get("/ops/tracks/{track_id}")
async def show_track(track_id: int, api: ApiDep, render: RenderDep) -> Response:
    """A track: what the log wants, what the PDS confirmed, its attempts and its history."""
    track = await api.ask(f"/tracks/{track_id}")
    mirror, history = await asyncio.gather(
        api.read(f"/tracks/{track_id}/mirror"), api.read(f"/tracks/{track_id}/history", limit=LATEST)
    )
    return render(
        "ops/track.html",
        track_id=track_id,
        track=track.body if track.is_success else None,
        mirror=mirror,
        history=history["items"],
    )


@router.get("/ops/accounts/{did}")
async def show_account(did: str, api: ApiDep, render: RenderDep) -> Response:
    """An account: its tracks, its records that fail, its sessions and tokens, and what happened to it."""
    tracks, failing, audit, tokens = await asyncio.gather(
        api.read("/tracks", artist=did, limit=LATEST),
        api.read("/ops/failures", did=did, limit=LATEST),
        api.read("/audit", did=did, limit=LATEST),
        api.ask(f"/ops/accounts/{did}/tokens"),
    )
    if not tokens.is_success and tokens.status != HTTPStatus.NOT_FOUND:
        raise RefusedError(tokens)
    return render(
        "ops/account.html",
        did=did,
        tracks=tracks["items"],
        records=failing["items"],
        audit=audit["items"],
        tokens=tokens.body["items"] if tokens.is_success else [],
    )


@router.get("/ops/audit")
async def show_audit(
    *,
    api: ApiDep,
    render: RenderDep,
    did: str = "",
    actor: str = "",
    type: str = "",  # noqa: A002 - the API's name
    since: str = "",
    cursor: str | None = None,
) -> Response:
    """Who did what, newest first, in all accounts or one; `since` is in UTC."""
    form = {"did": did, "actor": actor, "type": type, "since": since}
    in_utc = {**form, "since": f"{since.removesuffix('Z')}Z" if since else ""}
    wanted = {name: value for name, value in in_utc.items() if value}
    found = await api.read("/audit", **wanted, cursor=cursor)
    return render(
        "ops/audit.html",
        audit=found["items"],
        cursor=found["cursor"],
        form=form,
        wanted=wanted,
        types=TYPES,
    )
