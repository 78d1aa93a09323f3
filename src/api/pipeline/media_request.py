"""A request for stored audio or a cover: which track lets the caller have it, and its bytes, whole or in ranges.

The store is connected, and a thread is taken, only while it reads one part.

So a client that reads slowly holds neither, and a store that hangs holds only the threads of these reads.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from fastapi import Depends, Request, Response

from aggregates.values import Artwork
from api.auth.authentication import OptionalCaller, ServicesDep
from api.error_responses import error_response
from api.middleware.http_layer import GATED_MEDIA, PUBLIC_MEDIA
from api.middleware.rate_limits import IPV6_SITE_BITS, address_of
from api.middleware.request_threads import in_thread
from api.pipeline.concurrency import Counted
from api.pipeline.past import AsOf, Listening, past_views
from api.services import Services
from application.authorization import admit, may_have_bytes, require_shown
from application.errors import (
    ArtworkNotFoundError,
    MediaNotFoundError,
    NoWaveformError,
    WaveformNotReadyError,
)
from eventstore.coordination.threads import Turns
from eventstore.errors import ThreadsBusyError
from eventstore.untrusted import file_name, whole_number
from identity.accounts.credentials import Principal, did_of
from projections.lists import covers_named
from projections.profiles import avatars_named
from projections.tracks.queries import live_tracks_naming, track_by_id
from projections.tracks.table import TrackView
from storage.artwork import RENDITION_SIZES
from storage.derived.renditions import RENDITION_MIME, DerivedKind, has_failed, rendition_of
from storage.derived.waveforms import DECODED_FILE_TYPES, Waveform, waveform_of
from storage.errors import StoreUnavailableError
from storage.stores.store import CHUNK_BYTES
from storage.taken_down import taken_down

T = TypeVar("T")

PART_BYTES: Final = 1024 * 1024
MAX_CONCURRENT_READS: Final = 16
MAX_CONCURRENT_READS_OF_ONE_CALLER: Final = 4
MAX_READ_WAIT_SECONDS: Final = 5.0
"""For the caller's turn, and then for a thread."""
READ_TIMEOUT_SECONDS: Final = 30.0
"""For one part."""
MAX_TURN_SECONDS: Final = 600.0
"""So long a read that was given up keeps its caller's turn, unless its thread returns."""


class CallerReads:
    """The reads of one caller, a few at a time."""

    def __init__(self, services: Services, turns: Turns, caller: str) -> None:
        self._media: Final = services.media
        self._threads: Final = services.media_threads.reads
        self._turns: Final = turns
        self.caller: Final = caller
        """The DID of an account, or an address."""

    async def stream(
        self, key: str, start: int, end: int, is_refused: Callable[[], bool]
    ) -> AsyncGenerator[bytes]:
        """Read the first part now, so that missing bytes are an error and no broken stream; return all chunks.

        Before each further part `is_refused` is asked, in a thread: bytes that are taken down meanwhile are sent no more.
        Raises StorageError, and ThreadsBusyError where no thread is free in time.
        """
        parts = [await self._in_time(lambda: self._part(key, start, end))]

        async def chunks() -> AsyncGenerator[bytes]:
            position = start
            while part := parts.pop():  # a slow reader holds one part, and the first no longer
                for begin in range(0, len(part), CHUNK_BYTES):
                    yield part[begin : begin + CHUNK_BYTES]
                position += len(part)
                parts.append(await self._in_time(partial(self._next, key, position, end, is_refused)))

        return chunks()

    async def is_stored(self, cid: str) -> bool:
        def has() -> bool:
            found = self._media.find(cid)
            return found is not None and self._media.store.size(found.key) == found.size

        return await self._in_time(has)

    def _part(self, key: str, start: int, end: int) -> bytes:
        return b"".join(self._media.store.read(key, start, min(start + PART_BYTES, end)))

    def _next(self, key: str, start: int, end: int, is_refused: Callable[[], bool]) -> bytes:
        if start >= end:
            return b""
        if is_refused():
            raise MediaNotFoundError
        return self._part(key, start, end)

    async def _in_time(self, work: Callable[[], T]) -> T:
        async def in_turn() -> T:
            async with AsyncExitStack() as held:
                try:
                    async with asyncio.timeout(MAX_READ_WAIT_SECONDS):
                        await held.enter_async_context(self._turns.of(self.caller))
                except TimeoutError:
                    raise ThreadsBusyError(self._threads.name) from None
                return await self._threads.run(MAX_TURN_SECONDS, work)

        reading = asyncio.create_task(in_turn())
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            async with asyncio.timeout(2 * MAX_READ_WAIT_SECONDS + READ_TIMEOUT_SECONDS):
                return await asyncio.shield(reading)
        except TimeoutError:
            raise StoreUnavailableError("it did not return the bytes in time") from None


