"""Publishes releases: a job of any process, once the time has come that the owner has set.

1. Reserve all bytes, and make public copies.
2. One unit of work, if the release is still as it was: its tracks in their order, their album, and that it is published.

Whatever ends on the way, the job runs again, and 2 happens once or not at all.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.releases.release import DRAFTS, Release
from aggregates.tracks.track import Track
from aggregates.values import ListType, ReleaseFile, ReleaseState
from application.errors import (
    DuplicateAudioError,
    LeavingError,
    NotReadyToPublishError,
    ReleaseNotFoundError,
    TitleTakenError,
    UploadRefusedError,
    VersionMismatchError,
)
from application.lists.commands import CreateList, Entry, create_list
from application.subjects import On, change_owned, find, load_owned, require_staying
from application.tracks.commands import RegisterTrack, artist_name, register_track
from eventstore.coordination.restore_detection import unless_restored
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome, Wanted
from eventstore.streams.buckets import Part
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import Accounts
from outbox.mirror.states import LaneState
from outbox.mirror.tables import lane
from outbox.record.kind import RecordKinds
from projections.releases import due_releases
from storage.errors import MediaGoneError, RefusedMediaError, StoreUnavailableError
from storage.media import Media, Reserved
from storage.public.copies import Reservation
from storage.public.publisher import Publisher
from storage.uploads.staged_uploads import uploads_of

PUBLISH: Final = "publish_release"
"""The kind of the jobs; a subject is a release's id."""
_DUE: Final = partial(due_releases, kind=PUBLISH)
MAX_CONCURRENT: Final = 4
FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 600.0
MAX_ATTEMPTS: Final = 8
GIVEN_UP: Final = "this service has failed at it several times; publish it again later, and tell who runs the service if that fails too"
REFUSALS: Final = (UploadRefusedError, TitleTakenError, RefusedMediaError, MediaGoneError)
"""What another attempt does not change, before its owner changes the release."""


def schedule(unit: UnitOfWork, on: On[Release], at: datetime | None) -> Release:
    """Have the release published at a time, or now; a second time is no change. Raises NotReadyToPublishError."""
    release = load_owned(unit, on)
    if release.state not in DRAFTS:
        return release
    missing = uploads_of(unit.connection, release.did, release.release_id, now=unit.now)
    if missing or not release.files:
        raise NotReadyToPublishError(
            [{"upload_id": each.upload_id, "name": each.name, "reason": each.reason} for each in missing]
        )
    release.schedule(max(at or unit.now, unit.now), at=unit.now)
    unit.save(release)
    # one that waits for its next attempt was requested before its owner took the release back
    queue.cancel(unit.connection, PUBLISH, str(release.release_id), release.did)
    if state_at(release, unit.now) == ReleaseState.PUBLISHING:
        queue.request(unit.connection, [Wanted(PUBLISH, str(release.release_id), release.did)], unit.now)
    return release


def unschedule(unit: UnitOfWork, on: On[Release]) -> Release:
    """Make a draft of a scheduled release again, also while it waits to be published."""
    return change_owned(unit, on, lambda release: release.unschedule(at=unit.now))


