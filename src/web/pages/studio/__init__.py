"""The studio: an artist's own tracks, what happened to each, and how far each is on its way to the artist's PDS."""

from typing import Final

from web.pages.studio import my_tracks, record, track

ROUTERS: Final = tuple(module.router for module in (my_tracks, track, record))
