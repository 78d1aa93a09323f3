"""The record on the PDS: what the log wants, what the PDS confirmed, what is there now; a foreign edit decided field by field."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, Response

from api.requests.parameters import TrackId
from api.responses.mirror import TRACKS
from api.responses.states import DELETE
from api.routers.mirrors import compare_record, read_mirror
from identity.accounts.credentials import Principal
from web.ask import ApiDep, Ask, FormDep, OwnAsk, PageRoute, RefusedError
from web.history_words import label_of, place_of, set_but_kept_here, text_of
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
TYPES: Final = {"duration": int, "features": list, "tags": list} | dict.fromkeys(
    ("labels", "supportGate", "audioBlob"), dict
)
"""Of the fields of our record that are no texts."""
TIMES: Final = frozenset({"createdAt"})
"""The fields of a record that are times."""


@router.get("/studio/tracks/{track_id}/pds")
async def show_record(track_id: TrackId, ask: OwnAsk, render: RenderDep) -> Response:
    return render("studio/record.html", **await _values(track_id, ask))


@router.post("/studio/tracks/{track_id}/decide")
async def decide(track_id: TrackId, form: FormDep, api: ApiDep, ask: OwnAsk, render: RenderDep) -> Response:
    path, key = f"/tracks/{track_id}/mirror/resolve", form.get("key")
    decision: dict[str, Any] = {name: form[name] for name in ("cid", "keep") if form.get(name)}
    if "keep" not in decision:
        decision["fields"] = _sides(form)
    try:
        await api.send("POST", path, decision, key=key, wait_seconds=WAIT_SECONDS)
    except RefusedError as refused:
        values = await _values(track_id, ask, form, problem_of(refused))
        return render("studio/record.html", refused.status, **values)
    return to_track(track_id, "decided")


async def record_columns(
    ask: Ask[Principal], track_id: int, track: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Compare a record with its PDS, for its owner or an operator; `track` is None where the operator finds it deleted.

    The record three times, a row for each field, and the attempts to write it; `conflict` waits for its owner's decision.
    """
    compared = await ask(compare_record, TRACKS, track_id)
    mirror = await ask(read_mirror, TRACKS, track_id)
    fields: Sequence[Mapping[str, Any]] = compared["fields"]
    agree = not compared["present"]["problem"] and not any(each["differs"] for each in fields)
    in_order = sorted(fields, key=lambda each: (not each["differs"], place_of(each["field"])))
    return {
        "compared": compared,
        "fields": [_row(each) for each in in_order],
        "kept_here": set_but_kept_here(track) if track is not None else "",
        "all_agree": bool(fields) and agree and mirror["conflict"] is None,
        "as_json": _as_json(compared),
        "conflict": mirror["conflict"],
        "attempts": [_attempt(each) for each in mirror["attempts"][:KEPT]],
    }


async def _values(
    track_id: int, ask: Ask[Principal], form: Mapping[str, str] | None = None, problem: Problem | None = None
) -> dict[str, Any]:
    track = await my_track(ask, track_id)
    record = await record_columns(ask, track_id, track)
    conflict = record["conflict"] or {"values": []}
    is_too_large = track["mirror"]["reason"] == TOO_LARGE
    return {
        "track": track,
        "record": record,
        "largest": _largest(record["compared"]["fields"]) if is_too_large else "",
        "choices": [
            {
                "field": name,
                "label": label_of(name),
                "is_time": name in TIMES,
                **{side: _own(name, each[side]) for side in ("ours", "theirs", "agreed")},
                "only_ours_because": each["only_ours_because"],
            }
            for each in sorted(conflict["values"], key=lambda each: place_of(each["field"]))
            for name in [each["field"]]
        ],
        "chosen": _sides(form or {}),
        "problem": problem,
    }


def _sides(form: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(SIDE): side for name, side in form.items() if name.startswith(SIDE)}


def _row(each: Mapping[str, Any]) -> dict[str, Any]:
    name, own = each["field"], each["own"]
    texts = {column: (_own if own else _foreign)(name, each[column]) for column in COLUMNS}
    facts = {"label": label_of(name), "own": own, "is_time": name in TIMES, "differs": each["differs"]}
    return {**facts, **texts}


def _largest(fields: Sequence[Mapping[str, Any]]) -> str:
    """Say which field is the largest of the record that is wanted."""
    if not fields:
        return ""
    field = max(fields, key=lambda each: len(_text(each["wanted"])))
    size = len(_text(field["wanted"]))
    whose = "" if field["own"] else " of another program"
    return f"Its largest field is “{label_of(field['field'])}”{whose}, with {size:,} characters."


def _text(value: Any) -> str:
    """Return a text as it is, and any other value as the record has it."""
    return value if isinstance(value, str) else _json(value)


def _own(field: str, value: Any) -> str | None:
    """Return a value of one of our fields; where another program gave it another type, as the record has it."""
    is_ours = isinstance(value, TYPES.get(field, str))
    if field == "labels":
        is_ours = is_ours and isinstance(value.get("values"), list)
    return text_of(field, value) if value is None or is_ours else _foreign(field, value)


def _foreign(_field: str, value: Any) -> str | None:
    """Return a value of another program's field, its beginning where it is long."""
    if value is None:
        return None
    text = _text(value)
    if len(text) <= FOREIGN_CHARACTERS:
        return text
    return f"{text[:FOREIGN_CHARACTERS]}… ({len(text):,} characters)"


def _as_json(compared: Mapping[str, Any]) -> str | None:
    """Return the record as the PDS has it, or last confirmed it where it could not be read; None where there is none."""
    known = "confirmed" if compared["present"]["problem"] else "present"
    if compared[known]["cid"] is None:
        return None
    values = {each["field"]: each[known] for each in compared["fields"]}
    return _json({name: value for name, value in values.items() if value is not None})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _attempt(each: Mapping[str, Any]) -> dict[str, str]:
    """Return an attempt to write or delete the record in words; `answer` is what the PDS answered, as it did."""
    tone, words = OUTCOMES[each["outcome"]]
    what = "Deletion" if each["op"] == DELETE else "Change"
    commit = f"commit {each['rev']}" if each["rev"] else None
    answer = " ".join(str(part) for part in (each["status"], each["error"], commit) if part)
    return {"at": each["started_at"], "tone": tone, "words": f"{what}: {words}", "answer": answer}
