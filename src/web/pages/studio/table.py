"""Fields of many tracks in a table: one save, which changes all that was typed or nothing, and one undo of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Query, Response

from api.errors import UnparsableError
from api.requests.parameters import MAX_PAGE_LENGTH, number_of
from api.routers.tracks.tracks import MyListing, list_my_tracks
from identity.accounts.credentials import Principal
from web.ask import Api, Ask, Form, FormDep, Json, RefusedError
from web.page import Ids, Own, OwnPage, pages, to
from web.pages.studio.my_tracks import PAGE, selected
from web.pages.studio.subject import Problem, Values, merged, problem_of
from web.pages.studio.track import FIELDS, TRACK

router = pages()

COLUMNS: Final = ("title", "album", "tags", "unlisted", "downloads")
FOR_ALL: Final = "all"
"""Stands for the id in the names of the fields that are typed once for all rows."""


@dataclass
class Row:
    """A track, with what a person typed or would see of it as of a version; `problem` is why it was refused."""

    track: Json
    version: int
    values: Values
    overtaken: Values = field(default_factory=dict)
    problem: Problem | None = None

    async def changes(self, ask: Ask[Principal]) -> dict[str, Any]:
        """Return what was typed since the version, as the API takes it."""
        return TRACK.changes(self.values, await self._before(ask))

    async def refuse(self, ask: Ask[Principal], problem: Problem) -> None:
        """Keep what was typed, over what others have saved meanwhile."""
        self.problem = problem
        if problem["error"] == "version_mismatch":
            before, now = await self._before(ask), _texts(self.track)
            self.values, self.overtaken = merged(self.values, before, now)
            self.version = self.track["version"]

    async def _before(self, ask: Ask[Principal]) -> Values:
        is_newest = self.version == self.track["version"]
        return _texts(self.track if is_newest else await TRACK.then(ask, self.track["id"], self.version))


@router.get("/studio/table")
async def show_table(
    page: Own, ids: Ids, saved: Annotated[list[str], Query(default_factory=list)], undone: int = 0
) -> Response:
    """The selected tracks, or the newest; `saved` names those that were changed just now."""
    return _show(page, await _rows(page.ask, ids), saved=saved, undone=undone)


@router.post("/studio/table")
async def save(page: Own, form: FormDep) -> Response:
    """Change what was typed, in all rows or in none; a row that is refused says why, and keeps what was typed."""
    ask, ids = page.ask, [number for each in form.getlist("id") if (number := number_of(each))]
    rows = await _rows(ask, ids)
    for row in rows:
        track_id = row.track["id"]
        row.version = form.number(f"version-{track_id}") or row.version
        row.values = {
            name: form.get(f"{name}-{FOR_ALL}") or form.get(f"{name}-{track_id}", "") for name in COLUMNS
        }
    changed = [(row, fields) for row in rows if (fields := await row.changes(ask))]
    try:
        now = await _send(page.api, form, {row.track["id"]: (row.version, fields) for row, fields in changed})
    except RefusedError as refused:
        return await _refused(page, rows, refused)
    saved = [f"{row.track['id']}.{row.version}.{now[row.track['id']]}" for row, _ in changed]
    return _to_table(rows, saved=saved)


@router.post("/studio/table/undo")
async def undo(page: Own, form: FormDep) -> Response:
    """Give the fields that a save changed their earlier values, in all of its tracks or in none."""
    ask, saved = page.ask, [_saved(each) for each in form.getlist("saved")[:MAX_PAGE_LENGTH]]
    changes = {}
    for track_id, before, after in saved:
        then, since = [_texts(await TRACK.then(ask, track_id, version)) for version in (before, after)]
        changes[track_id] = after, TRACK.changes(then, since)
    rows = await _rows(ask, list(changes))
    try:
        await _send(page.api, form, changes)
    except RefusedError as refused:
        return await _refused(page, rows, refused)
    return _to_table(rows, undone=len(changes))


def _saved(text: str) -> tuple[int, int, int]:
    """Return a track, its version before a save, and that after it; raises UnparsableError."""
    match [number_of(part) for part in text.split(".")]:
        case [int(track_id), int(before), int(after)]:
            return track_id, before, after
    raise UnparsableError("The form cannot be read. Nothing was changed.")


async def _send(api: Api, form: Form, changes: Mapping[int, tuple[int, Json]]) -> Mapping[int, int]:
    """Send the fields of tracks that change, each decided on a version of it; returns their new versions. Raises RefusedError."""
    if not changes:
        return {}
    edits = [{"id": each, "version": version, **fields} for each, (version, fields) in changes.items()]
    answer = await api.send("PATCH", "/tracks", {"edits": edits}, key=form.get("key"))
    return {each["id"]: each["version"] for each in answer.body["tracks"]}


async def _refused(page: OwnPage, rows: Sequence[Row], refused: RefusedError) -> Response:
    problem = problem_of(refused)
    of_rows = {each["id"]: {"field": "", **each} for each in problem.get("rows", ())}
    for row in rows:
        if row.track["id"] in of_rows:
            await row.refuse(page.ask, of_rows[row.track["id"]])
    return _show(page, rows, refused.status, problem=problem)


def _show(page: OwnPage, rows: Sequence[Row], status: int = HTTPStatus.OK, **told: Any) -> Response:
    """Show what is `saved` or `undone`, or the `problem`."""
    shown = {"saved": (), "undone": 0, "problem": None, **told}
    return page.render("studio/table.html", status, rows=rows, **shown)


def _to_table(rows: Sequence[Row], **done: Any) -> Response:
    query = urlencode({"id": [row.track["id"] for row in rows], **done}, doseq=True)
    return to(f"/studio/table?{query}")


async def _rows(ask: Ask[Principal], ids: Sequence[int]) -> list[Row]:
    tracks = await selected(ask, ids) if ids else (await ask(list_my_tracks, MyListing(limit=PAGE)))["items"]
    return [Row(track, track["version"], _texts(track)) for track in tracks]


def _texts(track: Json) -> dict[str, str]:
    return {name: FIELDS[name][0](track[name]) for name in COLUMNS}
