"""What admins do: each action is counted first, asks for a reason, and touches only what was counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

from fastapi import Depends, Query, Response

from api.auth.authentication import admin
from api.error_responses import error_response
from api.errors import UnparsableError
from api.requests.parameters import number_of
from api.responses.states import Action
from api.routers.ops.accounts import AccountDid, read_tokens_of
from api.routers.ops.deliveries import ProgressQuery, read_progress
from web.ask import Api, ApiDep, Form, FormDep, OperatorAsk, RefusedError, wanted
from web.page import pages, to
from web.pages.ops.deliveries import causes_of
from web.pages.ops.words import AskedDep, ShowDep
from web.rendering import RenderDep

router = pages(dependencies=[Depends(admin)])

JOB: Final = "job"
MOST_TARGETS: Final = 50
"""As many as a table has rows; the address of their progress names them all."""
ASKED_AGAIN: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
"""Refusals of one target, which the form shows beside it; the others are not touched by it."""


@dataclass(frozen=True)
class Target:
    """What an action is for, as forms and addresses name it: `host=https://pds.example`, or a `did`, `cause`, `record` or `job`."""

    text: str

    @property
    def kind(self) -> str:
        return self.text.partition("=")[0]

    @property
    def name(self) -> str:
        return self.text.partition("=")[2]

    async def send(self, api: Api, action: str, key: str | None = None, **fields: object) -> Any:
        """Perform the action on it or, with `dry_run`, count what it would change; raises RefusedError."""
        if self.kind != JOB:
            named = {"action": action, self.kind: self.name, **fields}
            return (await api.send("POST", "/ops/lanes", named, key=key)).body
        if "dry_run" not in fields:
            here, why = f"/ops/jobs/{quote(self.name)}/retry", {"reason": fields["reason"]}
            await api.send("POST", here, why, key=key)
        return {"affected": 1, "sent_at_once": 0}


@router.post("/ops/actions")
async def act(form: FormDep, api: ApiDep, ask: OperatorAsk, show: ShowDep) -> Response:
    """Count what an action would change, target by target, and ask; with the counts in the form, do it.

    What was refused is counted and asked again; all else is done.
    """
    action, targets = _chosen(form)
    done, refused = await _perform(form, api, action, targets) if "expected" in form else (None, {})
    if done is not None and not refused:
        if any(target.kind == JOB for target in targets):
            return to(back_of(form))
        asked = {"action": action, "on": [target.text for target in targets], **done, "back": back_of(form)}
        return to(f"/ops/progress?{urlencode(asked, doseq=True, safe=':/=')}")
    rows = [await _row(api, ask, action, target, refused.get(target, "")) for target in refused or targets]
    return await show(
        "ops/confirm.html",
        action=action,
        rows=rows,
        affected=sum(row["affected"] for row in rows),
        done=done,
        back=back_of(form),
    )


def _chosen(form: Form) -> tuple[str, list[Target]]:
    """Return the action and its targets: those of the button in a row or, of the form's own buttons, what was ticked."""
    action, _, one = form["only"].partition(" ") if "only" in form else (form.get("action", ""), "", "")
    if action not in set(Action):
        raise UnparsableError("The form cannot be read. Nothing was changed.")
    targets = [Target(text) for text in ([one] if one else form.getlist("on"))]
    if len(targets) > MOST_TARGETS:
        raise UnparsableError(f"Tick at most {MOST_TARGETS} rows at a time. Nothing was changed.")
    return action, targets


async def _perform(
    form: Form, api: Api, action: str, targets: Sequence[Target]
) -> tuple[Counter[str], dict[Target, str]]:
    """Return what was done in all, and why the API refused a target, which it has not touched."""
    done, refused = Counter[str](), {}
    reason = form.get("reason", "")
    for number, (target, expected) in enumerate(zip(targets, form.getlist("expected"), strict=False)):
        key = f"{form.get('key', '')}-{number}"
        try:
            told = await target.send(api, action, key, reason=reason, expected=number_of(expected))
        except RefusedError as error:
            refused[target] = error.said_at(*ASKED_AGAIN)
        else:
            done.update({name: told[name] or 0 for name in ("affected", "sent_at_once")})
    return +done, refused


async def _row(api: Api, ask: OperatorAsk, action: str, target: Target, refused: str) -> dict[str, Any]:
    """Return a target as the form asks for it, with how much the action would change of it."""
    try:
        affected = (await target.send(api, action, dry_run=True))["affected"]
    except RefusedError as error:
        affected, refused = 0, error.said_at(*ASKED_AGAIN)
    cause = await causes_of(ask, cause=target.name) if target.kind == "cause" else ()
    return {"target": target, "affected": affected, "refused": refused, "cause": next(iter(cause), None)}


@router.get("/ops/progress")
async def show_progress(
    *,
    ask: OperatorAsk,
    show: ShowDep,
    asked: AskedDep,
    on: Annotated[list[str], Query()] = [],  # noqa: B006 - never changed
    affected: int = 0,
    sent_at_once: int = 0,
) -> Response:
    targets = [Target(text) for text in on[:MOST_TARGETS]]
    action = wanted(ProgressQuery, action=asked["action"]).action
    found = [
        await ask(read_progress, wanted(ProgressQuery, action=action, **{each.kind: each.name}))
        for each in targets
    ]
    progress = {name: sum(each[name] for each in found) for name in ("waiting", "failing")}
    left = sum(progress.values())
    failures = {"cause": "/ops/failures/{}", "did": "/ops/records?did={}", "host": "/ops/records?host={}"}
    one = targets[0] if len(targets) == 1 else Target("")
    return await show(
        "ops/done.html",
        action=action,
        affected=affected,
        sent_at_once=sent_at_once,
        progress=progress,
        left=left,
        total=max(affected, sent_at_once, left),
        failures=failures.get(one.kind, "/ops/records").format(quote(one.name)),
        back=back_of(asked),
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
            return to(here)
    tokens = (await ask(read_tokens_of, did, which.get("token_id")))["items"]
    if not tokens:
        return error_response(404, "not_found", "It has ended already. Nothing was changed.")
    fields = {**which, "expected": len(tokens)}
    return render("ops/end_tokens.html", tokens=tokens, fields=fields, back=here, changed=changed)


def back_of(form: Mapping[str, str]) -> str:
    """Return the screen to go back to: one of the console's, whatever the form says."""
    back = form.get("back", "")
    return back if back.startswith("/ops") and "//" not in back and "\\" not in back else "/ops"
