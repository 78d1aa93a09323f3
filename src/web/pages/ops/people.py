"""Finds tracks and accounts, shows one of each as their owner sees them, and the audit."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import operator
from api.requests.parameters import PageQuery, TrackId, number_of, track_at
from api.responses.mirror import TRACKS
from api.responses.states import DELETE, MirrorState, UnsentOutcome
from api.routers.audit import TYPES, AuditQuery, audit_entries
from api.routers.comments import list_comments
from api.routers.history import HistoryQuery, history_page
from api.routers.mirrors import read_mirror
from api.routers.ops.accounts import read_tokens_of
from api.routers.ops.deliveries import FailuresQuery, read_failures
from api.routers.tracks import Listing, list_tracks, live_track
from api.services import Services
from web.ask import OperatorAsk, PageRoute, wanted
from web.history_words import DOWNLOADS, THE_OPERATOR, Delivery, Moment, moment, name_of_actor
from web.pages.ops.words import (
    DID,
    RECORDS,
    AskedDep,
    NamedAccount,
    RecordWords,
    ShowDep,
    did_of,
    of_its_pds,
    record_words,
    rows_in_words,
    shortened,
)
from web.pages.studio.record import record_columns
from web.rendering import RenderDep, sentence, utc
from web.state_words import OUTCOMES
from web.whereabouts import is_audio_refused

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

AT: Final = "at://"
LATEST: Final = 20
OF_ATTEMPTS: Final = {outcome: (tone, of_its_pds(words)) for outcome, (tone, words) in OUTCOMES.items()}
"""What the owner reads of an attempt, as an operator reads it."""
MOST: Final = 100
"""Records that are read to tell which audio was refused: as many as the API returns at once."""


@router.get("/ops/find")
async def find(ask: OperatorAsk, render: RenderDep, q: str = "") -> Response:
    """Find a track by its number, the URI of its record or its title, an account by handle or DID."""
    q = q.strip()
    if (number := number_of(q.removeprefix("#"))) is not None:
        return RedirectResponse(f"/ops/tracks/{number}", HTTPStatus.SEE_OTHER)
    name, _, record = q.removeprefix(AT).partition("/") if q.startswith(AT) else (q, "", "")
    did = await did_of(ask, name)
    if record:
        track_id = await run_in_threadpool(_track_at, ask.services, f"{AT}{did}/{record}")
        if track_id is not None:
            return RedirectResponse(f"/ops/tracks/{track_id}", HTTPStatus.SEE_OTHER)
    elif did.startswith(DID):
        return RedirectResponse(f"/ops/accounts/{quote(did, safe=':')}", HTTPStatus.SEE_OTHER)
    tracks = (await ask(list_tracks, Listing(q=q)))["items"] if q else []
    account = did if did.startswith(DID) else None
    return render("ops/found.html", q=q, tracks=_marked(tracks), account=account)


@router.get("/ops/tracks/{track_id}")
async def show_track(
    track_id: TrackId, ask: OperatorAsk, show: ShowDep, cursor: str | None = None
) -> Response:
    latest = wanted(HistoryQuery, limit=LATEST, cursor=cursor)
    track, mirror, history = await asyncio.gather(
        ask.find(live_track, track_id),
        ask(read_mirror, TRACKS, track_id),
        ask(history_page, TRACKS, track_id, latest),
    )
    did = _owner_of(mirror["record_uri"])
    is_refused = track is not None and is_audio_refused(track, mirror)
    return await show(
        "ops/track.html",
        track_id=track_id,
        track=track,
        did=did,
        mirror=mirror,
        words=record_words(mirror, is_audio_refused=is_refused),
        is_audio_refused=is_refused,
        attempts=[{**each, **_of_attempt(each)} for each in mirror["attempts"]],
        outcomes=OF_ATTEMPTS,
        moments=[moment_for_operators(row) for row in history["items"]],
        cursor=history["cursor"],
    )


@router.get("/ops/tracks/{track_id}/comments")
async def show_comments(
    track_id: TrackId, ask: OperatorAsk, show: ShowDep, cursor: str | None = None
) -> Response:
    """The comments on a track, those that are hidden or taken down too."""
    page = await ask(list_comments, track_id, wanted(PageQuery, limit=LATEST, cursor=cursor))
    track = await ask(live_track, track_id)
    return await show("ops/comments.html", track=track, comments=page["items"], cursor=page["cursor"])


@router.get("/ops/tracks/{track_id}/record")
async def show_record(track_id: TrackId, ask: OperatorAsk, show: ShowDep) -> Response:
    track = await ask.find(live_track, track_id)
    record = await record_columns(ask, TRACKS, track_id, track)
    did = _owner_of(record["compared"]["record_uri"])
    return await show(
        "ops/record.html",
        track_id=track_id,
        track=track,
        did=did,
        record=record,
        kept_here=of_its_pds(record["kept_here"]),
    )


@router.get("/ops/accounts/{did}")
async def show_account(did: NamedAccount, ask: OperatorAsk, show: ShowDep) -> Response:
    tracks, undelivered, audit, tokens = await asyncio.gather(
        ask(list_tracks, Listing(artist=did, limit=LATEST)),
        ask(read_failures, FailuresQuery(undelivered=True, did=did, limit=MOST)),
        ask(audit_entries, AuditQuery(did=did, limit=LATEST)),
        ask.find(read_tokens_of, did),
    )
    records = rows_in_words(undelivered["items"])
    return await show(
        "ops/account.html",
        did=did,
        tracks=_marked(tracks["items"], {record["track_id"]: record["words"] for record in records}),
        records=records[:LATEST],
        has_more=len(records) > LATEST,
        audit=audit["items"],
        is_here=tokens is not None,
        tokens=tokens["items"] if tokens else [],
    )


@router.get("/ops/audit")
async def show_audit(ask: OperatorAsk, show: ShowDep, asked: AskedDep) -> Response:
    """Who did what, newest first, in all accounts or one; `since` is in UTC."""
    form = {name: asked.typed[name] for name in ("did", "actor", "type", "since")}
    since = f"{asked['since'].removesuffix('Z')}Z" if asked["since"] else ""
    in_utc = {**{name: asked[name] for name in form}, "since": since}
    found = await ask(audit_entries, wanted(AuditQuery, **in_utc, cursor=asked["cursor"]))
    return await show(
        "ops/audit.html",
        audit=found["items"],
        cursor=found["cursor"],
        form=form,
        wanted={name: value for name, value in in_utc.items() if value},
        types=TYPES,
    )


_MOST_CHARACTERS: Final = 1000
"""Of a value: a screen has many of them."""


def moment_for_operators(row: Mapping[str, Any]) -> Moment:
    """Return an event as the console tells it: with which operator acted, in the console's words for what waits."""
    told, found = moment(row, viewer_did=""), row["delivery"]
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


def _of_attempt(attempt: Mapping[str, Any]) -> dict[str, Any]:
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


def _track_at(services: Services, uri: str) -> int | None:
    with services.database.read() as connection:
        return track_at(connection, uri)


def _owner_of(record_uri: str) -> str:
    return record_uri.removeprefix(AT).partition("/")[0]


def _marked(
    tracks: Iterable[Mapping[str, Any]], known: Mapping[int, RecordWords] | None = None
) -> list[dict[str, Any]]:
    """Add to each track the words of its mark: those that are known, which tell of its audio too, or those of its mirror."""
    return [
        {**track, "words": (known or {}).get(track["id"]) or record_words(track["mirror"])}
        for track in tracks
    ]
