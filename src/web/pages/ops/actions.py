"""What admins do: each action is counted first, asks for a reason, and touches only what was counted."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from api.auth.authentication import admin
from web.api_client import ApiDep, RefusedError
from web.forms import Form, form_of
from web.page_route import PageRoute
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(admin)])

SELECTOR: Final = ("did", "host", "error", "cause")
ROUTES: Final[Mapping[str, str]] = {
    "pause": "/ops/lanes",
    "resume": "/ops/lanes",
    "probe": "/ops/lanes",
    "redrive": "/ops/failures",
}


@router.post("/ops/actions")
async def act(request: Request, api: ApiDep, render: RenderDep) -> Response:
    """Count what an action would change and ask; with the count in the form, do it."""
    form = await form_of(request)
    action = form.get("action", "")
    fields: dict[str, Any] = {name: form[name] for name in SELECTOR if form.get(name)}
    fields["action"] = action
    route = ROUTES.get(action, "/ops/lanes")
    expected = form.number("expected")
    if expected is None:
        return await _ask(api, render, route=route, fields=fields, back=_back(form))
    fields |= {"expected": expected, "reason": form.get("reason", "")}
    answer = await api.send("POST", route, fields, key=form.get("key"))
    if answer.status == HTTPStatus.CONFLICT:
        changed: str = answer.problem["message"]
        again: dict[str, Any] = {name: fields[name] for name in (*SELECTOR, "action") if name in fields}
        return await _ask(api, render, route=route, fields=again, back=_back(form), changed=changed)
    if not answer.is_success:
        raise RefusedError(answer)
    return render("ops/done.html", action=action, done=answer.body, fields=fields, back=_back(form))


@router.post("/ops/tracks/{track_id}/takedown")
async def take_down(track_id: int, request: Request, api: ApiDep, render: RenderDep) -> Response:
    """Ask for the reason first; then take the track down, or lift that."""
    form = await form_of(request)
    lift = form.get("lift") == "true"
    if "reason" not in form:
        return render("ops/takedown.html", track_id=track_id, lift=lift)
    fields = {"lift": lift, "reason": form["reason"]}
    answer = await api.send("POST", f"/ops/tracks/{track_id}/takedown", fields, key=form.get("key"))
    if not answer.is_success:
        raise RefusedError(answer)
    return RedirectResponse(f"/ops/tracks/{track_id}", HTTPStatus.SEE_OTHER)


async def _ask(
    api: ApiDep,
    render: RenderDep,
    *,
    route: str,
    fields: Mapping[str, Any],
    back: str,
    changed: str | None = None,
) -> Response:
    counted = await api.send("POST", route, {**fields, "dry_run": True})
    if not counted.is_success:
        raise RefusedError(counted)
    return render("ops/confirm.html", fields=fields, counted=counted.body, back=back, changed=changed)


def _back(form: Form) -> str:
    """Return the screen to go back to: one of the console's, whatever the form says."""
    back = form.get("back", "")
    return back if back.startswith("/ops") and "//" not in back and "\\" not in back else "/ops"
