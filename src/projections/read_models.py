"""The read models of this package, parents before children."""

from typing import Final

from eventstore.projection import Projection
from projections.history import History
from projections.media_references import MediaReferences
from projections.tracks.table import Tracks
from projections.tracks.tags import TrackTags

READ_MODELS: Final[tuple[Projection, ...]] = (Tracks(), TrackTags(), History(), MediaReferences())
