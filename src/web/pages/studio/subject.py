"""A track, a list or another record, and what its owner does with it: its mark, the edit form, files, and a button for each command."""

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from operator import itemgetter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Response
from fastapi.responses import RedirectResponse

from api.pipeline.past import AsOf
from api.readers.records import titles_at
from api.requests.fields import TEXT_BYTES
from api.requests.parameters import Id
from api.responses.mirror import ShownKind
from api.routers.records.history import HistoryQuery, history_page
from api.routers.records.mirrors import read_lane, read_mirror
from identity.accounts.credentials import Principal
from web.ask import (
    MAX_FORM_BYTES,
    Answer,
    ApiDep,
    Ask,
    FormDep,
    Json,
    OwnAsk,
    PageRoute,
    Reader,
    RefusedError,
    wanted,
)
from web.history_words import Titles, kept_here, last_edit, moments, uris_in
from web.rendering import RenderDep
from web.state_words import Mark
from web.too_large import oversize
from web.whereabouts import what_saving_does, where_is

Values = Mapping[str, str]
Fields = Mapping[str, tuple[Callable[[Any], str], Callable[[str], Any]]]
"""How each field becomes a text of the form, and that the JSON that the API takes."""


def text_or_none(value: str | None) -> str:
    return value or ""


FLAG: Final = (lambda value: "true" if value else "", lambda text: text == "true")


@dataclass(frozen=True, kw_only=True)
class StudioKind:
    """A kind of record in the studio. Its pages lie below /studio as its routes do below /."""

    shown: ShownKind[Any]
    home: str
    home_label: str
    """Where all of them are listed."""
    template: str = "studio/plain.html"
    fields: Fields = field(default_factory=dict)
    """None of a kind that is edited elsewhere."""
    form: Json = field(default_factory=dict)
    """What its form shows beside them: limits, choices."""
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """The command for each file of a form."""
    read: Callable[[Ask[Principal], int], Awaitable[Json]]
    """Reads one of the viewer's own, a deleted one too."""
    read_past: Reader[Principal, [int, AsOf]] | None = None
    """None of a kind that has no versions to compare."""
    about: Callable[[Json], str]
    """Says in a line what stands below its title."""
    public: Callable[[Json], str] = itemgetter("public")
    """Returns the address of its public page."""
    query: str = ""
    """Of a change of it or its end."""
    without_record: str = ""
    """Why a live one has no record."""
    beside: Callable[[Ask[Principal], Json, str], Awaitable[Json]] | None = None
    """Reads what its page shows beside it, given what a person looks for."""
    notes: Mapping[str, str] = field(init=False)
    """What the form says under a field that no record has."""

    def __post_init__(self) -> None:
        notes = {name: kept_here([name], self.shown) for name in self.shown.kept_here}
        object.__setattr__(self, "notes", notes)

    @property
    def path(self) -> str:
        return f"/studio{self.shown.path}"

    def address(self, subject_id: int) -> str:
        return f"/studio{self.shown.route(subject_id)}"

    def named(self, body: Json) -> dict[str, Any]:
        """Add to a body what each page shows of it."""
        title = body["title"] if "title" in body else body["name"]
        return {
            **body,
            "title": title,
            "about": self.about(body),
            "word": self.shown.called,
            "here": self.address(body["id"]),
            "home": self.home,
            "home_label": self.home_label,
            "public": self.public(body),
            "has_versions": self.read_past is not None,
            "is_taken_down": body.get("taken_down_at") is not None,
        }

    async def of(self, ask: Ask[Principal], subject_id: int) -> dict[str, Any]:
        """Return the viewer's own, with where it is, and the mark of the whole."""
        body = await self.read(ask, subject_id)
        mirror = await ask(read_mirror, self.shown, subject_id)
        where = where_is(body, mirror, self.without_record)
        return {**self.named(body), "mirror": mirror, "where": where, "mark": where.whole}

    async def then(self, ask: Ask[Principal], subject_id: int, version: int | str) -> dict[str, Any]:
        """Return it as it was after the event of a version, if it has versions."""
        assert self.read_past is not None  # noqa: S101 - else no route leads here
        return self.named(await ask(self.read_past, subject_id, wanted(AsOf, version=version)))

    def texts_of(self, subject: Json) -> dict[str, str]:
        return {name: text(subject[name]) for name, (text, _) in self.fields.items()}

    def changes(self, typed: Values, before: Values) -> dict[str, Any]:
        return {name: self.fields[name][1](text) for name, text in typed.items() if text != before[name]}