async def reads_of_caller(request: Request, services: ServicesDep, caller: OptionalCaller) -> CallerReads:
    key = caller.did if caller is not None else address_of(request, IPV6_SITE_BITS)
    return CallerReads(services, request.app.state.media_turns, key)


Reads = Annotated[CallerReads, Depends(reads_of_caller)]


def attachment(name: str) -> str:
    """Return a Content-Disposition with a name that every file system can hold (RFC 6266)."""
    stem, _, extension = name.rpartition(".")
    return f"attachment; filename*=UTF-8''{quote(f'{file_name(stem)}.{extension}', safe='')}"


RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)


class ByteRange(NamedTuple):
    """From `start` to before `end`; `is_part` if the request named a range that is served."""

    start: int
    end: int
    is_part: bool = True


def range_of(request: Request, etag: str, size: int) -> ByteRange | None:
    """Parse Range; None if it lies outside. If-Range with another tag, and anything but one range, mean everything."""
    found = RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    first, last, suffix = (None,) * 3 if found is None else map(whole_number, found.groups(""))
    if suffix is not None:
        first, last = max(0, size - suffix), None
    is_valid = first is not None and (last is None or last >= first)
    if first is None or not is_valid or request.headers.get("if-range", etag) != etag:
        return ByteRange(0, size, is_part=False)
    end = size if last is None else min(last + 1, size)
    return ByteRange(first, end) if first < end else None


FIVE_MINUTES: Final = "public, max-age=300"
"""What is public may be gated, deleted or taken down any time; shared caches then keep it no longer than this."""
PRIVATE: Final = "private, no-cache"
NEVER: Final = "private, no-store"
CID: Final = re.compile(r"[a-z2-7]{1,80}")


