"""My PDS: whether records reach it, what can be done about it, which programs may act, and how to leave."""

import re
from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Depends, HTTPException, Response

from api.readers.records import count_adopted, names_at
from api.responses.states import AudioCopyState, MirrorState
from api.routers.account.auth import list_tokens
from api.routers.account.exports import read_exports
from api.routers.account.me import read_me
from api.routers.records.mirrors import read_lane
from api.routers.records.records import read_adoption, read_migration
from api.routers.tracks.tracks import MyListing, list_my_tracks
from identity.accounts.credentials import CredentialKind
from web.ask import Answer, FormDep, Json, RefusedError
from web.page import OwnPage, pages, to
from web.pages.studio.waiting import KINDS, tasks_of
from web.state_words import BY_REASON, REST_WORKS, WORKS, Mark, lane_words
from web.whereabouts import NEEDS_CONSENT, count_by_mark, where_is, why_refused

HERE: Final = "/studio/pds"
MOST_NAMED: Final = 100

router = pages(HERE)

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
NUMBER: Final = re.compile("[0-9]{1,9}")
FIELDS: Final = ("display_name", "bio", "support_url", "comments", "retry_failed")


class PdsPage(OwnPage):
    async def show(self, refusal: RefusedError | None = None, *, said: str = "") -> Response:
        """Show the page, with what was `said` to be done, or with what the API refused."""
        if refusal is not None and refusal.status == HTTPStatus.UNAUTHORIZED:
            raise refusal
        ask = self.ask
        me, lane, issued = await ask(read_me), await ask(read_lane), await ask(list_tokens)
        # the programs' tokens first, then the browsers' sessions, each newest first
        tokens = sorted(issued["items"], key=lambda token: token["kind"] != CredentialKind.API)
        marks = count_by_mark(lane["waiting"], lane["reason"])
        adoption, audio = await ask(read_adoption), await ask(read_migration)
        refused = (await ask(list_my_tracks, MyListing(limit=1)))["audio_refused"]
        tasks, words = await tasks_of(ask, lane["reason"], refused), lane_words(lane)
        # in a lane that sends, nothing else is parked
        needs_consent = not lane["reason"] and bool(lane["waiting"].get(MirrorState.PARKED))
        return self.render(
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

    async def after(self, sent: Awaitable[Answer], said: str) -> Response:
        """Lead back to the page once a command was sent, or show it with why that was refused."""
        try:
            await sent
        except RefusedError as refused:
            return await self.show(refused)
        return to(HERE + (f"?said={said}" if said else ""))

    async def before_leaving(self, me: Json, status: int = HTTPStatus.OK) -> Response:
        counts = (await self.ask(list_my_tracks, MyListing(limit=1)))["counts"]
        is_wrong = status != HTTPStatus.OK
        adopted = (await self.ask(count_adopted))["adopted"]
        tracks = sum(counts.values())
        return self.render("pds/leave.html", status, me=me, tracks=tracks, adopted=adopted, is_wrong=is_wrong)


Page = Annotated[PdsPage, Depends()]


@router.get("")
async def show_pds(page: Page, said: str = "") -> Response:
    return await page.show(said=said)


@router.post("/verify")
async def verify(page: Page) -> Response:
    try:
        answer = await page.api.send("POST", "/me/verify")
    except RefusedError as refused:
        return await page.show(refused)
    uris = [each["uri"] for each in answer.body["drifts"]][:MOST_NAMED]
    named = await page.ask(names_at, [kind.shown for kind in KINDS], uris)
    return page.render("pds/verified.html", found=answer.body, named=named["names"])


@router.post("/tokens")
async def make_token(page: Page, form: FormDep) -> Response:
    fields = {name: form[name] for name in ("name", "scope", "expires_in_days") if form.get(name)}
    try:
        issued = await page.api.send("POST", "/auth/tokens", fields, key=form.get("key"))
    except RefusedError as refused:
        return await page.show(refused)
    return page.render("pds/token.html", issued=issued.body)


@router.post("/tokens/{token_id}/end")
async def end_token(page: Page, token_id: str) -> Response:
    return await page.after(page.api.send("DELETE", f"/auth/tokens/{quote(token_id, safe='')}"), "ended")


@router.post("/picture")
async def set_picture(page: Page, key: str = "") -> Response:
    """Pass the picture on as it comes."""
    return await page.after(page.api.pass_on("PUT", "/me/avatar", key=key), "picture")


@router.get("/disconnect")
async def ask_to_disconnect(page: Page) -> Response:
    return page.render("pds/disconnect.html", lane=await page.ask(read_lane))


@router.get("/leave")
async def ask_to_leave(page: Page) -> Response:
    """Say what leaving removes and what it keeps, and ask for the handle; one who leaves already sees how far that is."""
    me = await page.ask(read_me)
    return to(HERE) if me["leaving"] else await page.before_leaving(me)


@router.post("/leave")
async def leave(page: Page, form: FormDep) -> Response:
    me = await page.ask(read_me)
    if form.get("handle", "").strip().removeprefix("@").lower() != me["handle"].lower():
        return await page.before_leaving(me, HTTPStatus.BAD_REQUEST)
    adopted = form.get("adopted", "")
    fields = {"adopted": int(adopted)} if NUMBER.fullmatch(adopted) else None
    return await page.after(page.api.send("DELETE", "/me", fields), "")


@router.post("/{action:path}")
async def act(page: Page, action: str, form: FormDep) -> Response:
    if action not in ACTIONS:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    method, path, said = ACTIONS[action]
    fields = {name: form[name] for name in FIELDS if name in form} or None
    return await page.after(page.api.send(method, path, fields, key=form.get("key")), said)