async def titled(ask: Ask[Principal], values: Iterable[Json]) -> Titles:
    """Return the titles of the tracks that are named in changes, or in values of fields."""
    uris = uris_in(values)
    return (await ask(titles_at, uris))["titles"] if uris else {}


NOT_THEIRS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
Problem = Json
"""What the API says of a refusal; `field` is empty where it belongs to no field."""


def problem_of(refused: RefusedError, raised: Container[int] = NOT_THEIRS) -> Problem:
    """Return what to show of a refusal; raises one of these statuses."""
    if refused.status in raised:
        raise refused
    problem = {"field": "", "track_id": None, "album_id": None, **refused.answer.problem}
    return {**problem, "field": problem["field"].partition(".")[0]}


def with_excess(problem: Problem, typed: Values) -> Problem:
    """Say also by how much a text is too long."""
    field = problem["field"]
    over = len(typed.get(field, "").encode()) - TEXT_BYTES.get(field, MAX_FORM_BYTES)
    return {**problem, "limit": f"{problem['limit']}: {over:,} too many"} if over > 0 else problem


def merged(typed: Values, before: Values, now: Values) -> tuple[Values, Values]:
    """Return what was typed, over what is there now, and the present text of the fields that both changed."""
    mine = {name: text for name, text in typed.items() if text != before[name]}
    overtaken = {
        name: now[name] for name, text in mine.items() if now[name] != before[name] and now[name] != text
    }
    return {**now, **mine}, overtaken


LATEST: Final = 8
READ: Final = 30
"""How many events are read, to tell what undid which."""


class SubjectPage:
    """Shows the page of a subject, as it is or with what a form could not do, and sends the forms' commands."""

    def __init__(self, ask: OwnAsk, render: RenderDep, api: ApiDep) -> None:
        self.ask: Final = ask
        self.render: Final = render
        self._api: Final = api

    async def show(
        self, kind: StudioKind, subject_id: int, status: int = HTTPStatus.OK, find: str = "", **told: Any
    ) -> Response:
        """Show what is `done` or a `problem`, and a form with other `values` than the subject has, some `overtaken`."""
        ask, subject = self.ask, await kind.of(self.ask, subject_id)
        mark, mirror = subject["mark"].mark, subject["mirror"]
        history = await ask(history_page, kind.shown, subject_id, HistoryQuery(limit=READ))
        rows, lane = history["items"], await ask(read_lane)
        titles = await titled(ask, (each for row in rows for each in row["changes"]))
        last = last_edit(rows, subject["version"], kind.shown)
        saving = "" if mark is Mark.HERE else what_saving_does(mirror, lane["reason"])
        return self.render(
            kind.template,
            status,
            subject=subject,
            **{"values": kind.texts_of(subject), "overtaken": {}, "problem": None, "done": "", **told},
            moments=moments(rows, ask.caller.did, kind.shown, titles)[:LATEST],
            last_edit=last,
            since=mirror["last_success_at"] if mark is Mark.ON_PDS else None,
            too_large=await oversize(ask, kind.shown, subject),
            what_saving_does=saving,
            notes=kind.notes,
            has_older=len(rows) > LATEST,
            **kind.form,
            **(await kind.beside(ask, subject, find) if kind.beside is not None else {}),
        )

    async def send(
        self,
        kind: StudioKind,
        subject_id: int,
        command: tuple[str, str],
        fields: Json | None = None,
        **conditions: Any,
    ) -> Answer:
        """Send a command, a method and the end of the route; raises RefusedError."""
        method, end = command
        path = f"{kind.shown.route(subject_id)}{end or kind.query}"
        return await self._api.send(method, path, fields, **conditions)

    async def pass_on(self, kind: StudioKind, subject_id: int, command: tuple[str, str], key: str) -> Answer:
        method, end = command
        path = f"{kind.shown.route(subject_id)}{end}"
        return await self._api.pass_on(method, path, key=key)

    async def after(
        self, kind: StudioKind, subject_id: int, sent: Awaitable[Answer], done: str, at: str = ""
    ) -> Response:
        """Lead back to the subject once a command was sent, `at` a place of its page, or show why it was refused."""
        try:
            await sent
        except RefusedError as refused:
            return await self.show(kind, subject_id, refused.status, problem=problem_of(refused))
        return to_subject(kind, subject_id, done, at)

    async def save(self, kind: StudioKind, subject_id: int, form: Values) -> Response:
        """Send what a person changed, and nothing else.

        An edit of an older version keeps what was typed, and takes over what others changed in other fields.
        """
        version, now = form.get("version", ""), await kind.of(self.ask, subject_id)
        is_newest = version == str(now["version"])
        before = kind.texts_of(now if is_newest else await kind.then(self.ask, subject_id, version))
        # a browser ends its lines with CR LF
        typed = {name: form.get(name, "").replace("\r\n", "\n") for name in kind.fields}
        changed = kind.changes(typed, before)
        if not changed:
            return to_subject(kind, subject_id, "unchanged")
        conditions = {"version": version, "key": form.get("key")}
        try:
            await self.send(kind, subject_id, ("PATCH", ""), changed, **conditions)
        except RefusedError as refused:
            problem, status = problem_of(refused), refused.status
        else:
            return to_subject(kind, subject_id, "saved")
        if status != HTTPStatus.PRECONDITION_FAILED:
            told = with_excess(problem, typed)
            return await self.show(kind, subject_id, status, values=typed, problem=told)
        values, overtaken = merged(typed, before, kind.texts_of(await kind.of(self.ask, subject_id)))
        status = HTTPStatus.CONFLICT
        return await self.show(kind, subject_id, status, values=values, overtaken=overtaken, problem=problem)


