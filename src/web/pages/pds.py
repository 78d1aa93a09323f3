"""My PDS: whether records reach it, what can be done about it, which programs may act, and how to leave."""

from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import RedirectResponse

from api.readers.records import names_at
from api.responses.states import AudioCopyState, MirrorState
from api.routers.account.auth import list_tokens
from api.routers.account.exports import read_exports
from api.routers.account.me import read_me
from api.routers.records.mirrors import read_lane
from api.routers.records.records import read_adoption, read_migration
from api.routers.tracks.tracks import MyListing, list_my_tracks
from identity.accounts.credentials import CredentialKind, Principal
from web.ask import Answer, ApiDep, Ask, FormDep, Json, OwnAsk, PageRoute, RefusedError
from web.pages.studio.waiting import KINDS, tasks_of
from web.rendering import Render, RenderDep
from web.state_words import BY_REASON, REST_WORKS, WORKS, Mark, lane_words
from web.whereabouts import NEEDS_CONSENT, count_by_mark, where_is, why_refused

router = APIRouter(route_class=PageRoute, include_in_schema=False)

HERE: Final = "/studio/pds"
MOST_NAMED: Final = 100


ACTIONS: Final[Mapping[str, tuple[str, str, str]]] = {
    "profile": ("PATCH", "/me", "profile"),
    "comments": ("PATCH", "/me", "profile"),
    "picture/remove": ("DELETE", "/me/avatar", "picture-removed"),
    "adopt": ("POST", "/me/adopt", "adopting"),
    "copy-audio": ("POST", "/me/migrate-to-pds", "copying"),
    "export": ("POST", "/me/exports", "exporting"),
    "tokens/end-others": ("DELETE", "/auth/tokens", "others"),
    "disconnect": ("POST", "/me/disconnect", "disconnected"),
}
"""By the end of a form's address: the command, and what the page says afterwards."""
FIELDS: Final = ("display_name", "bio", "support_url", "comments", "retry_failed")


@router.get(HERE)
async def show_pds(ask: OwnAsk, render: RenderDep, said: str = "") -> Response:
    return await _page(ask, render, said=said)


@router.post(f"{HERE}/verify")
async def verify(api: ApiDep, ask: OwnAsk, render: RenderDep) -> Response:
    try:
        answer = await api.send("POST", "/me/verify")
    except RefusedError as refused:
        return await _page(ask, render, refused)
    uris = [each["uri"] for each in answer.body["drifts"]][:MOST_NAMED]
    named = await ask(names_at, [kind.shown for kind in KINDS], uris)
    return render("pds/verified.html", found=answer.body, named=named["names"])


@router.post(f"{HERE}/tokens")
async def make_token(form: FormDep, api: ApiDep, ask: OwnAsk, render: RenderDep) -> Response:
    fields = {name: form[name] for name in ("name", "scope", "expires_in_days") if form.get(name)}
    try:
        issued = await api.send("POST", "/auth/tokens", fields, key=form.get("key"))
    except RefusedError as refused:
        return await _page(ask, render, refused)
    return render("pds/token.html", issued=issued.body)


@router.post(HERE + "/tokens/{token_id}/end")
async def end_token(token_id: str, api: ApiDep, ask: OwnAsk, render: RenderDep) -> Response:
    ended = api.send("DELETE", f"/auth/tokens/{quote(token_id, safe='')}")
    return await _done(ended, "ended", ask, render)


@router.post(f"{HERE}/picture")
async def set_picture(api: ApiDep, ask: OwnAsk, render: RenderDep, key: str = "") -> Response:
    """Pass the picture on as it comes."""
    return await _done(api.pass_on("PUT", "/me/avatar", key=key), "picture", ask, render)


@router.get(f"{HERE}/disconnect")
async def ask_to_disconnect(ask: OwnAsk, render: RenderDep) -> Response:
    return render("pds/disconnect.html", lane=await ask(read_lane))


