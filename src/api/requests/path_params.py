"""Path parameters."""

from typing import Annotated, Final

from fastapi import Depends, Path

from eventstore.untrusted import whole_number

MAX_ID: Final = 2**63 - 1
NO_TRACK: Final = 0
"""An id that no track has."""


def number_of(text: str) -> int | None:
    """Return the number that a page got as a text; None where it is none."""
    return whole_number(text)


async def track_id_in_path(track_id: Annotated[int, Path(description="The `id` of a track.")]) -> int:
    """Return the id; one that no database could hold becomes the id of no track, so that 401 goes before 404."""
    return track_id if 0 < track_id <= MAX_ID else NO_TRACK


async def repair_id_in_path(repair_id: Annotated[int, Path(description="The `id` of a repair.")]) -> int:
    """Return the id, as `track_id_in_path` does."""
    return await track_id_in_path(repair_id)


TrackId = Annotated[int, Depends(track_id_in_path)]
RepairId = Annotated[int, Depends(repair_id_in_path)]