@dataclass(frozen=True)
class Publishing:
    log: EventLog
    accounts: Accounts
    kinds: RecordKinds
    media: Media
    publisher: Publisher | None
    threads: Threads

    def kind(self) -> Kind:
        return Kind(
            PUBLISH,
            self.work,
            judge=_judge,
            max_concurrent=MAX_CONCURRENT,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            max_pause_seconds=MAX_PAUSE_SECONDS,
            condition=_may_publish,
            ends_when_cancelled=False,
            find=_DUE,
        )

    async def work(self, job: Job) -> Outcome:
        await self.threads.run(self._work, job)
        return Outcome.DONE

    def _work(self, job: Job) -> None:
        with self.log.database.read() as connection:
            release = find(self.log, connection, On(Release, int(job.subject)))
            now = self.log.database.now(connection)
        if release is None or state_at(release, now) != ReleaseState.PUBLISHING:
            return
        on = On(Release, release.release_id, frozenset({release.visible_version}))
        with suppress(ReleaseNotFoundError, VersionMismatchError):  # it is found again, if it is due
            if job.attempts > MAX_ATTEMPTS:
                self._fail(job, on, GIVEN_UP)
                return
            try:
                self._publish(job, release, on)
            except REFUSALS as error:
                self._fail(job, on, str(error))

    def _fail(self, job: Job, on: On[Release], reason: str) -> None:
        self._run(
            job,
            lambda unit: change_owned(unit, on, lambda release: release.fail([reason], at=unit.now)),
        )

    def _run(self, job: Job, work: Callable[[UnitOfWork], object]) -> None:
        self.log.transact(job.account, replace(job.envelope, actor=job.account), work)

    def _publish(self, job: Job, release: Release, on: On[Release]) -> None:
        account, reserved = self.accounts.get(job.account), Reserved(self.media)
        artist = artist_name(account.name if account is not None else "")
        reserved.reserve(release.cids)  # what is gone or taken down gets no public copy
        with ExitStack() as ending:
            copies: list[Reservation] = []
            checks: list[Callable[[sa.Connection], None]] = []
            if self.publisher is not None and release.support_gate is None:
                for audio in (file.audio for file in release.files):
                    copy = self.publisher.reserve(audio.cid, audio.file_type, audio.mime)
                    ending.callback(self.publisher.release, copy)
                    copies.append(copy)
                    checks.append(partial(self.publisher.require_kept, reservation=copy))
                    self.publisher.extend(copies)

            def publish(unit: UnitOfWork) -> None:
                require_staying(unit)
                _make_tracks(unit, on, artist, self.kinds, reserved)
                for check in checks:
                    check(unit.connection)

            reserved.reserve(release.cids)  # again: the copies may have taken long
            reserved.run(lambda: self._run(job, publish))


def _may_publish(of: sa.FromClause, _part: Part) -> sa.ColumnElement[bool]:
    is_inactive = sa.exists().where(lane.did == of.c.account, lane.state == LaneState.INACTIVE)
    return sa.and_(unless_restored(), ~is_inactive)


def state_at(release: Any, now: datetime) -> str:
    """Return the state that is shown: a scheduled release is being published once its time has come."""
    is_due = release.state == ReleaseState.SCHEDULED and release.publish_at <= now
    return str(ReleaseState.PUBLISHING if is_due else release.state)


def _make_tracks(
    unit: UnitOfWork, on: On[Release], artist: str, kinds: RecordKinds, reserved: Reserved
) -> None:
    release = load_owned(unit, on)
    collection = kinds[Track.TOPIC].collection
    tracks: list[Track] = []
    for file in release.files:
        try:
            tracks.append(register_track(unit, _command(release, file, artist, collection), reserved))
        except DuplicateAudioError as error:
            same = f"{file.name} has exactly the audio of track {error.track_id}"
            raise UploadRefusedError(same) from None
    album = None
    if release.title is not None:
        album = create_list(
            unit,
            CreateList(
                ListType.ALBUM,
                release.title,
                kinds[TrackList.TOPIC].collection,
                description=release.description,
                release_date=release.release_date,
                artwork=release.cover,
                entries=[Entry(track.track_id) for track in tracks],
            ),
            reserved,
        )
    made = [track.track_id for track in tracks]
    release.publish(made, album.list_id if album is not None else None, at=unit.now)
    unit.save(release)


def _command(release: Release, file: ReleaseFile, artist: str, collection: str) -> RegisterTrack:
    return RegisterTrack(
        file.title,
        artist,
        file.audio,
        collection,
        tags=release.tags if file.tags is None else file.tags,
        description=file.description,
        artwork=release.artwork or file.artwork,
        support_gate=release.support_gate,
        unlisted=release.unlisted,
        downloads=release.downloads,
        copies_audio=release.copy_audio and release.support_gate is None,
    )


def _judge(error: Exception) -> Failure | None:
    """Have the job try again later, and not at once, where the store or an account that leaves keeps it from publishing."""
    is_later = isinstance(error, StoreUnavailableError | LeavingError)
    return Failure(str(error), counted=False) if is_later else None
