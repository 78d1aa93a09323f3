"""Upload: a new track."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import exists, select

from aggregates.track import Track, media_cids
from aggregates.values import (
    ARTIST_BYTES,
    Artwork,
    Audio,
    Downloads,
    Feature,
    SupportGate,
    checked_artist,
    tid_of,
)
from application.authorization import owner_of, require_no_duplicate
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from projections.tracks.table import tracks
from storage.media import Media

ONE_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True)
class RegisterTrack:
    """Checked values; the media is stored already."""

    title: str
    artist: str
    audio: Audio
    collection: str
    album: str | None = None
    features: tuple[Feature, ...] = ()
    tags: tuple[str, ...] = ()
    description: str | None = None
    artwork: Artwork | None = None
    support_gate: SupportGate | None = None
    unlisted: bool = False
    downloads: Downloads = Downloads.OPEN
    self_labels: tuple[str, ...] = ()


def register_track(unit: UnitOfWork, command: RegisterTrack, media: Media) -> int:
    """Register the track; raises DuplicateAudioError."""
    did = owner_of(unit)
    require_no_duplicate(unit.connection, did, command.audio.cid)
    fields = {name: value for name, value in vars(command).items() if name != "downloads"}
    created_at = unit.now
    of_account = (tracks.c.did == did) & (tracks.c.collection == command.collection)
    while unit.connection.scalar(select(exists().where(of_account, tracks.c.rkey == tid_of(created_at)))):
        created_at += ONE_MICROSECOND  # the record key is taken
    track = Track.register(
        at=unit.now,
        did=did,
        track_id=next_subject_id(unit.connection, did),
        created_at=created_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        rkey=tid_of(created_at),
        **fields,
    )
    track.set_downloads(command.downloads, at=unit.now)
    unit.save(track)
    media.pin(unit.connection, list(media_cids(track)))
    return track.track_id


def artist_name(display_name: str) -> str:
    """Return the display name, cut to what the record holds: a profile may have a longer one."""
    return checked_artist(display_name.encode()[:ARTIST_BYTES].decode(errors="ignore"))
