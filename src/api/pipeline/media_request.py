"""A request for stored audio or a cover: which track lets the caller have it, and its bytes, whole or in ranges."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from aggregates.values import Audio
from api.auth.authentication import OptionalCaller, ServicesDep
from api.error_responses import error_response
from api.middleware.security_headers import GATED_MEDIA, PUBLIC_MEDIA
from api.pipeline.media_reads import CallerReads, Reads
from api.pipeline.past_state import AsOf, past_state
from api.services import Services
from application.authorization import may_have_bytes, may_see_track
from application.errors import (
    ArtworkNotFoundError,
    MediaNotFoundError,
    NoWaveformError,
    TrackNotFoundError,
    WaveformNotReadyError,
)
from application.playback_access import admit
from eventstore.untrusted import whole_number
from identity.accounts.credentials import Principal
from projections.tracks.queries import live_tracks_naming, track_by_id
from projections.tracks.view import TrackView
from storage.artwork import RENDITION_SIZES
from storage.derived.jobs import DerivedKind, has_failed
from storage.derived.renditions import RENDITION_MIME, rendition_of
from storage.derived.waveforms import DECODED_FILE_TYPES, Waveform, waveform_of
from storage.taken_down import taken_down

UNSAFE: Final = frozenset('\\/:*?"<>|')
MAX_NAME_LENGTH: Final = 200


def attachment(name: str) -> str:
    """Return a Content-Disposition with a name that every file system can hold (RFC 6266)."""
    stem, _, extension = name.rpartition(".")
    clean = "".join(each for each in stem if each.isprintable() and each not in UNSAFE)
    stem = " ".join(clean[:MAX_NAME_LENGTH].split()).strip(". ") or "track"
    return f"attachment; filename*=UTF-8''{quote(f'{stem}.{extension}', safe='')}"


@dataclass(frozen=True)
class ByteRange:
    """From `start` to before `end`, of `size` bytes; `asked` if the request named a range that is served."""

    start: int
    end: int
    size: int
    asked: bool = True

    @property
    def content_range(self) -> str:
        """The Content-Range header."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


def range_of(request: Request, etag: str, size: int) -> ByteRange | None:
    """Parse Range; None if it lies outside. If-Range with another tag, and anything but one range, mean everything."""
    everything = ByteRange(0, size, size, asked=False)
    first, last = _positions(request.headers.get("range", ""))
    if request.headers.get("if-range", etag) != etag:
        return everything
    if first is None:
        if last is None:
            return everything
        start, end = max(0, size - last), size
    else:
        if last is not None and last < first:
            return everything  # not a valid range at all
        start, end = first, size if last is None else min(last + 1, size)
    return ByteRange(start, end, size) if start < end else None


def _positions(header: str) -> tuple[int | None, int | None]:
    """Return the first and the last position of one range, of which one may be absent; both are, for anything else."""
    unit, _, span = header.partition("=")
    texts = [part.strip() for part in span.split("-", 2)]
    numbers = [whole_number(text) for text in texts]
    if unit.strip().lower() != "bytes" or len(texts) != 2:  # noqa: PLR2004 - a range has two ends
        return None, None
    if any(text and number is None for text, number in zip(texts, numbers, strict=True)):
        return None, None
    return numbers[0], numbers[1]


IMMUTABLE: Final = "public, max-age=31536000, immutable"
FIVE_MINUTES: Final = "public, max-age=300"
"""Open audio may be gated or deleted any time; shared caches then keep it no longer than this."""
PRIVATE: Final = "private, no-cache"
NEVER: Final = "private, no-store"
CID: Final = re.compile(r"[a-z2-7]{1,80}")


