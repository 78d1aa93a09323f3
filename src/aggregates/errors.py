"""What a track refuses. The docstring is the message; what HTTP makes of it stands in api/error_responses.py."""


class TrackError(Exception):
    """The track refuses this command."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class InvalidFieldError(TrackError):
    """A value that the record on the PDS could not hold. `limit` says what it could."""

    def __init__(self, field: str, limit: str) -> None:
        super().__init__(f"{field}: {limit}")
        self.field = field
        self.limit = limit


class DeletedError(TrackError):
    """It is deleted; undelete it first."""


class GatedTrackError(TrackError):
    """The track is for supporters only, so its audio stays off the public PDS; remove the gate first."""


class UndecidedForeignEditError(TrackError):
    """Another client has changed the record. Decide first which version stays: POST /tracks/{id}/mirror/resolve."""
