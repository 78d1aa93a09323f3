"""The record on the PDS: what the log wants, what the PDS confirmed, what is there now; a foreign edit decided field by field."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response

from api.responses.mirror import ShownKind
from api.responses.states import DELETE
from api.routers.records.mirrors import compare_record, read_mirror
from identity.accounts.credentials import Principal
from web.ask import Ask, FormDep, Json, RefusedError
from web.history_words import Titles, label_of, place_of, set_but_kept_here, text_of
from web.page import pages
from web.pages.studio.subject import Problem, StudioKind, SubjectPage, page_of, problem_of, titled
from web.state_words import OUTCOMES
from web.too_large import oversize

SIDE: Final = "side."
"""Before a field's name in the form."""
KEPT: Final = 12
FOREIGN_CHARACTERS: Final = 500
"""What a table shows of a value that may fill the whole record, three times."""
COLUMNS: Final = ("wanted", "confirmed", "present")
TYPES: Final = {
    "duration": int,
    "timestampMs": int,
    **dict.fromkeys(("features", "tags", "items"), list),
} | dict.fromkeys(("labels", "supportGate", "audioBlob", "subject"), dict)
"""Of the fields of our record that are no texts."""
TIMES: Final = frozenset({"createdAt", "updatedAt"})
"""The fields of a record that are times."""


RESOLVE: Final = ("POST", "/mirror/resolve")


def routes(kind: StudioKind) -> APIRouter:
    router, page_here = pages(kind.path), page_of(kind)

    @router.get("/pds")
    async def show_record(page: Annotated[SubjectPage, page_here]) -> Response:
        return await _show(page)

    @router.post("/decide")
    async def decide(page: Annotated[SubjectPage, page_here], form: FormDep) -> Response:
        decision: dict[str, Any] = {name: form[name] for name in ("cid", "keep") if form.get(name)}
        if "keep" not in decision:
            decision["fields"] = _sides(form)
        try:
            await page.send(RESOLVE, decision, key=form.get("key"))
        except RefusedError as refused:
            return await _show(page, refused.status, form, problem_of(refused))
        return page.back("decided")

    return router


async def record_columns(
    ask: Ask[Principal], kind: ShownKind[Any], subject_id: int, subject: Json | None
) -> dict[str, Any]:
    """Compare a record with its PDS, for its owner or an operator; `subject` is None where the operator finds it deleted.

    The record three times, a row for each field, and the attempts to write it; `conflict` waits for its owner's decision.
    """
    compared = await ask(compare_record, kind, subject_id)
    mirror = await ask(read_mirror, kind, subject_id)
    fields: Sequence[Json] = compared["fields"]
    titles = await titled(ask, [*fields, *(mirror["conflict"] or {"values": []})["values"]])
    agree = not compared["present"]["problem"] and not any(each["differs"] for each in fields)
    # as the PDS has it, or last confirmed it where it could not be read
    known = "confirmed" if compared["present"]["problem"] else "present"
    values = {each["field"]: each[known] for each in fields if each[known] is not None}
    in_order = sorted(fields, key=lambda each: (not each["differs"], place_of(each["field"])))
    return {
        "compared": compared,
        "fields": [_row(each, titles) for each in in_order],
        "kept_here": set_but_kept_here(subject, kind) if subject is not None else "",
        "all_agree": bool(fields) and agree and mirror["conflict"] is None,
        "as_json": None if compared[known]["cid"] is None else _json(values),
        "conflict": mirror["conflict"],
        "titles": titles,
        "attempts": [_attempt(each) for each in mirror["attempts"][:KEPT]],
    }


async def _show(
    page: SubjectPage,
    status: int = HTTPStatus.OK,
    form: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> Response:
    ask, kind, subject = page.ask, page.kind.shown, await page.read()
    record = await record_columns(ask, kind, page.subject_id, subject)
    conflict = record["conflict"] or {"values": []}
    return page.render(
        "studio/record.html",
        status,
        subject=subject,
        record=record,
        too_large=await oversize(ask, kind, subject),
        choices=[
            {
                "field": name,
                "label": label_of(name),
                "is_time": name in TIMES,
                **{side: _own(name, each[side], record["titles"]) for side in ("ours", "theirs", "agreed")},
                "only_ours_because": each["only_ours_because"],
            }
            for each in sorted(conflict["values"], key=lambda each: place_of(each["field"]))
            for name in [each["field"]]
        ],
        chosen=_sides(form or {}),
        problem=problem,
    )


def _sides(form: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(SIDE): side for name, side in form.items() if name.startswith(SIDE)}


def _row(each: Json, titles: Titles) -> dict[str, Any]:
    name, own = each["field"], each["own"]
    texts = {
        column: _own(name, each[column], titles) if own else _foreign(each[column]) for column in COLUMNS
    }
    facts = {"label": label_of(name), "own": own, "is_time": name in TIMES, "differs": each["differs"]}
    return {**facts, **texts}


def _own(field: str, value: Any, titles: Titles) -> str | None:
    """Return a value of one of our fields; where another program gave it another type, as the record has it."""
    is_ours = isinstance(value, TYPES.get(field, str))
    if field == "labels":
        is_ours = is_ours and isinstance(value.get("values"), list)
    return text_of(field, value, titles) if value is None or is_ours else _foreign(value)


def _foreign(value: Any) -> str | None:
    """Return a value of another program's field, its beginning where it is long."""
    if value is None:
        return None
    text = value if isinstance(value, str) else _json(value)
    if len(text) <= FOREIGN_CHARACTERS:
        return text
    return f"{text[:FOREIGN_CHARACTERS]}… ({len(text):,} characters)"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _attempt(each: Json) -> dict[str, str]:
    """Return an attempt to write or delete the record in words; `answer` is what the PDS answered, as it did."""
    tone, words = OUTCOMES[each["outcome"]]
    what = "Deletion" if each["op"] == DELETE else "Change"
    commit = f"commit {each['rev']}" if each["rev"] else None
    answer = " ".join(str(part) for part in (each["status"], each["error"], commit) if part)
    return {"at": each["started_at"], "tone": tone, "words": f"{what}: {words}", "answer": answer}
