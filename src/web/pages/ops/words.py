"""How the console names accounts, and tells an entry of the audit as a sentence: who did what, to whom, with which result, and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Depends, Request, Response
from markupsafe import Markup, escape

from api.routers.tracks import Wanted, list_artists, read_artist
from identity.accounts.credentials import Principal
from identity.errors import INVALID_HANDLE
from web.ask import Ask, OperatorAsk
from web.history_words import sentence_of, way_of
from web.rendering import RenderDep

MOST: Final = 100
"""How many artists the API returns at once: as many as a page has rows."""
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
    dids = list(dict.fromkeys(name for name in names if name is not None and name.startswith(DID)))[:MOST]
    if not dids:
        return {}
    found = await ask(list_artists, Wanted(did=dids))
    return {each["did"]: each["handle"] for each in found["items"] if each["handle"] != INVALID_HANDLE}


class Asked(dict[str, str]):
    """What the address of a screen asks for; empty texts for all else."""

    def __missing__(self, _name: str) -> str:
        return ""


async def asked_for(request: Request) -> Asked:
    return Asked(request.query_params)


AskedDep = Annotated[Asked, Depends(asked_for)]


class Show:
    """Shows a screen with the handles of the accounts that it names, and entries of the audit in words."""

    def __init__(self, ask: OperatorAsk, render: RenderDep) -> None:
        self._ask, self._render = ask, render

    async def __call__(
        self, template: str, *, audit: Sequence[Mapping[str, Any]] = (), **values: Any
    ) -> Response:
        handles = await handles_of(self._ask, _dids_in([audit, values]))
        return self._render(template, handles=handles, audit=entries(audit, handles), **values)


ShowDep = Annotated[Show, Depends()]


def _dids_in(value: object, depth: int = MOST_NESTED) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple) and depth:
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _dids_in(each, depth - 1)


OPERATOR_ACTED: Final = "OperatorActed"
OPERATOR_ACTIONS: Final[Mapping[str, tuple[str, str | None]]] = {
    "pause": ("paused", "account"),
    "resume": ("resumed", "account"),
    "retry": ("had tried again at once what waits for", "account"),
    "probe": ("had the relay look for", "account"),
    "redrive": ("had tried again what failed of", "record"),
    "takedown": ("took down", None),
    "lift_takedown": ("lifted the takedown of", None),
    "plan_repair": ("started", None),
    "apply_repair": ("applied the plan of", "record"),
    "cancel_repair": ("cancelled", None),
    "retry_job": ("had tried again", None),
    "end_tokens": ("ended sessions and tokens of", "credential"),
    "recovered": ("recovered the service after a restore of its database", "account"),
}
"""By action: what it did, and what it counted."""
OF_ACCOUNT: Final[Mapping[str, str]] = {
    "Opened": "is in the log from here on",
    "SignedIn": "signed in",
    "SignedOut": "signed out",
    "Disconnected": "took back the access to the PDS",
    "TokenIssued": "made a token for a program",
    "TokenRevoked": "ended a token of a program",
    "ProfileUpdated": "changed the profile",
    "LeaveRequested": "asked to have all records removed, and to leave",
    "Left": "has left: nothing is left on the PDS but what the details name",
}
_REASONS: Final = frozenset({"reason", "takedown_reason"})
_THE_SERVICE: Final = frozenset({"relay", "job"})
_MOST_CHARACTERS: Final = 160
"""Of a value in the details."""


@dataclass(frozen=True)
class Named:
    """What a sentence names: how it is shown, where it leads, and its DID if its handle is shown. Templates show it as a link."""

    text: str
    address: str | None = None
    did: str | None = None

    def __html__(self) -> Markup:
        if self.address is None:
            return escape(self.text)
        return Markup(f'<a href="{escape(self.address)}">{escape(self.text)}</a>')  # noqa: S704 - both are escaped


@dataclass(frozen=True)
class Entry:
    """An entry as a page tells it; `details` are the event itself, a line for each field that it changed."""

    at: str
    actor: Named
    sentence: str
    subjects: Sequence[Named]
    result: str | None
    why: str | None
    details: str

    @property
    def dids(self) -> str:
        """The DIDs of those whose handles are shown."""
        return ", ".join({named.did: None for named in (self.actor, *self.subjects) if named.did})


def entries(rows: Iterable[Mapping[str, Any]], handles: Mapping[str, str]) -> list[Entry]:
    """Return entries of the audit, or of a track's history, in words."""
    return [_entry(row, handles) for row in rows]