@dataclass(frozen=True)
class MediaRequest:
    """A request for bytes that live tracks name, by their CID. `extension` is the track's `file_type`; None is any."""

    request: Request
    services: Services
    caller: Principal | None
    reads: CallerReads

    async def audible(self, cid: str, extension: str | None = None) -> TrackView:
        """Return a track with this audio that the caller may hear; raises as `admit`."""
        views = await self._with_audio(cid, extension)
        return await admit(self.caller, views, self.services.supporters)

    async def play(self, cid: str, extension: str | None = None) -> Response:
        view = await self.audible(cid, extension)
        return await self.send(cid, view.audio.mime, FIVE_MINUTES if _is_open(view) else PRIVATE)

    async def play_past(self, track_id: int, wanted: Listening) -> Response:
        """Return audio that the track has or had, for those who may listen to its past; no cache keeps it."""
        then = await self._past(track_id, wanted, wanted.key)
        return await self.send(then.audio.cid, then.audio.mime, NEVER)

    async def download(self, cid: str, extension: str | None = None) -> Response:
        views = await self._with_audio(cid, extension)
        view = await admit(self.caller, views, self.services.supporters, is_download=True)
        response = await self.send(cid, view.audio.mime, PRIVATE)
        name = f"{view.artist} - {view.title}.{view.audio.file_type}"
        response.headers["Content-Disposition"] = attachment(name)
        return response

    async def show(self, cid: str, size: int | None = None) -> Response:
        """Return a cover or a thumbnail; with a size a rendition of the cover, or the cover while there is none."""
        found = await in_thread(self._covers, cid)
        covers = [cover for cover, _ in found]
        mimes = {each.thumbnail_cid: RENDITION_MIME for each in covers} | {
            each.cid: each.mime for each in covers
        }
        if (mime := mimes.get(cid)) is None:
            raise MediaNotFoundError
        is_public = any(is_public for _, is_public in found)
        caching = FIVE_MINUTES if is_public else PRIVATE
        if size is not None and (rendition := await in_thread(self._rendition, cid, size)):
            return await self.send(rendition, RENDITION_MIME, caching)
        return await self.send(cid, mime, caching)

    async def show_of_track(self, track_id: int, size: int | None) -> Response:
        """Return the cover that the track has now, even one that is elsewhere; raises ArtworkNotFoundError or MediaNotFoundError."""
        view = await in_thread(self._track, track_id)
        if not may_have_bytes(self.caller, view):
            raise MediaNotFoundError
        cid, mime = await self._cover(view, size)
        return await self.send(cid, mime, FIVE_MINUTES if view.taken_down_at is None else PRIVATE)

    async def show_past(self, track_id: int, wanted: AsOf, size: int | None) -> Response:
        """Return the cover that the track has or had, for those who may read its past; no cache keeps it."""
        return await self.send(*await self._cover(await self._past(track_id, wanted), size), NEVER)

    async def keeps_past_cover(self, track_id: int, wanted: AsOf, size: int) -> bool:
        """Whether `show_past` would show the cover of then."""
        try:
            cid, _ = await self._cover(await self._past(track_id, wanted), size)
        except (ArtworkNotFoundError, MediaNotFoundError):
            return False
        return await in_thread(self.services.media.find, cid) is not None

    async def waveform(self, track_id: int, wanted: Listening) -> tuple[Waveform, Mapping[str, str]]:
        """Return the waveform of a track, or of audio that it had, and the headers of the response.

        Raises as `admit` or `past_state`, WaveformNotReadyError or NoWaveformError.
        """
        is_past = (wanted.version, wanted.at) != (None, None)
        if is_past:
            view = await self._past(track_id, wanted, wanted.key)
        else:
            view = await in_thread(self._track, track_id)
            await admit(
                self.caller, [view] if may_have_bytes(self.caller, view) else [], self.services.supporters
            )
        audio = view.audio

        def read() -> Waveform:
            with self.services.database.read() as connection:
                if (found := waveform_of(connection, audio.cid)) is not None:
                    return found
                is_known = has_failed(connection, DerivedKind.WAVEFORM, audio.cid)
            if is_known or audio.file_type not in DECODED_FILE_TYPES:
                raise NoWaveformError
            raise WaveformNotReadyError

        found = await in_thread(read)
        if is_past:
            return found, {"Cache-Control": NEVER}
        if _is_open(view):
            return found, {"Cache-Control": FIVE_MINUTES}
        return found, {"Cache-Control": PRIVATE, "Vary": "Cookie, Authorization"}

    async def _past(self, track_id: int, wanted: AsOf, key: str | None = None) -> TrackView:
        """Return the track as it was; raises as `past_state`, and MediaNotFoundError."""
        now, then = await in_thread(past_views, self.services, track_id, wanted, self.caller, key)
        if not may_have_bytes(self.caller, now):
            raise MediaNotFoundError
        return then

    async def _cover(self, view: TrackView, size: int | None) -> tuple[str, str]:
        """Return the CID and the MIME type of a cover in a size; raises ArtworkNotFoundError."""
        if view.artwork is not None:
            if size and (rendition := await in_thread(self._rendition, view.artwork.cid, size)):
                return rendition, RENDITION_MIME
            return view.artwork.cid, view.artwork.mime
        url, wanted = view.image_url or "", size or max(RENDITION_SIZES)
        is_address = "://" in url  # the record may name anything, as the CID of a cover
        fetched = await in_thread(self._rendition, url, wanted) if is_address else None
        if fetched is None:
            raise ArtworkNotFoundError
        return fetched, RENDITION_MIME

    def _track(self, track_id: int) -> TrackView:
        with self.services.database.read() as connection:
            return require_shown(self.caller, track_by_id(connection, track_id))

    def _rendition(self, source: str, size: int) -> str | None:
        with self.services.database.read_committed() as connection:
            return rendition_of(connection, source, size)

    async def _with_audio(self, cid: str, extension: str | None) -> list[TrackView]:
        views = [view for view in await in_thread(self._naming, cid) if view.audio.cid == cid]
        return [view for view in views if extension in (None, view.audio.file_type)]

    def _naming(self, cid: str) -> Sequence[TrackView]:
        """Return the tracks with these bytes; taken-down tracks only for an admin, since their owner has the bytes."""
        if CID.fullmatch(cid) is None:
            return []
        with self.services.database.read() as connection:
            views = live_tracks_naming(connection, cid)
        if self.caller is not None and self.caller.admin:
            return sorted(views, key=lambda view: view.taken_down_at is not None)
        return [view for view in views if view.taken_down_at is None]

    def _covers(self, cid: str) -> list[tuple[Artwork, bool]]:
        """Return the covers of tracks and lists, and the pictures of profiles, with these bytes that the caller may see, and whether all may."""
        views = self._naming(cid)
        found = [(view.artwork, view.taken_down_at is None) for view in views if view.artwork is not None]
        if CID.fullmatch(cid) is None:
            return found
        with self.services.database.read() as connection:
            others = covers_named(connection, cid) + avatars_named(connection, cid)
        did = did_of(self.caller)
        shown = [each for each in others if may_have_bytes(self.caller, each)]
        return found + [
            (each.artwork, each.is_public and each.taken_down_at is None)
            for each in shown
            if each.is_public or each.did == did
        ]

    async def send(self, cid: str, mime: str, caching: str) -> Response:
        def is_refused() -> bool:
            if self.caller is not None and self.caller.operator:
                return False  # what was taken down is so for all but operators
            with self.services.database.read() as connection:
                return bool(taken_down(connection, [cid]))

        def find() -> Any:
            return None if is_refused() else self.services.media.find(cid)

        found = await in_thread(find)
        if found is None:
            raise MediaNotFoundError

        def chunks(start: int, end: int) -> Awaitable[AsyncIterator[bytes]]:
            return self.reads.stream(found.key, start, end, is_refused)

        file = File(f'"{cid}"', found.size, mime, caching)
        return await file.answer(self.request, self.reads.caller, chunks)


