"""Refusals of use cases. The docstring is the message; api/error_responses.py has the status and the code."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aggregates.errors import ServiceError


class ApplicationError(ServiceError):
    """The request is refused."""


@dataclass(eq=False)
class SubjectError(ApplicationError):
    """A track, or a subject of another `kind`, refuses the request."""

    kind: str = field(default="track", kw_only=True)


class NotAuthenticatedError(ApplicationError):
    """Sign in first: this needs the session cookie or a token in `Authorization: Bearer`."""


class LeavingError(ApplicationError):
    """The account is leaving. Nothing was changed; GET /me shows what its removal waits for, and after it a sign-in begins anew."""


@dataclass(eq=False)
class AdoptedDifferError(ApplicationError):
    """{adopted} records that other programs made would stay. Nothing was changed; name that number to have them removed too, or name none."""

    adopted: int


class TrackNotFoundError(ApplicationError):
    """There is no such track, or it is deleted: its owner may undelete it, by POST /tracks/{id}/undelete."""


class ListNotFoundError(ApplicationError):
    """There is no such list, or it is deleted: its owner may undelete it."""


class ReleaseNotFoundError(ApplicationError):
    """There is no such release, or it ended."""


@dataclass(eq=False)
class LimitReachedError(ApplicationError):
    """There may be at most {limit} {what}. Nothing was changed; finish or remove one of them."""

    limit: int
    what: str


@dataclass(eq=False)
class UploadRefusedError(ApplicationError):
    """The file can be no track: {reason}. Remove it, and upload another one."""

    reason: str


@dataclass(eq=False)
class NotReadyToPublishError(ApplicationError):
    """Files of the release are not whole or are refused, or it has none. Nothing was changed; finish or remove them."""

    files: list[dict[str, str | None]]


class VersionRequiredError(ApplicationError):
    """The order of a list is decided on a version of it: send that in If-Match. Nothing was changed."""


class NotInAlbumsError(ApplicationError):
    """An album has tracks of its owner alone. Nothing was changed; put those of others in a playlist."""


class RecordNotReadError(ApplicationError):
    """No PDS could be read for this record, so that no list can refer to it. Nothing was changed; try again in a moment."""


@dataclass(eq=False)
class TitleTakenError(ApplicationError):
    """Album {album_id} of this account has this title. Nothing was changed; edit that album, or choose another title."""

    album_id: int


@dataclass(eq=False)
class TracksRefusedError(ApplicationError):
    """Some of these tracks cannot be changed so: `rows` says why. None was changed."""

    rows: Mapping[int, ServiceError]


@dataclass(eq=False)
class TooManyTracksError(ApplicationError):
    """The album text of {number} tracks would change, of at most {limit} at once. Nothing was changed; with ?confirm=true the others follow in the background."""

    number: int
    limit: int


class VersionNotFoundError(SubjectError):
    """The {kind} has no such version; its history lists the existing ones."""


class LikeNotFoundError(ApplicationError):
    """There is no such like, or it was taken back."""


class CommentNotFoundError(ApplicationError):
    """There is no such comment, or it was deleted."""


class ProfileNotFoundError(ApplicationError):
    """There is no such profile: its owner has not saved one here, or it was deleted with its account."""


class CommentsOffError(ApplicationError):
    """The artist has not turned comments on this track on. Nothing was changed."""


@dataclass(eq=False)
class TooManyCommentsError(ApplicationError):
    """An account may have {limit} comments on a track. Nothing was changed; edit or delete one of them."""

    limit: int


class RevisionNotFoundError(ApplicationError):
    """The track has no such earlier audio: it never had it, or has it again."""


class AcrossGateError(ApplicationError):
    """The earlier audio was gated and the track is open, or the other way round. Nothing was changed; set the gate first."""


class NotOwnerError(SubjectError):
    """The {kind} belongs to another account. Nothing was changed."""


class MediaNotFoundError(ApplicationError):
    """No track names these bytes now, or they are gone."""


class ArtworkNotFoundError(ApplicationError):
    """The track has no cover here: it has none, or that at another host has not been fetched, or cannot be."""


class WaveformNotReadyError(ApplicationError):
    """The waveform of this track has not been computed yet. Show a plain bar, and ask again in a minute."""


class NoWaveformError(ApplicationError):
    """The track has no waveform: its audio is of a kind that the service cannot decode. Show a plain bar."""


@dataclass(eq=False)
class DuplicateAudioError(ApplicationError):
    """Track {track_id} of this artist has exactly this audio. Nothing was changed; edit or delete that track."""

    track_id: int


@dataclass(eq=False)
class AlreadyHasRecordError(SubjectError):
    """The record is on the PDS, at {uri}: there is nothing to restore. Nothing was changed; if another client has changed it, decide which version stays: POST /{kind}s/{id}/mirror/resolve."""

    uri: str


@dataclass(eq=False)
class MigrationNeededError(SubjectError):
    """The record lives in {old_collection}. Nothing was changed; migrate the namespace instead: POST /{kind}s/{id}/migrate-namespace."""

    old_collection: str


class CannotMoveError(ApplicationError):
    """The record cannot move to another collection; it stays where it is."""


@dataclass(eq=False)
class EditedAgainError(ApplicationError):
    """The other client has changed the record again: its version is {cid} now. Nothing was changed; read the mirror and decide on that one."""

    cid: str


class NothingToResolveError(SubjectError):
    """No other client has changed this record. Nothing was changed; POST /{kind}s/{id}/restore-record restores a deleted one."""


class BlobTooLargeError(ApplicationError):
    """The audio is larger than the PDS accepts."""

    def __init__(self, limit: int | None = None) -> None:
        takes = f"blobs of at most {limit} bytes" if limit is not None else "only smaller blobs"
        super().__init__(
            f"The PDS accepts {takes}, this audio is larger. It stays with the service; "
            "replace it by a smaller file to copy it: PUT /tracks/{id}/audio."
        )
        if limit is not None:  # a PDS need not tell it
            self.limit = limit


@dataclass(eq=False)
class BlobRefusedError(ApplicationError):
    """The PDS does not accept this audio: {said}. It stays with the service; asking again tries once more."""

    reason: str
    said: str


@dataclass(eq=False)
class VersionMismatchError(SubjectError):
    """The {kind} is now at version {version}. Nothing was changed; read it and decide again."""

    version: int


class JobNotFoundError(ApplicationError):
    """There is no such job that could be tried again: it runs, or is done. GET /ops/jobs lists those that are kept."""


@dataclass(eq=False)
class RepairChangedError(ApplicationError):
    """The repair is {state} now, or its plan is not the one of this digest. Nothing was changed; read it again."""

    state: str


class SupportRequiredError(ApplicationError):
    """Only the artist's supporters may play this track. Support the artist, or sign in with an account that does."""


class DownloadsOffError(ApplicationError):
    """The artist has turned downloads of this track off; it can be played."""


class SupportersUnreachableError(ApplicationError):
    """The service that knows the artist's supporters does not answer. Try again in a moment."""