def pause_of_host(rows: Iterable[Mapping[str, Any]], host: str) -> list[Mapping[str, Any]]:
    """Return the entry by which this paused host was paused, where it is among these, which are newest first."""
    return [row for row in rows if (_after(row, "action"), _filter(row).get("host")) == ("pause", host)][:1]


def named_account(did: str, handles: Mapping[str, str]) -> Named:
    if not did.startswith(DID):
        return Named(did)
    address = f"/ops/accounts/{did}"
    return Named(f"@{handles[did]}", address, did) if did in handles else Named(did, address)


def _entry(row: Mapping[str, Any], handles: Mapping[str, str]) -> Entry:
    if row["type"] == OPERATOR_ACTED:
        sentence, subjects, result = _act(row, handles)
    else:
        sentence, subjects, result = OF_ACCOUNT.get(row["type"]) or sentence_of(row), [], None
        if "did" in row:  # not in a track's own history
            if row["track_id"] is not None:
                subjects.append(_track(row["track_id"]))
            elif row["subject_id"] is not None:
                subjects.append(Named(f"{row['kind']} {row['subject_id']}"))
            if row["actor"] != row["did"]:
                subjects.append(named_account(row["did"], handles))
        sentence = f"{sentence}:" if subjects else sentence
    return Entry(
        at=row["at"],
        actor=_actor(row, handles),
        sentence=sentence,
        subjects=subjects,
        result=result,
        why=next((each["after"] for each in row["changes"] if _is_reason(each)), None),
        details="\n".join(_details(row)),
    )


def _details(row: Mapping[str, Any]) -> Iterable[str]:
    """Yield the lines of an event; its reason stands elsewhere."""
    facts = (row["type"], f"event {row['position']}", f"request {row['request_id']}", way_of(row["via"]))
    yield ", ".join(filter(None, facts))
    for each in row["changes"]:
        if not _is_reason(each):
            yield f"{each['field']}: {_shortened(each['before'])} → {_shortened(each['after'])}"


def _shortened(value: object) -> str:
    text = "nothing" if value is None else " ".join(str(value).split())  # in one line: each line is a field
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _is_reason(change: Mapping[str, Any]) -> bool:
    return change["field"] in _REASONS and change["after"] is not None


def _actor(row: Mapping[str, Any], handles: Mapping[str, str]) -> Named:
    if row["via"].partition(":")[0] in _THE_SERVICE:
        return Named("mastertape")
    return named_account(row["actor"], handles)


def _track(track_id: int) -> Named:
    return Named(f"track {track_id}", f"/ops/tracks/{track_id}")


def _act(row: Mapping[str, Any], handles: Mapping[str, str]) -> tuple[str, list[Named], str | None]:
    action, affected = str(_after(row, "action")), _after(row, "affected")
    sentence, counted = OPERATOR_ACTIONS.get(action, (action.replace("_", " "), None))
    result = None
    if counted is not None and affected is not None:
        result = f"{affected:,} {counted}{'' if affected == 1 else 's'}"
    return sentence, list(_subjects(_filter(row), handles)), result


def _subjects(which: Mapping[str, Any], handles: Mapping[str, str]) -> Iterable[Named]:
    if (track_id := which.get("track_id")) is not None:
        yield _track(track_id)
    if (repair := which.get("repair")) is not None:
        yield Named(f"repair {repair}", f"/ops/repairs/{repair}")
    if (job := which.get("job")) is not None:
        yield Named(f"the job {job}", "/ops/jobs")
    if (cause := which.get("cause")) is not None:
        yield Named("one cause", f"/ops/failures/{quote(str(cause), safe='')}")
    if (error := which.get("error")) is not None:
        yield Named(f"the error {error}")
    if (did := which.get("did")) is not None:
        yield named_account(str(did), handles)
    elif (host := which.get("host")) is not None:
        yield Named(str(host), f"/ops/lanes?host={quote(str(host), safe='')}")


def _filter(row: Mapping[str, Any]) -> Mapping[str, Any]:
    found = _after(row, "filter")
    return found if isinstance(found, Mapping) else {}


def _after(row: Mapping[str, Any], field: str) -> Any:
    return next((each["after"] for each in row["changes"] if each["field"] == field), None)