@router.get(f"{HERE}/leave")
async def ask_to_leave(ask: OwnAsk, render: RenderDep) -> Response:
    """Say what leaving removes and what it keeps, and ask for the handle; one who leaves already sees how far that is."""
    me = await ask(read_me)
    if me["leaving"]:
        return RedirectResponse(HERE, HTTPStatus.SEE_OTHER)
    return await _leave_page(ask, render, me)


@router.post(f"{HERE}/leave")
async def leave(form: FormDep, api: ApiDep, ask: OwnAsk, render: RenderDep) -> Response:
    me = await ask(read_me)
    if form.get("handle", "").strip().removeprefix("@").lower() != me["handle"].lower():
        return await _leave_page(ask, render, me, HTTPStatus.BAD_REQUEST)
    return await _done(api.send("DELETE", "/me"), "", ask, render)


@router.post(HERE + "/{action:path}")
async def act(action: str, form: FormDep, api: ApiDep, ask: OwnAsk, render: RenderDep) -> Response:
    if action not in ACTIONS:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    method, path, said = ACTIONS[action]
    fields = {name: form[name] for name in FIELDS if name in form} or None
    return await _done(api.send(method, path, fields, key=form.get("key")), said, ask, render)


async def _leave_page(ask: Ask[Principal], render: Render, me: Json, status: int = HTTPStatus.OK) -> Response:
    counts = (await ask(list_my_tracks, MyListing(limit=1)))["counts"]
    is_wrong = status != HTTPStatus.OK
    return render("pds/leave.html", status, me=me, tracks=sum(counts.values()), is_wrong=is_wrong)


async def _done(sent: Awaitable[Answer], said: str, ask: Ask[Principal], render: Render) -> Response:
    """Lead back to the page, which says what was done; or show it with what the API refused."""
    try:
        await sent
    except RefusedError as refused:
        return await _page(ask, render, refused)
    return RedirectResponse(HERE + (f"?said={said}" if said else ""), HTTPStatus.SEE_OTHER)


async def _page(
    ask: Ask[Principal], render: Render, refusal: RefusedError | None = None, *, said: str = ""
) -> Response:
    if refusal is not None and refusal.status == HTTPStatus.UNAUTHORIZED:
        raise refusal
    me, lane, issued = await ask(read_me), await ask(read_lane), await ask(list_tokens)
    # the programs' tokens first, then the browsers' sessions, each newest first
    tokens = sorted(issued["items"], key=lambda token: token["kind"] != CredentialKind.API)
    marks = count_by_mark(lane["waiting"], lane["reason"])
    adoption, audio = await ask(read_adoption), await ask(read_migration)
    refused = (await ask(list_my_tracks, MyListing(limit=1)))["audio_refused"]
    tasks, words = await tasks_of(ask, lane["reason"], refused), lane_words(lane)
    # in a lane that sends, nothing else is parked
    needs_consent = not lane["reason"] and bool(lane["waiting"].get(MirrorState.PARKED))
    return render(
        "pds/pds.html",
        refusal.status if refusal else HTTPStatus.OK,
        me=me,
        profile_mark=where_is(me["profile"]).whole if me["profile"] else None,
        leaving_waits=BY_REASON.get(me["leaving"]["waits_for"]) if me["leaving"] else None,
        lane=lane,
        words=REST_WORKS if (tasks or needs_consent) and words is WORKS else words,
        tasks=tasks,
        consent=NEEDS_CONSENT if needs_consent else None,
        waiting=sum(lane["waiting"].values()),
        marks={mark: count for mark, count in marks.items() if count},
        on_its_way=Mark.ON_ITS_WAY,
        adoption=adoption,
        audio=audio,
        export=await ask(read_exports),
        pending=(BY_REASON[audio["waits_for"]].mark if audio["waits_for"] else Mark.ON_ITS_WAY).label,
        why_refused=why_refused,
        gated=audio["skipped"].get(AudioCopyState.GATED, 0),
        tokens=tokens,
        browser=next((token for token in tokens if token["current"]), None),
        said=said,
        problem=refusal.answer.problem["message"] if refusal else None,
    )
