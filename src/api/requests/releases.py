"""The fields of releases and of their tracks, and the headers of uploads (draft-ietf-httpbis-resumable-upload)."""

from email.message import Message
from pathlib import PurePosixPath
from typing import Annotated, Final

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from aggregates.values import Downloads, checked_list_name, checked_tags
from api.errors import UnparsableError
from api.requests.fields import OF_TAGS, CoverChanges, Description, Flag, Gate, Structured, Tags, Title
from api.requests.lists import Name, ReleaseDate
from api.requests.parameters import Moment
from eventstore.untrusted import clean, whole_number

NAME_CHARACTERS: Final = 255


def _title(value: str | None) -> str | None:
    return checked_list_name(value, field="title") if value else None


class ReleaseFields(BaseModel):
    """What the tracks of a release have in common, and what its album has."""

    title: Annotated[str | None, AfterValidator(_title)] = Field(
        None, description=f"of its album, {Name}; empty makes none"
    )
    description: Description = None
    release_date: ReleaseDate = None
    tags: Tags = ()
    unlisted: Flag = Field(False, description="whether lists and searches leave its tracks out")
    downloads: Downloads = Field(
        Downloads.OPEN, description="who may download the audio, of those who may play it; empty is open"
    )
    support_gate: Gate = Field(None, description="who may play its tracks; null or empty clears")
    copy_audio: Flag = Field(False, description="whether its audio is copied to the PDS")


class EditReleaseFields(CoverChanges, ReleaseFields):
    pass


class ReleaseTrackFields(BaseModel):
    """What is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    upload_id: str = Field(description="of a file of the release")
    title: Title = ""
    description: Description = None
    tags: Annotated[tuple[str, ...], AfterValidator(checked_tags)] | None = Field(
        None, description=f"{OF_TAGS}; null has those of the release"
    )


class ArrangementFields(BaseModel):
    tracks: Annotated[tuple[ReleaseTrackFields, ...], Structured] = Field(
        description="all uploaded files in their order; what is absent of a track stays as it is"
    )


class PublishFields(BaseModel):
    at: Moment | None = Field(None, description="when, with its offset; now when absent or past")


def is_complete(request: Request) -> bool:
    """Read Upload-Complete; raises UnparsableError."""
    given = request.headers.get("upload-complete", "").strip()
    if given not in {"?0", "?1"}:
        raise UnparsableError("The header Upload-Complete must be ?0 or ?1. Nothing was changed.")
    return given == "?1"


def number_in(request: Request, header: str) -> int | None:
    """Read a whole number that is not negative; None where the header is absent. Raises UnparsableError."""
    if (given := request.headers.get(header)) is None:
        return None
    if (number := whole_number(given.strip())) is None or number < 0:
        raise UnparsableError(f"The header {header} must be a whole number. Nothing was changed.")
    return number


def name_in(request: Request) -> str:
    """Return the name of the file that Content-Disposition has."""
    given = Message()
    # browsers send UTF-8, which a header is not read as
    header = request.headers.get("content-disposition", "").encode("latin-1")
    given["Content-Disposition"] = header.decode(errors="replace")
    try:
        return file_name(given.get_filename(""))
    except (ValueError, TypeError):  # it names a charset that decodes no text, or pieces in no order
        return file_name("")


def file_name(given: str) -> str:
    """Return a name without folders."""
    return clean(PurePosixPath(given.replace("\\", "/")).name, NAME_CHARACTERS).strip() or "file"