@dataclass(frozen=True)
class File:
    """What is served whole or in ranges."""

    etag: str
    size: int
    mime: str
    caching: str

    async def answer(
        self, request: Request, caller: str, chunks: Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
    ) -> Response:
        """Answer a request with what `chunks` returns from one place to before another; it is not called where no bytes are sent."""
        etag, size = self.etag, self.size
        headers = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": self.caching}
        if self.caching in {PRIVATE, NEVER}:
            headers |= {**GATED_MEDIA, "Vary": "Cookie, Authorization"}
        else:
            headers |= PUBLIC_MEDIA
        tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if etag in tags or "*" in tags:
            return Response(status_code=304, headers=headers)
        wanted = range_of(request, etag, size)
        if wanted is None:
            outside = {"Accept-Ranges": "bytes", "Content-Range": f"bytes */{size}"}
            message = f"The range lies outside the {size} bytes of this file."
            return error_response(416, "range_not_satisfiable", message, outside)
        headers |= {"Content-Type": self.mime, "Content-Length": str(wanted.end - wanted.start)}
        if wanted.is_part:
            headers["Content-Range"] = f"bytes {wanted.start}-{wanted.end - 1}/{size}"
        status = 206 if wanted.is_part else 200
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return Counted("downloads", caller, await chunks(wanted.start, wanted.end), status, headers)


async def media_request(
    request: Request, services: ServicesDep, caller: OptionalCaller, reads: Reads
) -> MediaRequest:
    return MediaRequest(request, services, caller, reads)


ForMedia = Annotated[MediaRequest, Depends(media_request)]


def _is_open(view: TrackView) -> bool:
    return view.support_gate is None and view.taken_down_at is None
