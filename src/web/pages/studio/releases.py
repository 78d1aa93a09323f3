"""Releases in the studio: all of them, and one form for what is published together."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Response

from api.readers.releases import own_release, upload_limits
from api.requests.parameters import ReleaseId
from api.routers.releases.releases import list_releases
from web.ask import ApiDep, Form, FormDep, Json, RefusedError, ReleaseFormDep
from web.page import Cursor, Own, OwnPage, pages, to
from web.pages.studio.release_form import digest, files_of, read, texts_of
from web.pages.studio.subject import problem_of
from web.rendering import utc

HERE: Final = "/studio/releases"
ENDS_SOON: Final = timedelta(days=7)
OFFSETS: Final = tuple(
    f"{sign}{hour:02}:{minute:02}" for sign in "-+" for hour in range(15) for minute in (0, 15, 30, 45)
)
COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "remove": ("DELETE", "/uploads/{}"),
    "publish": ("POST", "/publish"),
    "schedule": ("POST", "/publish"),
    "unschedule": ("POST", "/unschedule"),
    "preview": ("POST", "/preview"),
    "withdraw": ("DELETE", "/preview"),
    "delete": ("DELETE", ""),
}
"""What the buttons do; any other saves."""
OVERTAKEN: Final = {"error": "version_mismatch", "field": ""}

router = pages(HERE)


@router.get("")
async def show_releases(page: Own, asked: Cursor) -> Response:
    found = await page.ask(list_releases, asked)
    releases = [{**each, "ends_soon": ends_soon(each)} for each in found["items"]]
    return page.render("studio/releases.html", releases=releases, cursor=found["cursor"])


@router.post("")
async def begin(form: FormDep, api: ApiDep) -> Response:
    made = (await api.send("POST", "/releases", {}, key=form.get("key"))).body
    return to(f"{HERE}/{made['id']}")


def ends_soon(release: Json) -> bool:
    """Whether its owner is told that the draft ends: in its last week."""
    ends = utc(release["expires_at"])
    return ends is not None and ends - datetime.now(UTC) <= ENDS_SOON


@dataclass(frozen=True)
class ReleasePage(OwnPage):
    """Shows the page of a release, as it is or with what a form could not do, and sends the form's commands."""

    release_id: ReleaseId

    async def read(self) -> Json:
        found: Json = await self.ask(own_release, self.release_id)
        return found

    async def show(self, status: int = HTTPStatus.OK, typed: Form | None = None, **told: Any) -> Response:
        """Show what is `told`, and what was `typed` over what is there."""
        release, typed = await self.read(), typed or Form()
        edit, files = read(release, typed), {each["upload_id"]: each for each in files_of(release)}
        is_draft = release["expires_at"] is not None
        return self.render(
            "studio/release.html",
            status,
            release=release,
            here=self.address,
            is_draft=is_draft,
            is_form=is_draft or bool(edit.changed) or edit.is_moved,
            ends_soon=ends_soon(release),
            files=[files[each] for each in edit.order],
            uploads=[each for each in release["files"] if each["state"] != "complete"],
            limits=await self.ask(upload_limits),
            offsets=OFFSETS,
            values=edit.values,
            overtaken=edit.overtaken,
            versions={name: digest(text) for name, text in texts_of(release).items()},
            typed=typed,
            **{"problem": None, "done": "", "preview_url": None, "notes": {}, **told},
        )

    @property
    def address(self) -> str:
        return f"{HERE}/{self.release_id}"

    @property
    def route(self) -> str:
        return f"/releases/{self.release_id}"

    async def save(self, form: Form) -> bool:
        """Send what a person changed, and nothing else; returns False, and sends nothing, where others have changed the same since."""
        release = await self.read()
        edit, version = read(release, form), release["version"]
        if edit.overtaken:
            return False
        if edit.fields:
            version = (await self.api.send("PATCH", self.route, edit.fields, version=version)).body["version"]
        if edit.tracks:
            tracks = {"tracks": edit.tracks}
            await self.api.send("PUT", f"{self.route}/tracks", tracks, version=version)
        return True

    async def pass_on(self, method: str, end: str = "") -> Response:
        try:
            await self.api.pass_on(method, f"{self.route}{end}")
        except RefusedError as refused:
            return await self.show(refused.status, problem=problem_of(refused))
        return to(self.address)


Page = Annotated[ReleasePage, Depends()]


@router.get("/{release_id}")
async def show(page: Page, done: str = "") -> Response:
    return await page.show(done=done)


@router.post("/{release_id}")
async def act(page: Page, form: ReleaseFormDep) -> Response:
    """Save what was typed, and then do what the button says; what is scheduled takes text once it is a draft again."""
    do, _, upload_id = form.get("do", "save").partition(":")
    method, end = COMMANDS.get(do, ("", ""))
    fields = {"at": f"{form.get('at', '')}{form.get('zone', '')}"} if do == "schedule" else {}
    path = f"{page.route}{end.format(upload_id)}"
    made, form = {}, _moved(form, do, upload_id)
    try:
        if do == "unschedule":
            await page.api.send(method, path, key=form.get("key"))
            method = ""
        if do != "delete" and not await page.save(form):
            return await page.show(HTTPStatus.CONFLICT, form, problem=OVERTAKEN)
        if method:
            made = (await page.api.send(method, path, fields, key=form.get("key"))).body
    except RefusedError as refused:
        return await page.show(refused.status, form, problem=problem_of(refused))
    if do == "preview":
        return await page.show(preview_url=made["preview_url"])
    return to(HERE if do == "delete" else f"{page.address}?done={do}")


def _moved(form: Form, do: str, upload_id: str) -> Form:
    """Return the form with a row moved up or down, as its button says."""
    order = form.getlist("upload_id")
    if do not in {"up", "down"} or upload_id not in order:
        return form
    at = order.index(upload_id)
    order.insert(max(at - 1, 0) if do == "up" else at + 1, order.pop(at))
    rest = [(name, value) for name, value in form.multi_items() if name != "upload_id"]
    return Form([*rest, *(("upload_id", each) for each in order)])


@router.post("/{release_id}/files")
async def send_file(page: Page) -> Response:
    """Pass one file on as it comes: the way of those without scripts."""
    return await page.pass_on("POST", "/uploads")


@router.post("/{release_id}/cover")
async def send_cover(page: Page) -> Response:
    return await page.pass_on("PATCH")