Page = Annotated[SubjectPage, Depends(SubjectPage)]


def to_subject(kind: StudioKind, subject_id: int, done: str, at: str = "") -> Response:
    said = f"?done={done}" if done else ""
    return RedirectResponse(f"{kind.address(subject_id)}{said}{at}", HTTPStatus.SEE_OTHER)


ACTIONS: Final[Mapping[str, tuple[tuple[str, str], Json | None, str]]] = {
    "delete": (("DELETE", ""), None, "deleted"),
    "undelete": (("POST", "/undelete"), None, "undeleted"),
    "remove-cover": (("PATCH", ""), {"remove_image": True}, "cover-removed"),
    "comments-on": (("PATCH", ""), {"comments": True}, "saved"),
    "comments-off": (("PATCH", ""), {"comments": False}, "saved"),
    "comments-as-all": (("PATCH", ""), {"comments": ""}, "saved"),
    "retry": (("POST", "/mirror/retry"), None, "retried"),
    "restore": (("POST", "/restore-record"), None, "restored"),
    "move": (("POST", "/migrate-namespace"), None, "moved"),
    "copy": (("POST", "/migrate-to-pds"), None, "copying"),
}
"""The command of each button, its fields, and what the page says afterwards."""


def routes(kind: StudioKind) -> APIRouter:
    router = APIRouter(prefix=kind.path, route_class=PageRoute, include_in_schema=False)
    in_path = kind.shown.in_path

    @router.get("")
    async def show(
        subject_id: Annotated[Id, in_path], page: Page, done: str = "", find: str = ""
    ) -> Response:
        return await page.show(kind, subject_id, done=done, find=find.strip())

    @router.post("/do/{action}")
    async def act(subject_id: Annotated[Id, in_path], action: str, form: FormDep, page: Page) -> Response:
        if action not in ACTIONS:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        command, fields, done = ACTIONS[action]
        sent = page.send(kind, subject_id, command, fields, key=form.get("key"))
        return await page.after(kind, subject_id, sent, done)

    if not kind.fields:
        return router

    @router.post("")
    async def save(subject_id: Annotated[Id, in_path], form: FormDep, page: Page) -> Response:
        return await page.save(kind, subject_id, form)

    @router.post("/files/{name}")
    async def send_file(subject_id: Annotated[Id, in_path], name: str, page: Page, key: str = "") -> Response:
        """Pass the file on as it comes; what it is for stands in the address, since a form with a file has no headers."""
        if name not in kind.files:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return await page.after(kind, subject_id, page.pass_on(kind, subject_id, kind.files[name], key), name)

    return router
