"""How the console names accounts, and tells an entry of the audit as a sentence: who did what, to whom, with which result, and why."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

from fastapi import Depends, Request, Response

from api.app import KINDS
from api.json_response import shortened
from api.middleware.request_threads import in_thread
from api.readers.console import read_trouble
from api.responses.states import (
    OUR_ERRORS,
    PARKING,
    AudioCopyState,
    LaneState,
    MirrorReason,
    MirrorState,
    VerdictKind,
)
from api.routers.ops.accounts import AccountDid
from api.routers.tracks.tracks import MAX_ARTISTS, Wanted, list_artists, read_artist
from identity.accounts.credentials import Principal
from identity.errors import INVALID_HANDLE
from web.ask import Ask, Json, OperatorAsk
from web.history_words import sentence_of, way_of
from web.rendering import RenderDep, counted
from web.state_words import BY_REASON, WORDS, Mark
from web.whereabouts import mark_of, shown

DID: Final = "did:"
MOST_NESTED: Final = 6
"""How deep a screen names accounts: a record of another client may have any depth."""


async def did_of(ask: Ask[Principal], name: str) -> str:
    """Return the DID of an account that is named by its handle; any other name as it is."""
    handle = name.strip().removeprefix("@")
    if handle.startswith(DID) or "." not in handle:
        return handle
    found = await ask.find(read_artist, handle)
    return handle if found is None else str(found["did"])


async def handles_of(ask: Ask[Principal], names: Iterable[str | None]) -> dict[str, str]:
    """Return by DID the handles of those accounts that are here; names that are no DIDs are left out."""
    dids = [name for name in dict.fromkeys(names) if name is not None and name.startswith(DID)][:MAX_ARTISTS]
    if not dids:
        return {}
    found = await ask(list_artists, Wanted(did=dids))
    return {each["did"]: each["handle"] for each in found["items"] if each["handle"] != INVALID_HANDLE}


class Asked(dict[str, str]):
    """What the address of a screen asks for, accounts by their DIDs; empty texts for all else. `typed` is as a person wrote it."""

    def __init__(self, typed: Mapping[str, str], **dids: str) -> None:
        super().__init__({**typed, **dids})
        self.typed: Final = defaultdict(str, typed)

    def __missing__(self, _name: str) -> str:
        return ""


ACCOUNTS: Final = ("did", "actor")
"""The fields that name an account."""


async def asked_of(request: Request, ask: OperatorAsk) -> Asked:
    typed = request.query_params
    return Asked(typed, **{name: await did_of(ask, typed[name]) for name in ACCOUNTS if name in typed})


async def named_account(did: AccountDid, ask: OperatorAsk) -> str:
    return await did_of(ask, did)


AskedDep = Annotated[Asked, Depends(asked_of)]
NamedAccount = Annotated[str, Depends(named_account)]
"""The DID of the account that an address names, by it or by its handle."""


@dataclass(frozen=True)
class Show:
    """Shows a screen with the handles of the accounts that it names, and entries of the audit in words."""

    ask: OperatorAsk
    render: RenderDep

    async def __call__(self, template: str, *, audit: Sequence[Json] = (), **values: Any) -> Response:
        trouble = (await self.ask(read_trouble))["sentence"]
        # entries have as much as their accounts have written: in a thread they keep no other request waiting
        told = await in_thread(lambda: [entry(row) for row in audit])
        handles = await handles_of(self.ask, _dids_in([told, values]))
        shown: dict[str, Any] = {"handles": handles, "audit": told, "trouble": trouble, **values}
        return await in_thread(lambda: self.render(template, **shown))


ShowDep = Annotated[Show, Depends()]


def _dids_in(value: object, depth: int = MOST_NESTED) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple) and depth:
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _dids_in(each, depth - 1)


def of_its_pds(words: str) -> str:
    """Tell an operator what is told the owner of a PDS."""
    return words.replace("your", "its")


RECORDS: Final[Mapping[Any, str]] = {state: words.label for state, words in WORDS.records.items()}
AUDIO_REFUSED: Final = "Record delivered, its audio refused"
WAITS: Final[Mapping[str, MirrorReason | LaneState]] = {
    each.value: each for each in (*LaneState, *MirrorReason)
}
"""Why a lane or a record waits: each says what it is."""


@dataclass(frozen=True)
class RecordWords:
    """`next` says when it is tried again where no time is known; `advice` is what an operator does, where it waits for more than the relay."""

    tone: str
    label: str
    why: str
    advice: str | None
    next: str


def record_words(mirror: Json, *, is_audio_refused: bool = False) -> RecordWords:
    """Return the words for `state` and `reason`, as the API answers them for a record."""
    state, reason = MirrorState(mirror["state"]), mirror["reason"]
    words = WORDS.records[state]
    if is_audio_refused and state is MirrorState.DELIVERED:
        phrase = f"{state.phrase}; {AudioCopyState.FAILED.phrase}"
        return RecordWords(Mark.AUDIO_REFUSED.tone, AUDIO_REFUSED, phrase, words.advice, words.next)
    why = state.phrase
    if reason in WAITS:
        why = WAITS[reason].phrase
    elif reason is not None and state is MirrorState.PENDING:
        why = f"the PDS answered {reason}; the relay tries again"
    elif reason is not None:
        why = f"{why}: {reason}"
    advice = None if state in {MirrorState.DELIVERED, MirrorState.PENDING} else about_wait(mirror)
    return RecordWords(mark_of(state, reason).tone, words.label, why, advice, words.next)


def rows_in_words(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the words to each of the API's undelivered records; one that is delivered is there for its audio."""
    return [{**each, "words": record_words(each, is_audio_refused=True)} for each in records]


