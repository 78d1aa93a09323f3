"""All routes under `/plyr`, those with a word in the place of an id first."""

from typing import Final

from api.plyr.routers import (
    artists,
    audio,
    edits,
    not_offered,
    records,
    revisions,
    search,
    tracks,
    uploads,
)

ROUTERS: Final = (
    not_offered.router,
    tracks.router,
    tracks.read_one,
    search.router,
    artists.router,
    audio.router,
    uploads.router,
    edits.router,
    revisions.router,
    records.router,
)
