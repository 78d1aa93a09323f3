"""The record on the PDS: what the log wants, what the PDS confirmed, what is there now; a foreign edit decided field by field."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from secrets import token_urlsafe
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api.requests.parameters import TrackId
from api.responses.states import DELETE
from api.routers.mirrors import compare_record, read_mirror
from identity.accounts.credentials import Principal
from web.ask import Ask, OwnAsk
from web.forms import ApiDep, Form, RefusedError, form_of
from web.history_words import label_of, place_of, set_but_kept_here, text_of
from web.page_route import PageRoute
from web.pages.studio.track import WAIT_SECONDS, Problem, my_track, problem_of, to_track
from web.rendering import RenderDep
from web.state_words import OUTCOMES, TOO_LARGE

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SIDE: Final = "side."
"""Before a field's name in the form."""
KEPT: Final = 12
FOREIGN_CHARACTERS: Final = 500
"""What a table shows of a value that may fill the whole record, three times."""
COLUMNS: Final = ("wanted", "confirmed", "present")
TIMES: Final = frozenset({"createdAt"})
"""The fields of a record that are times."""


@dataclass(frozen=True)
class Choice:
    """A field that another program changed, as its owner decides it."""

    field: str
    label: str
    is_time: bool
    ours: str | None
    theirs: str | None
    agreed: str | None
    only_ours_because: str | None


@dataclass(frozen=True)
class Attempt:
    """An attempt to write or delete the record in words; `answer` is what the PDS answered, as it did."""

    at: str
    tone: str
    words: str
    answer: str


@dataclass(frozen=True)
class RecordColumns:
    """A record three times, a row for each field, and the attempts to write it; `conflict` waits for its owner's decision."""

    compared: Mapping[str, Any]
    fields: Sequence[Mapping[str, Any]]
    kept_here: str
    all_agree: bool
    as_json: str | None
    conflict: Mapping[str, Any] | None
    attempts: Sequence[Attempt]


@router.get("/studio/tracks/{track_id}/pds")
async def show_record(track_id: TrackId, ask: OwnAsk, render: RenderDep) -> Response:
    return render("studio/record.html", **await _values(track_id, ask))


@router.post("/studio/tracks/{track_id}/decide")
async def decide(
    track_id: TrackId, request: Request, api: ApiDep, ask: OwnAsk, render: RenderDep
) -> Response:
    """Keep mine or theirs, field by field or as a whole."""
    form = await form_of(request)
    path, key = f"/tracks/{track_id}/mirror/resolve", form.get("key")
    try:
        await api.send("POST", path, _decision(form), key=key, wait_seconds=WAIT_SECONDS)
    except RefusedError as refused:
        values = await _values(track_id, ask, form, problem_of(refused))
        return render("studio/record.html", refused.status, **values)
    return to_track(track_id, "decided")


async def record_columns(
    ask: Ask[Principal], track_id: int, track: Mapping[str, Any] | None
) -> RecordColumns:
    """Compare a record with its PDS, for its owner or an operator; `track` is None where the operator finds it deleted."""
    compared = await ask(compare_record, track_id)
    mirror = await ask(read_mirror, track_id)
    return RecordColumns(
        compared=compared,
        fields=[_row(each) for each in sorted(compared["fields"], key=_place)],
        kept_here=set_but_kept_here(track) if track is not None else "",
        all_agree=mirror["conflict"] is None and _all_agree(compared),
        as_json=_as_json(compared),
        conflict=mirror["conflict"],
        attempts=[_attempt(each) for each in mirror["attempts"][:KEPT]],
    )


async def _values(
    track_id: int, ask: Ask[Principal], form: Mapping[str, str] | None = None, problem: Problem | None = None
) -> dict[str, Any]:
    track = await my_track(ask, track_id)
    record = await record_columns(ask, track_id, track)
    conflict = record.conflict
    return {
        "track": track,
        "record": record,
        "largest": _largest(record.compared) if track["mirror"]["reason"] == TOO_LARGE else "",
        "choices": [
            _choice(each) for each in sorted(conflict["values"], key=lambda each: place_of(each["field"]))
        ]
        if conflict
        else [],
        "chosen": _sides(form or {}),
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
    name, own = each["field"], each["own"]
    texts = {column: (_own if own else _foreign)(name, each[column]) for column in COLUMNS}
    facts = {"label": label_of(name), "own": own, "is_time": name in TIMES, "differs": each["differs"]}
    return {**facts, **texts}


def _largest(compared: Mapping[str, Any]) -> str:
    """Say which field is the largest of the record that is wanted."""
    sizes = ((len(_text(each["wanted"])), each) for each in compared["fields"])
    size, field = max(sizes, key=itemgetter(0), default=(0, None))
    if field is None:
        return ""
    whose = "" if field["own"] else " of another program"
    return f"Its largest field is “{label_of(field['field'])}”{whose}, with {size:,} characters."


def _text(value: Any) -> str:
    """Return a text as it is, and any other value as the record has it."""
    return value if isinstance(value, str) else _json(value)


def _own(field: str, value: Any) -> str | None:
    """Return a value of one of our fields; where another program gave it another type, as the record has it."""
    match field:
        case "duration":
            is_ours = isinstance(value, int)
        case "features" | "tags":
            is_ours = isinstance(value, list)
        case "labels":
            is_ours = isinstance(value, dict) and isinstance(value.get("values"), list)
        case "supportGate" | "audioBlob":
            is_ours = isinstance(value, dict)
        case _:
            is_ours = isinstance(value, str)
    return text_of(field, value) if value is None or is_ours else _foreign(field, value)


def _foreign(_field: str, value: Any) -> str | None:
    """Return a value of another program's field, its beginning where it is long."""
    if value is None:
        return None
    text = _text(value)
    if len(text) <= FOREIGN_CHARACTERS:
        return text
    return f"{text[:FOREIGN_CHARACTERS]}… ({len(text):,} characters)"


def _all_agree(compared: Mapping[str, Any]) -> bool:
    """Whether the PDS was read, and has the record as it is wanted and as it was confirmed."""
    fields: Sequence[Mapping[str, Any]] = compared["fields"]
    return bool(fields) and not compared["present"]["problem"] and not any(each["differs"] for each in fields)


def _as_json(compared: Mapping[str, Any]) -> str | None:
    """Return the record as the PDS has it, or last confirmed it where it could not be read; None where there is none."""
    known = "confirmed" if compared["present"]["problem"] else "present"
    if compared[known]["cid"] is None:
        return None
    values = {each["field"]: each[known] for each in compared["fields"]}
    return _json({name: value for name, value in values.items() if value is not None})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _attempt(each: Mapping[str, Any]) -> Attempt:
    tone, words = OUTCOMES[each["outcome"]]
    what = "Deletion" if each["op"] == DELETE else "Change"
    commit = f"commit {each['rev']}" if each["rev"] else None
    answer = " ".join(str(part) for part in (each["status"], each["error"], commit) if part)
    return Attempt(each["started_at"], tone, f"{what}: {words}", answer)


def _choice(each: Mapping[str, Any]) -> Choice:
    name = each["field"]
    ours, theirs, agreed = (_own(name, each[side]) for side in ("ours", "theirs", "agreed"))
    return Choice(name, label_of(name), name in TIMES, ours, theirs, agreed, each["only_ours_because"])