ABOUT_KIND: Final[Mapping[Any, str]] = {
    **WORDS.causes,
    **{kind: BY_REASON[state].advice for kind, (state, _) in PARKING.items()},
}
"""What an operator does about a cause, by its `kind`."""
OUR_FAULT: Final = (
    "Nothing was sent, and the fault is here: if it does not pass within minutes, run `mastertape doctor`."
)
NONE_WAITS: Final = "Nothing: no record waits for it any more."


def about_cause(cause: Json) -> str:
    if (cause["phase"], cause["kind"]) == ("upload", VerdictKind.REJECTED):
        return WORDS.records[MirrorState.DELIVERED].advice
    if not cause["records"] and cause["kind"] not in PARKING:
        return NONE_WAITS
    if cause["error"] in OUR_ERRORS:
        return OUR_FAULT
    return ABOUT_KIND.get(cause["kind"], WORDS.records[MirrorState.PENDING].advice)


def about_wait(wait: Json) -> str:
    """Say what an operator does about a record, or about all that wait or fail for one reason."""
    lane = BY_REASON.get(wait["reason"]) if wait["state"] == MirrorState.PARKED else None
    return lane.advice if lane is not None else WORDS.records[wait["state"]].advice


def who_is_hit(cause: Json) -> Mapping[str, str]:
    """Return what selects those whose records wait: a cause that parks stops accounts, and names no record."""
    if cause["kind"] not in PARKING:
        return {"cause": cause["id"]}
    return {"state": MirrorState.PARKED, "reason": PARKING[cause["kind"]][0], "host": cause["host"]}


def message_to_artists(which: Mapping[str, str], cause: Json | None) -> str:
    """Return what those who are hit can be told, in the words of their own pages."""
    state, reason = which.get("state"), which.get("reason", "the page of each track says why")
    if state is None:
        state, reason = MirrorState.PENDING, MirrorReason.BACKOFF
    if cause is not None and cause["kind"] in PARKING:
        state, reason = MirrorState.PARKED, PARKING[cause["kind"]][0]
    elif cause is not None and cause["kind"] == VerdictKind.REJECTED:
        state, reason = MirrorState.REJECTED, cause["error"]
    elif state == MirrorState.DELIVERED:
        state, reason = MirrorState.REJECTED, "its audio"
    return shown({"state": state, "reason": reason}).reason


def about_host(host: Json) -> str:
    if host["paused"]:
        return BY_REASON[MirrorReason.PAUSED].advice
    if host["failing_since"] is None:
        return _about_doubts(host["refuted_writes"]) if host["refuted_writes"] else "Nothing: it works."
    if not host["waiting"]:
        return NONE_WAITS
    return ABOUT_KIND[VerdictKind.NOT_SENT]


def _about_doubts(writes: int) -> str:
    return (
        f"It acknowledged {writes:,} write{' that is' if writes == 1 else 's that are'} not there: ask its operator whether "
        "it was restored from a backup. What it acknowledges is read back at once; to trust it again, pause and resume it."
    )


OPERATOR_ACTED: Final = "OperatorActed"
SUBJECTS: Final = (
    *(f"{kind.word}_id" for kind in KINDS),
    *("repair", "job", "cause", "error", "record", "did", "host"),
)
"""What an operator acts on, as the filter of its event names it."""
_REASONS: Final = frozenset({"reason", "takedown_reason"})
_THE_SERVICE: Final = frozenset({"relay", "job"})
_MOST_CHARACTERS: Final = 160
"""Of a value in the details."""


class Entry(NamedTuple):
    """An entry as a page tells it: who did what, and `about` what; `details` are the event itself, a line for each field that it changed."""

    at: str
    actor: str
    sentence: str
    about: Json
    result: str | None
    why: str | None
    details: str


def entry(row: Json) -> Entry:
    sentence, about, result = _act(row) if row["type"] == OPERATOR_ACTED else _change(row)
    facts = (row["type"], f"event {row['position']}", f"request {row['request_id']}", way_of(row["via"]))
    changed = [
        f"{each['field']}: {_in_a_line(each['before'])} → {_in_a_line(each['after'])}"
        for each in row["changes"]
        if not _is_reason(each)
    ]
    return Entry(
        at=row["at"],
        actor="mastertape" if row["via"].partition(":")[0] in _THE_SERVICE else row["actor"],
        sentence=sentence,
        about={name: value for name, value in about.items() if value is not None},
        result=result,
        why=next((each["after"] for each in row["changes"] if _is_reason(each)), None),
        details="\n".join([", ".join(filter(None, facts)), *changed]),
    )


_Told = tuple[str, Json, str | None]


def _act(row: Json) -> _Told:
    after = {each["field"]: each["after"] for each in row["changes"]}
    action, affected, which = str(after.get("action")), after.get("affected"), after.get("filter")
    sentence, *what = WORDS.operator_actions.get(action, [action.replace("_", " ")])
    about = {name: which.get(name) for name in SUBJECTS} if isinstance(which, Mapping) else {}
    if about.get("did") is not None:
        about["host"] = None
    if not what or affected is None:
        return sentence, about, None
    return sentence, about, counted(affected, what[0])


def _change(row: Json) -> _Told:
    sentence = WORDS.account_events.get(row["type"]) or sentence_of(row)
    about = {"track_id": row["track_id"], "did": row["did"] if row["actor"] != row["did"] else None}
    if row["track_id"] is None and row["subject_id"] is not None:
        about = {"record": f"{row['kind']} {row['subject_id']}", **about}
    return f"{sentence}:" if any(about.values()) else sentence, about, None


def _in_a_line(value: object) -> str:
    return "nothing" if value is None else shortened(" ".join(str(value).split()), _MOST_CHARACTERS)


def _is_reason(change: Json) -> bool:
    return change["field"] in _REASONS and change["after"] is not None
