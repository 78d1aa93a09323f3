"""What admins do: each action is counted first, asks for a reason, and touches only what was counted."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from api.auth.authentication import admin
from api.error_responses import error_response
from api.requests.parameters import CommentId, JobId, TrackId
from api.routers.ops.accounts import AccountDid, read_tokens_of
from api.routers.ops.deliveries import ProgressQuery, read_progress
from web.ask import ApiDep, FormDep, OperatorAsk, PageRoute, RefusedError, wanted
from web.pages.ops.deliveries import causes_of
from web.pages.ops.words import AskedDep, ShowDep
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(admin)])

SELECTOR: Final = ("did", "host", "cause")


@router.post("/ops/actions")
async def act(form: FormDep, api: ApiDep, ask: OperatorAsk, show: ShowDep) -> Response:
    """Count what an action would change and ask; with the count in the form, do it."""
    which = {name: form[name] for name in (*SELECTOR, "action") if form.get(name)}
    changed = None
    if (expected := form.number("expected")) is not None:
        fields = {**which, "expected": expected, "reason": form.get("reason", "")}
        try:
            answer = await api.send("POST", "/ops/lanes", fields, key=form.get("key"))
        except RefusedError as refused:
            changed = refused.said_at(HTTPStatus.CONFLICT)
        else:
            done = {name: answer.body[name] for name in ("affected", "sent_at_once") if answer.body[name]}
            address = urlencode({**which, **done, "back": _back(form)})
            return RedirectResponse(f"/ops/progress?{address}", HTTPStatus.SEE_OTHER)
    affected = (await api.send("POST", "/ops/lanes", {**which, "dry_run": True})).body["affected"]
    return await show(
        "ops/confirm.html",
        affected=affected,
        fields=which,
        cause=next(iter(await causes_of(ask, cause=which["cause"])), None) if "cause" in which else None,
        back=_back(form),
        changed=changed,
    )


@router.get("/ops/progress")
async def show_progress(
    ask: OperatorAsk, render: RenderDep, asked: AskedDep, affected: int = 0, sent_at_once: int = 0
) -> Response:
    which = {name: asked[name] for name in ("action", *SELECTOR)}
    progress = await ask(read_progress, wanted(ProgressQuery, **which))
    left = progress["waiting"] + progress["failing"]
    of_records = urlencode({name: asked[name] for name in ("did", "host")})
    return render(
        "ops/done.html",
        action=asked["action"],
        affected=affected,
        sent_at_once=sent_at_once,
        progress=progress,
        left=left,
        total=max(affected, sent_at_once, left),
        failures=f"/ops/failures/{asked['cause']}" if asked["cause"] else f"/ops/records?{of_records}",
        back=_back(asked),
    )


@router.post("/ops/accounts/{did}/tokens/end")
async def end_tokens(
    did: AccountDid, form: FormDep, api: ApiDep, ask: OperatorAsk, render: RenderDep
) -> Response:
    here, which = f"/ops/accounts/{did}", {"token_id": form["token_id"]} if form.get("token_id") else {}
    changed = None
    if "reason" in form and (expected := form.number("expected")) is not None:
        fields = {**which, "reason": form["reason"], "expected": expected}
        try:
            await api.send("POST", f"{here}/tokens/end", fields, key=form.get("key"))
        except RefusedError as refused:
            changed = refused.said_at(HTTPStatus.CONFLICT)
        else:
            return RedirectResponse(here, HTTPStatus.SEE_OTHER)
    tokens = (await ask(read_tokens_of, did, which.get("token_id")))["items"]
    if not tokens:
        return error_response(404, "not_found", "It has ended already. Nothing was changed.")
    fields = {**which, "expected": len(tokens)}
    return render("ops/end_tokens.html", tokens=tokens, fields=fields, back=here, changed=changed)


class TakedownForm:
    """Asks for the reason to take something down, or to lift that; sent with it, does so."""

    def __init__(self, form: FormDep, api: ApiDep, render: RenderDep) -> None:
        self.form: Final = form
        self._api: Final = api
        self._render: Final = render

    async def answer(
        self, what: str, route: str, effect: str, back: str, check: tuple[str, str] | None = None
    ) -> Response:
        """Answer it; `check` is a field that goes with a takedown, and what it does."""
        form, lift = self.form, self.form.get("lift") == "true"
        check = None if lift else check
        if "reason" not in form:
            return self._render(
                "ops/ask.html",
                title=f"{'Lift the takedown of' if lift else 'Take down'} {what}?",
                lead="It is public again." if lift else effect,
                fields={"lift": "true" if lift else "false", "back": back},
                check=check,
                button="Lift it" if lift else "Take it down",
                is_danger=not lift,
                back=back,
            )
        fields = {"lift": lift, "reason": form["reason"]} | ({check[0]: check[0] in form} if check else {})
        await self._api.send("POST", f"{route}/takedown", fields, key=form.get("key"))
        return RedirectResponse(back, HTTPStatus.SEE_OTHER)


TakedownFormDep = Annotated[TakedownForm, Depends()]


@router.post("/ops/tracks/{track_id}/takedown")
async def take_down(track_id: TrackId, asked: TakedownFormDep) -> Response:
    effect = "Only its owner and admins see it, only admins hear it. Its record stays on the artist's PDS."
    check = ("bytes", "Refuse its audio and cover from now on, to every account")
    here = f"/ops/tracks/{track_id}"
    return await asked.answer(f"track {track_id}", here, effect, here, check)


@router.post("/ops/comments/{comment_id}/takedown")
async def take_comment_down(comment_id: CommentId, asked: TakedownFormDep) -> Response:
    effect = "Only its author and operators see it. Its record stays on the author's PDS."
    here, back = f"/ops/comments/{comment_id}", _back(asked.form)
    return await asked.answer(f"comment {comment_id}", here, effect, back)


@router.post("/ops/jobs/{job_id}/retry")
async def retry(job_id: JobId, form: FormDep, api: ApiDep, render: RenderDep) -> Response:
    if "reason" not in form:
        return render(
            "ops/ask.html",
            title="Try this job again?",
            lead="What has failed begins anew; what waits for its next attempt is tried at once.",
            button="Try again",
            back="/ops/jobs",
        )
    await api.send("POST", f"/ops/jobs/{job_id}/retry", {"reason": form["reason"]}, key=form.get("key"))
    return RedirectResponse("/ops/jobs", HTTPStatus.SEE_OTHER)


def _back(form: Mapping[str, str]) -> str:
    """Return the screen to go back to: one of the console's, whatever the form says."""
    back = form.get("back", "")
    return back if back.startswith("/ops") and "//" not in back and "\\" not in back else "/ops"
