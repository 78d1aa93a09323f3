"""All routes under `/plyr`, those with a word in the place of an id first."""

from typing import Final

from api.plyr.routers import (
    artists,
    audio,
    edits,
    not_offered,
    own_tracks,
    profile,
    publishing_changes,
    records,
    revisions,
    search,
    tags,
    tracks,
    uploads,
)

ROUTERS: Final = (
    not_offered.router,
    own_tracks.router,
    tags.router,
    tracks.router,
    tracks.read_one,
    search.router,
    artists.router,
    audio.router,
    uploads.router,
    edits.router,
    revisions.router,
    records.router,
    profile.router,
    publishing_changes.router,
)
