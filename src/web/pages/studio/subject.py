"""A track, a list or another record, and what its owner does with it: its mark, the edit form, files, and a button for each command."""

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from operator import itemgetter
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Response

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
    Api,
    ApiDep,
    Ask,
    FormDep,
    Json,
    OwnAsk,
    Reader,
    RefusedError,
    wanted,
)
from web.history_words import Titles, kept_here, last_edit, moments, uris_in
from web.page import pages, to
from web.rendering import Render, RenderDep
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

    def address(self, subject_id: int, done: str = "") -> str:
        said = f"?done={done}" if done else ""
        return f"/studio{self.shown.route(subject_id)}{said}"

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


@dataclass(frozen=True)
class SubjectPage:
    """Shows the page of one subject, as it is or with what a form could not do, and sends the forms' commands."""

    kind: StudioKind
    subject_id: int
    ask: Ask[Principal]
    render: Render
    api: Api

    async def read(self) -> dict[str, Any]:
        """Return it with where it is, and the mark of the whole."""
        kind = self.kind
        body = await kind.read(self.ask, self.subject_id)
        mirror = await self.ask(read_mirror, kind.shown, self.subject_id)
        where = where_is(body, mirror, kind.without_record)
        return {**kind.named(body), "mirror": mirror, "where": where, "mark": where.whole}

    async def show(self, status: int = HTTPStatus.OK, find: str = "", **told: Any) -> Response:
        """Show what is `done` or a `problem`, and a form with other `values` than the subject has, some `overtaken`."""
        ask, kind, subject = self.ask, self.kind, await self.read()
        mark, mirror = subject["mark"].mark, subject["mirror"]
        history = await ask(history_page, kind.shown, self.subject_id, HistoryQuery(limit=READ))
        rows, lane = history["items"], await ask(read_lane)
        titles = await titled(ask, (each for row in rows for each in row["changes"]))
        saving = "" if mark is Mark.HERE else what_saving_does(mirror, lane["reason"])
        return self.render(
            kind.template,
            status,
            subject=subject,
            **{"values": kind.texts_of(subject), "overtaken": {}, "problem": None, "done": "", **told},
            moments=moments(rows, ask.caller.did, kind.shown, titles)[:LATEST],
            last_edit=last_edit(rows, subject["version"], kind.shown),
            since=mirror["last_success_at"] if mark is Mark.ON_PDS else None,
            too_large=await oversize(ask, kind.shown, subject),
            what_saving_does=saving,
            notes=kind.notes,
            has_older=len(rows) > LATEST,
            **(await kind.beside(ask, subject, find) if kind.beside is not None else {}),
        )

    async def send(self, command: tuple[str, str], fields: Json | None = None, **conditions: Any) -> Answer:
        """Send a command, a method and the end of the route; raises RefusedError."""
        method, end = command
        return await self.api.send(method, f"{self._route}{end or self.kind.query}", fields, **conditions)

    async def pass_on(self, command: tuple[str, str], key: str) -> Answer:
        method, end = command
        return await self.api.pass_on(method, f"{self._route}{end}", key=key)

    @property
    def _route(self) -> str:
        return self.kind.shown.route(self.subject_id)

    def back(self, done: str, at: str = "") -> Response:
        """Lead to the page, `at` a place of it, which says what is `done`."""
        return to(self.kind.address(self.subject_id, done) + at)

    async def after(self, sent: Awaitable[Answer], done: str, at: str = "") -> Response:
        """Lead back once a command was sent, or show why it was refused."""
        try:
            await sent
        except RefusedError as refused:
            return await self.show(refused.status, problem=problem_of(refused))
        return self.back(done, at)

    async def save(self, form: Values) -> Response:
        """Send what a person changed, and nothing else.

        An edit of an older version keeps what was typed, and takes over what others changed in other fields.
        """
        kind, version, now = self.kind, form.get("version", ""), await self.read()
        is_newest = version == str(now["version"])
        before = kind.texts_of(now if is_newest else await kind.then(self.ask, self.subject_id, version))
        typed = {name: form.get(name, "") for name in kind.fields}
        changed = kind.changes(typed, before)
        if not changed:
            return self.back("unchanged")
        try:
            await self.send(("PATCH", ""), changed, version=version, key=form.get("key"))
        except RefusedError as refused:
            problem, status = problem_of(refused), refused.status
        else:
            return self.back("saved")
        if status != HTTPStatus.PRECONDITION_FAILED:
            return await self.show(status, values=typed, problem=with_excess(problem, typed))
        values, overtaken = merged(typed, before, kind.texts_of(await self.read()))
        return await self.show(HTTPStatus.CONFLICT, values=values, overtaken=overtaken, problem=problem)


def page_of(kind: StudioKind) -> Any:
    async def page(
        subject_id: Annotated[Id, kind.shown.in_path], ask: OwnAsk, render: RenderDep, api: ApiDep
    ) -> SubjectPage:
        return SubjectPage(kind, subject_id, ask, render, api)

    return Depends(page)


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
    router, page_here = pages(kind.path), page_of(kind)

    @router.get("")
    async def show(page: Annotated[SubjectPage, page_here], done: str = "", find: str = "") -> Response:
        return await page.show(done=done, find=find.strip())

    @router.post("/do/{action}")
    async def act(page: Annotated[SubjectPage, page_here], action: str, form: FormDep) -> Response:
        if action not in ACTIONS:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        command, fields, done = ACTIONS[action]
        return await page.after(page.send(command, fields, key=form.get("key")), done)

    if not kind.fields:
        return router

    @router.post("")
    async def save(page: Annotated[SubjectPage, page_here], form: FormDep) -> Response:
        return await page.save(form)

    @router.post("/files/{name}")
    async def send_file(page: Annotated[SubjectPage, page_here], name: str, key: str = "") -> Response:
        """Pass the file on as it comes; what it is for stands in the address, since a form with a file has no headers."""
        if name not in kind.files:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return await page.after(page.pass_on(kind.files[name], key), name)

    return router
