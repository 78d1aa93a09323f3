"""The projection of which audio should be public. It marks changed copies in the transaction of the events."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from aggregates.tracks.track import Track
from eventstore.change import Change
from eventstore.projection import Into, write_rows
from storage.public.copies import PUBLIC_AUDIO, mark_changed, public_audio

Row = Mapping[str, Any]


class PublicAudio:
    """One row per track and audio, `wanted` while the track is live, ungated, not taken down, and has that audio."""

    name: Final = "public_audio"
    fingerprint: Final = "public_audio-2"
    tables: Final = (PUBLIC_AUDIO,)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        """Update the rows of changed audio; in the live table, also mark its copies."""
        latest: dict[tuple[int, str], Row] = {}
        for change in changes:
            if isinstance(change.after, Track):
                for row in _changed(change.before, change.after):
                    latest[row["track_id"], row["cid"]] = row
        rows = list(latest.values())
        write_rows(connection, into(public_audio), rows)
        if rows and into(public_audio) is public_audio:
            mark_changed(connection, rows, changes[-1].recorded_at)


def public_name(cid: str, file_type: str) -> str:
    """Return the name of a public copy: the last part of the audio's URL."""
    return f"{cid}.{file_type}"


def _changed(before: object, after: Track) -> list[Row]:
    earlier, now = (_row(before) if isinstance(before, Track) else None), _row(after)
    rows = [now] if now != earlier else []
    if earlier is not None and earlier["cid"] != now["cid"]:
        rows.append({**earlier, "wanted": False})
    return rows


def _row(track: Track) -> Row:
    audio = track.audio
    return {
        "track_id": track.track_id,
        "cid": audio.cid,
        "did": track.did,
        "name": public_name(audio.cid, audio.file_type),
        "mime": audio.mime,
        "wanted": track.deleted_at is None and track.support_gate is None and track.taken_down_at is None,
    }
