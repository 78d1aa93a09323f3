"""The id of a track in a path."""

from typing import Annotated, Final

from fastapi import Depends, Path

LARGEST: Final = 2**63 - 1
NOBODYS: Final = 0
"""The id of no track."""


def track_id_in_path(track_id: Annotated[int, Path(description="The `id` of a track.")]) -> int:
    """Read it; what no database could hold is no track's, to be found out once it is known who asks."""
    return track_id if 0 < track_id <= LARGEST else NOBODYS


TrackId = Annotated[int, Depends(track_id_in_path)]
