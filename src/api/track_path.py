"""The id of a track in a path."""

from typing import Annotated, Final

from fastapi import Depends, Path

from api.refusals import TrackNotFoundError

LARGEST: Final = 2**63 - 1


def track_id_in_path(track_id: Annotated[int, Path(description="The `id` of a track.")]) -> int:
    """Read it; what no database could hold is no track."""
    if not 0 < track_id <= LARGEST:
        raise TrackNotFoundError
    return track_id


TrackId = Annotated[int, Depends(track_id_in_path)]
