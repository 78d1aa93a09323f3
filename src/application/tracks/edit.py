"""Edits metadata, cover, gate and visibility of a track: all of it or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

from aggregates.track import Track
from aggregates.values import Artwork, Downloads, SupportGate
from application.authorization import OnTrack, load_owned
from eventstore.unit_of_work import UnitOfWork
from storage.media import Media


class Keep(Enum):
    """Stands for an unchanged value, where None means a removed one."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True)
class EditTrack(OnTrack):
    """Checked values of the changed fields; new media is stored already."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    support_gate: SupportGate | Keep | None = KEEP
    unlisted: bool | None = None
    downloads: Downloads | None = None
    artwork: Artwork | Keep | None = KEEP


def edit_track(unit: UnitOfWork, command: EditTrack, media: Media) -> int:
    """Change the track; an unchanged value makes no event."""
    track = load_owned(unit, command)
    track.update_metadata(command.metadata, at=unit.now)
    if command.support_gate is not KEEP:
        track.set_support_gate(command.support_gate, at=unit.now)
    if command.unlisted is not None:
        track.set_unlisted(command.unlisted, at=unit.now)
    if command.downloads is not None:
        track.set_downloads(command.downloads, at=unit.now)
    _set_artwork(track, command.artwork, unit.now)
    unit.save(track)
    if isinstance(command.artwork, Artwork):
        media.pin(unit.connection, [command.artwork.cid, command.artwork.thumbnail_cid])
    return track.track_id


def _set_artwork(track: Track, artwork: Artwork | Keep | None, at: datetime) -> None:
    if isinstance(artwork, Artwork):
        track.replace_artwork(artwork, at=at)
    elif artwork is None:
        track.remove_artwork(at=at)