class MediaRequest:
    """A request for bytes that live tracks name, by their CID. `extension` is the track's `file_type`; None is any."""

    def __init__(
        self, request: Request, services: Services, caller: Principal | None, reads: CallerReads
    ) -> None:
        self.services: Final = services
        self._request: Final = request
        self._caller: Final = caller
        self._reads: Final = reads

    async def audible(self, cid: str, extension: str | None = None) -> TrackView:
        """Return a track with this audio that the caller may hear; raises as `admit`."""
        views = await self._with_audio(cid, extension)
        return await admit(self._caller, views, self.services.supporters)

    async def play(self, cid: str, extension: str | None = None) -> Response:
        """Return the audio, or the range of it that the request wants; raises as `admit`."""
        view = await self.audible(cid, extension)
        return await self._bytes(cid, view.audio.mime, FIVE_MINUTES if _is_open(view) else PRIVATE)

    async def play_past(self, now: TrackView, then: TrackView) -> Response:
        """Return audio that the track has or had, for those who may read its past; no cache keeps it."""
        if not may_have_bytes(self._caller, now):
            raise MediaNotFoundError
        return await self._bytes(then.audio.cid, then.audio.mime, NEVER)

    async def download(self, cid: str, extension: str | None = None) -> Response:
        """Return the audio as a file to save; raises as `admit`."""
        views = await self._with_audio(cid, extension)
        view = await admit(self._caller, views, self.services.supporters, is_download=True)
        response = await self._bytes(cid, view.audio.mime, PRIVATE)
        name = f"{view.artist} - {view.title}.{view.audio.file_type}"
        response.headers["Content-Disposition"] = attachment(name)
        return response

    async def show(self, cid: str, size: int | None = None) -> Response:
        """Return a cover or a thumbnail; with a size a rendition of the cover, or the cover while there is none."""
        views = await run_in_threadpool(self._naming, cid)
        mime = _mime_of_image(views, cid)
        is_public = any(view.taken_down_at is None for view in views)
        if size is None:
            return await self._bytes(cid, mime, IMMUTABLE if is_public else PRIVATE)
        if rendition := await run_in_threadpool(self._rendition, cid, size):
            return await self._bytes(rendition, RENDITION_MIME, IMMUTABLE if is_public else PRIVATE)
        return await self._bytes(cid, mime, FIVE_MINUTES if is_public else PRIVATE)

    async def show_of_track(self, track_id: int, size: int | None) -> Response:
        """Return the cover that the track has now, even one that is elsewhere; raises ArtworkNotFoundError or MediaNotFoundError."""
        view = await run_in_threadpool(self._track, track_id)
        if not may_have_bytes(self._caller, view):
            raise MediaNotFoundError
        cid, mime = await self._cover(view, size)
        return await self._bytes(cid, mime, FIVE_MINUTES if view.taken_down_at is None else PRIVATE)

    async def show_past(self, now: TrackView, then: TrackView, size: int | None) -> Response:
        """Return the cover that the track has or had, for those who may read its past; no cache keeps it."""
        if not may_have_bytes(self._caller, now):
            raise MediaNotFoundError
        return await self._bytes(*await self._cover(then, size), NEVER)

    async def keeps_past_cover(self, track_id: int, wanted: AsOf, size: int) -> bool:
        """Whether `show_past` would show the cover of then."""
        past = await run_in_threadpool(past_state, self.services, track_id, wanted, self._caller)
        try:
            cid, _ = await self._cover(past.then, size)
        except ArtworkNotFoundError:
            return False
        found = await run_in_threadpool(self.services.media.find, cid)
        return found is not None and may_have_bytes(self._caller, past.now)

    async def waveform(self, track_id: int) -> tuple[Waveform, Mapping[str, str]]:
        """Return the waveform of a track, and the headers of the response.

        Raises as `admit`, WaveformNotReadyError or NoWaveformError.
        """
        view = await run_in_threadpool(self._track, track_id)
        await admit(
            self._caller, [view] if may_have_bytes(self._caller, view) else [], self.services.supporters
        )
        found = await run_in_threadpool(self._waveform, view.audio)
        if _is_open(view):
            return found, {"Cache-Control": FIVE_MINUTES}
        return found, {"Cache-Control": PRIVATE, "Vary": "Cookie, Authorization"}

    async def _cover(self, view: TrackView, size: int | None) -> tuple[str, str]:
        """Return the CID and the MIME type of a cover in a size; raises ArtworkNotFoundError."""
        if view.artwork is not None:
            if size and (rendition := await run_in_threadpool(self._rendition, view.artwork.cid, size)):
                return rendition, RENDITION_MIME
            return view.artwork.cid, view.artwork.mime
        url, wanted = view.image_url or "", size or max(RENDITION_SIZES)
        is_address = "://" in url  # the record may name anything, as the CID of a cover
        fetched = await run_in_threadpool(self._rendition, url, wanted) if is_address else None
        if fetched is None:
            raise ArtworkNotFoundError
        return fetched, RENDITION_MIME

    def _waveform(self, audio: Audio) -> Waveform:
        with self.services.database.read() as connection:
            if (found := waveform_of(connection, audio.cid)) is not None:
                return found
            is_known = has_failed(connection, DerivedKind.WAVEFORM, audio.cid)
        if is_known or audio.file_type not in DECODED_FILE_TYPES:
            raise NoWaveformError
        raise WaveformNotReadyError

    def _track(self, track_id: int) -> TrackView:
        with self.services.database.read() as connection:
            view = track_by_id(connection, track_id)
        if view is None or view.deleted_at is not None:
            raise TrackNotFoundError
        if not may_see_track(self._caller, view.did, view.taken_down_at):
            raise TrackNotFoundError
        return view

    def _rendition(self, source: str, size: int) -> str | None:
        with self.services.database.read_committed() as connection:
            return rendition_of(connection, source, size)

    async def _with_audio(self, cid: str, extension: str | None) -> list[TrackView]:
        views = [view for view in await run_in_threadpool(self._naming, cid) if view.audio.cid == cid]
        return [view for view in views if extension in (None, view.audio.file_type)]

    def _naming(self, cid: str) -> Sequence[TrackView]:
        """Return the tracks with these bytes; taken-down tracks only for an admin, since their owner has the bytes."""
        if CID.fullmatch(cid) is None:
            return []
        with self.services.database.read() as connection:
            views = live_tracks_naming(connection, cid)
        if self._caller is not None and self._caller.admin:
            return sorted(views, key=lambda view: view.taken_down_at is not None)
        return [view for view in views if view.taken_down_at is None]

    async def _bytes(self, cid: str, mime: str, caching: str) -> Response:
        request = self._request
        found = await run_in_threadpool(self.services.media.find, cid)
        if found is None:
            raise MediaNotFoundError
        etag = f'"{cid}"'
        headers = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": caching}
        if caching in {PRIVATE, NEVER}:
            headers |= {**GATED_MEDIA, "Vary": "Cookie, Authorization"}
        else:
            headers |= PUBLIC_MEDIA
        if _knows(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        wanted = range_of(request, etag, found.size)
        if wanted is None:
            outside = {"Accept-Ranges": "bytes", "Content-Range": f"bytes */{found.size}"}
            message = f"The range lies outside the {found.size} bytes of this file."
            return error_response(416, "range_not_satisfiable", message, outside)
        headers |= {"Content-Type": mime, "Content-Length": str(wanted.end - wanted.start)}
        if wanted.asked:
            headers["Content-Range"] = wanted.content_range
        status = 206 if wanted.asked else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        is_refused = partial(self._is_refused, cid)
        chunks = await self._reads.stream(found.key, wanted.start, wanted.end, is_refused)
        return StreamingResponse(chunks, status_code=status, headers=headers)

    def _is_refused(self, cid: str) -> bool:
        """Whether the bytes were taken down, which is for all but admins."""
        if self._caller is not None and self._caller.operator:
            return False
        with self.services.database.read() as connection:
            return bool(taken_down(connection, [cid]))


async def media_request(
    request: Request, services: ServicesDep, caller: OptionalCaller, reads: Reads
) -> MediaRequest:
    return MediaRequest(request, services, caller, reads)


ForMedia = Annotated[MediaRequest, Depends(media_request)]


def _is_open(view: TrackView) -> bool:
    return view.support_gate is None and view.taken_down_at is None


def _mime_of_image(views: Sequence[TrackView], cid: str) -> str:
    covers = [view.artwork for view in views if view.artwork is not None]
    for cover in covers:
        if cover.cid == cid:
            return cover.mime
    if any(cover.thumbnail_cid == cid for cover in covers):
        return RENDITION_MIME
    raise MediaNotFoundError


def _knows(if_none_match: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags
