"""Repairs of accounts: what differs from the log, what would be done about it, and how far that is."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Response

from api.requests.parameters import RepairId
from api.responses.states import DriftKind, Repair, SkipReason
from api.routers.ops.work import RepairsQuery, read_repair, read_repairs
from web.ask import ApiDep, FormDep, Json, OperatorAsk, RefusedError, wanted
from web.page import screens, to
from web.pages.ops.words import AskedDep, ShowDep, did_of

router = screens()

CORRECTABLE: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
"""Refusals that the form shows, with what was typed."""
CANCEL: Final = "cancel"
NOTHING: Final = {"reason": "", "max_deletes": 0}
WORDS: Final = {state.value: state.phrase for state in (*Repair, *DriftKind, *SkipReason)}


@router.get("/ops/repairs")
async def show_repairs(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    return await _list(ask, show, {"did": asked["did"], "reason": ""}, asked["cursor"])


@router.post("/ops/repairs")
async def start(form: FormDep, api: ApiDep, ask: OperatorAsk, show: ShowDep) -> Response:
    fields = {name: form.get(name, "").strip() for name in ("did", "reason")}
    try:
        account = {"did": await did_of(ask, fields["did"])}
        started = await api.send("POST", "/ops/repairs", fields | account, key=form.get("key"))
    except RefusedError as refused:
        return await _list(ask, show, fields, problem=refused.said_at(*CORRECTABLE))
    return to(f"/ops/repairs/{started.body['id']}")


@router.get("/ops/repairs/{repair_id}")
async def show_repair(repair_id: RepairId, ask: OperatorAsk, show: ShowDep) -> Response:
    return await _show(ask, show, repair_id)


@router.post("/ops/repairs/{repair_id}")
async def decide(
    repair_id: RepairId, form: FormDep, api: ApiDep, ask: OperatorAsk, show: ShowDep
) -> Response:
    if form.get("action") == CANCEL and "reason" not in form:
        repair = await ask(read_repair, repair_id)
        applied = f"What was applied stays: {repair['applied']} of {repair['steps']} so far. The rest is left as it is."
        return await show(
            "ops/ask.html",
            title=f"Cancel repair {repair_id}?",
            lead=applied if repair["applied"] else "Nothing was changed, and nothing will be.",
            fields={"action": CANCEL},
            button="Cancel it",
            is_danger=True,
            back=f"/ops/repairs/{repair_id}",
        )
    fields: dict[str, Any] = {name: form[name] for name in ("action", "digest") if form.get(name)}
    fields |= {"reason": form.get("reason", ""), "max_deletes": form.number("max_deletes") or 0}
    try:
        await api.send("POST", f"/ops/repairs/{repair_id}", fields, key=form.get("key"))
    except RefusedError as refused:
        return await _show(ask, show, repair_id, fields, refused.said_at(*CORRECTABLE))
    return to(f"/ops/repairs/{repair_id}")


async def _list(
    ask: OperatorAsk, show: ShowDep, typed: Mapping[str, str], cursor: str = "", problem: str = ""
) -> Response:
    did = "" if problem else typed["did"]
    found = await ask(read_repairs, wanted(RepairsQuery, did=did, cursor=cursor))
    return await show("ops/repairs.html", **found, did=did, typed=typed, problem=problem)


async def _show(
    ask: OperatorAsk, show: ShowDep, repair_id: int, typed: Json = NOTHING, problem: str = ""
) -> Response:
    repair = await ask(read_repair, repair_id)
    return await show("ops/repair.html", repair=repair, words=WORDS, typed=typed, problem=problem)
