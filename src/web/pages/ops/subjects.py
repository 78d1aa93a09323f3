"""What an account has made, of any kind, as an operator sees it: its record, its timeline, and what an admin takes down."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import admin
from api.json_response import shortened
from api.readers.records import any_subject
from api.requests.parameters import Id
from api.responses.mirror import TRACKS, ShownKind
from api.responses.states import DELETE, MirrorState, UnsentOutcome
from api.routers.ops.takedowns import ALL_KINDS, KINDS
from api.routers.records.history import HistoryQuery, history_page
from api.routers.records.mirrors import read_mirror
from api.routers.tracks.tracks import live_track
from web.ask import ApiDep, FormDep, Json, OperatorAsk, wanted
from web.history_words import DOWNLOADS, THE_OPERATOR, Delivery, Moment, moment, name_of_actor
from web.page import screens, to
from web.pages.ops.actions import back_of
from web.pages.ops.words import RECORDS, ShowDep, of_its_pds, record_words
from web.pages.studio.record import record_columns
from web.rendering import RenderDep, sentence, utc
from web.state_words import OUTCOMES
from web.whereabouts import is_audio_refused

LATEST: Final = 20
OF_ATTEMPTS: Final = {outcome: (tone, of_its_pds(words)) for outcome, (tone, words) in OUTCOMES.items()}
"""What the owner reads of an attempt, as an operator reads it."""
PUBLIC: Final[Mapping[str, str]] = {
    "track": "/@{did}/{id}",
    "album": "/@{did}/albums/{slug}",
    "playlist": "/@{did}/playlists/{id}",
    "profile": "/@{did}",
}
"""Where visitors see it, by its word; of the others, at their track."""
HIDDEN: Final = "Only its owner and operators see it, and only admins have its bytes. Its record stays on its owner's PDS."
WITH_BYTES: Final = ("bytes", "Refuse its audio and cover from now on, to every account")


def routes(kind: ShownKind[Any]) -> APIRouter:
    router, in_path = screens(f"/ops{kind.path}"), kind.in_path

    @router.get("")
    async def show_subject(
        subject_id: Annotated[Id, in_path], ask: OperatorAsk, show: ShowDep, cursor: str | None = None
    ) -> Response:
        latest = wanted(HistoryQuery, limit=LATEST, cursor=cursor)
        subject, mirror, history = await asyncio.gather(
            ask(any_subject, kind, subject_id),
            ask(read_mirror, kind, subject_id),
            ask(history_page, kind, subject_id, latest),
        )
        track = await ask.find(live_track, subject_id) if kind is TRACKS else None
        is_refused = track is not None and is_audio_refused(track, mirror)
        return await show(
            "ops/subject.html",
            kind=kind,
            may_take_down=kind in KINDS,
            subject=subject,
            public=PUBLIC.get(kind.word, "").format_map(subject),
            did=subject["did"],
            mirror=mirror,
            words=record_words(mirror, is_audio_refused=is_refused),
            is_audio_refused=is_refused,
            attempts=[{**each, **_of_attempt(each)} for each in mirror["attempts"]],
            outcomes=OF_ATTEMPTS,
            moments=[moment_for_operators(row, kind) for row in history["items"]],
            cursor=history["cursor"],
        )

    @router.get("/record")
    async def show_record(subject_id: Annotated[Id, in_path], ask: OperatorAsk, show: ShowDep) -> Response:
        subject = await ask(any_subject, kind, subject_id)
        track = await ask.find(live_track, subject_id) if kind is TRACKS else None
        record = await record_columns(ask, kind, subject_id, track)
        return await show(
            "ops/record.html",
            kind=kind,
            subject=subject,
            did=subject["did"],
            record=record,
            kept_here=of_its_pds(record["kept_here"]),
        )

    if kind not in ALL_KINDS:
        return router

    @router.post("/takedown", dependencies=[Depends(admin)])
    async def take_down(
        subject_id: Annotated[Id, in_path], form: FormDep, api: ApiDep, render: RenderDep
    ) -> Response:
        """Ask for the reason to take it down, or to lift that; sent with it, do so."""
        lift, back, can_refuse_bytes = form.get("lift") == "true", back_of(form), kind is TRACKS
        if "reason" in form:
            fields = {"lift": lift, "reason": form["reason"]}
            fields |= {"bytes": "bytes" in form} if can_refuse_bytes else {}
            here = f"/ops{kind.route(subject_id)}/takedown"
            await api.send("POST", here, fields, key=form.get("key"))
            return to(back)
        return render(
            "ops/ask.html",
            title=f"{'Lift the takedown of' if lift else 'Take down'} {kind.called} {subject_id}?",
            lead="It is public again." if lift else HIDDEN,
            fields={"lift": "true" if lift else "false", "back": back},
            check=WITH_BYTES if can_refuse_bytes and not lift else None,
            button="Lift it" if lift else "Take it down",
            is_danger=not lift,
            back=back,
        )

    return router


_MOST_CHARACTERS: Final = 1000
"""Of a value: a screen has many of them."""


def moment_for_operators(row: Json, kind: ShownKind[Any]) -> Moment:
    """Return an event as the console tells it: with which operator acted, in the console's words for what waits."""
    told, found = moment(row, "", kind), row["delivery"]
    delivery = told.delivery
    if delivery is not None and found["status"] in RECORDS and found["status"] != MirrorState.DELIVERED:
        words = record_words({"state": found["status"], "reason": found["reason"]})
        delivery = Delivery(words.tone, f"{words.label}. {sentence(words.why)}")
    elif delivery is not None:
        delivery = replace(delivery, words=of_its_pds(delivery.words))
    return replace(
        told,
        actor=name_of_actor(row) if told.actor == THE_OPERATOR else told.actor,
        changes=[
            replace(each, before=_value(each.before), after=_value(each.after)) for each in told.changes
        ],
        delivery=delivery,
        kept_here=of_its_pds(told.kept_here),
    )


def _value(text: str | None) -> str | None:
    if text == DOWNLOADS["off"]:
        return "the owner alone"
    return shortened(text, _MOST_CHARACTERS) if text else text


def _of_attempt(attempt: Json) -> dict[str, Any]:
    """Return how long an attempt took, and what was asked and answered; of the record that was sent, the journal has its CID."""
    began, ended = utc(attempt["started_at"]), utc(attempt["ended_at"])
    took = None
    if began is not None and ended is not None and attempt["outcome"] not in set(UnsentOutcome):
        took = f"{(ended - began).total_seconds():.2f} s"
    answer = (attempt["status"], attempt["error"] or ("OK" if attempt["rev"] else None))
    return {
        "took": took,
        "facts": {
            "Request": "deleteRecord" if attempt["op"] == DELETE else "putRecord, or applyWrites of several",
            "Record": attempt["record_uri"],
            "Sent": attempt["request_cid"],
            "If it held": attempt["swap_cid"] or ("nothing" if attempt["op"] != DELETE else None),
            "Answer": " ".join(str(part) for part in answer if part is not None),
            "Commit": attempt["rev"],
        },
    }
