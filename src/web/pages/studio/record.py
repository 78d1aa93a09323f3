"""The record on the PDS: what the log wants, what the PDS confirmed, what is there now; a foreign edit decided field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_urlsafe
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.requests.path_params import TrackId
from web.api_client import Api, ApiDep, RefusedError
from web.forms import Form, form_of
from web.page_route import PageRoute
from web.pages.studio.problems import Problem, problem_of
from web.pages.studio.track import WAIT_SECONDS, my_track, to_track
from web.pages.studio.words import label_of, place_of, text_of
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SIDE: Final = "side."
"""Before a field's name in the form."""
KEPT: Final = 12
COLUMNS: Final = ("wanted", "confirmed", "present")
OUTCOMES: Final = {
    None: "no answer yet",
    "done": "taken",
    "adopted": "was there already",
    "cancelled": "not sent",
    "read_back": "another version was there",
    "ambiguous": "no clear answer",
    "not_sent": "did not reach your PDS",
    "blob_missing": "the audio has to go first",
    "rejected": "refused",
    "paced": "asked for a pause",
    "sign_in": "asked for a sign-in",
    "inactive": "the account is not active there",
    "moved": "the account is not known there",
    "broken": "failed here",
}


@dataclass(frozen=True)
class Choice:
    """A field that another program changed, as its owner decides it."""

    field: str
    label: str
    ours: str | None
    theirs: str | None
    agreed: str | None
    only_ours_because: str | None


@router.get("/studio/tracks/{track_id}/pds")
async def show_record(track_id: TrackId, api: ApiDep, render: RenderDep) -> Response:
    return render("studio/record.html", **await _values(track_id, api))


@router.post("/studio/tracks/{track_id}/decide")
async def decide(track_id: TrackId, request: Request, api: ApiDep, render: RenderDep) -> Response:
    """Keep mine or theirs, field by field or as a whole."""
    form = await form_of(request)
    answer = await api.send(
        "POST",
        f"/tracks/{track_id}/mirror/resolve",
        _decision(form),
        key=form.get("key"),
        wait_seconds=WAIT_SECONDS,
    )
    if answer.is_success:
        return to_track(track_id, "decided")
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise RefusedError(answer)
    values = await _values(track_id, api, form, problem_of(answer))
    return render("studio/record.html", answer.status, **values)


async def _values(
    track_id: int, api: Api, form: Mapping[str, str] | None = None, problem: Problem | None = None
) -> dict[str, Any]:
    track = await my_track(api, track_id)
    compared = await api.read(f"/tracks/{track_id}/mirror/compare")
    mirror = await api.read(f"/tracks/{track_id}/mirror")
    conflict = mirror["conflict"]
    return {
        "track": track,
        "compared": compared,
        "fields": [_row(each) for each in sorted(compared["fields"], key=_place)],
        "conflict": conflict,
        "choices": [
            _choice(each) for each in sorted(conflict["values"], key=lambda each: place_of(each["field"]))
        ]
        if conflict
        else [],
        "chosen": _sides(form or {}),
        "attempts": mirror["attempts"][:KEPT],
        "outcomes": OUTCOMES,
        "problem": problem,
        "key": token_urlsafe(12),
    }


def _sides(form: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(SIDE): side for name, side in form.items() if name.startswith(SIDE)}


def _decision(form: Form) -> dict[str, Any]:
    cid = {"cid": form["cid"]} if form.get("cid") else {}
    if form.get("keep"):
        return {**cid, "keep": form["keep"]}
    return {**cid, "fields": _sides(form)}


def _place(each: Mapping[str, Any]) -> tuple[bool, int]:
    return not each["differs"], place_of(each["field"])


def _row(each: Mapping[str, Any]) -> dict[str, Any]:
    texts = {column: text_of(each["field"], each[column]) for column in COLUMNS}
    return {"label": label_of(each["field"]), "own": each["own"], "differs": each["differs"], **texts}


def _choice(each: Mapping[str, Any]) -> Choice:
    name = each["field"]
    ours, theirs, agreed = (text_of(name, each[side]) for side in ("ours", "theirs", "agreed"))
    return Choice(name, label_of(name), ours, theirs, agreed, each["only_ours_because"])
