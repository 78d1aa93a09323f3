"""The fields of albums and playlists, and how a body names their tracks."""

from functools import partial
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, Strict, WithJsonSchema

from aggregates.errors import InvalidFieldError
from aggregates.values import (
    ALBUM_BYTES,
    MAX_ITEMS,
    NAME_GRAPHEMES,
    Visibility,
    checked_list_name,
    checked_release_date,
    checked_slug,
)
from api.requests.fields import CoverChanges, Description, Flag, Structured
from api.requests.parameters import MAX_ID, URI, require_known_fields
from application.lists.commands import Entry

NAMED: Final = ("track_id", "uri")


def entry_of(value: Any, field: str) -> Entry:
    """Return the entry that an object names; raises InvalidFieldError."""
    if not isinstance(value, dict):
        raise InvalidFieldError(field, "must be an object with `track_id` or `uri`")
    require_known_fields(value, NAMED, inside=f"{field}.")
    return checked_entry(value.get("track_id"), value.get("uri"), field)


def checked_entry(track_id: Any, uri: Any, field: str) -> Entry:
    if (track_id is None) is (uri is None):
        raise InvalidFieldError(field, "must have either `track_id` or `uri`")
    if uri is not None and not (isinstance(uri, str) and URI.fullmatch(uri)):
        raise InvalidFieldError(field, "`uri` must be that of a record, at://DID/COLLECTION/KEY")
    is_number = isinstance(track_id, int) and not isinstance(track_id, bool)
    if track_id is not None and not (is_number and 0 < track_id <= MAX_ID):
        raise InvalidFieldError(field, "`track_id` must be the id of a track")
    return Entry(track_id, uri)


def _entries(value: Any) -> tuple[Entry, ...]:
    if not isinstance(value, list):
        raise InvalidFieldError("tracks", "must be a list of objects with `track_id` or `uri`")
    return tuple(entry_of(each, "tracks") for each in value)


ENTRY: Final = {
    "type": "object",
    "properties": {
        "track_id": {"type": "integer", "description": "the id of a track"},
        "uri": {"type": "string", "description": "the address of a record"},
    },
    "description": "either of them",
}
ENTRIES: Final = {"type": "array", "items": ENTRY, "maxItems": MAX_ITEMS}
Entries = Annotated[tuple[Entry, ...], BeforeValidator(_entries), Structured, WithJsonSchema(ENTRIES)]
Name = f"at most {NAME_GRAPHEMES} characters, in {ALBUM_BYTES} bytes"
Title = Annotated[str, AfterValidator(partial(checked_list_name, field="title")), Field(description=Name)]
PlaylistName = Annotated[str, AfterValidator(checked_list_name), Field(description=Name)]


ReleaseDate = Annotated[
    str | None,
    AfterValidator(checked_release_date),
    Field(description="such as 2026-11-30; empty clears"),
]


class ListFields(BaseModel):
    """What the owner may say of a list of either type."""

    slug: Annotated[str, AfterValidator(checked_slug)] = Field(
        "", description="in the address of its page; made of its name when absent"
    )
    description: Description = None
    follow: Flag = Field(
        True, description="whether its record is written again when tracks of other accounts change"
    )


class AlbumFields(ListFields):
    title: Title = ""
    release_date: ReleaseDate = None


class PlaylistFields(ListFields):
    name: PlaylistName = ""
    visibility: Visibility = Field(
        Visibility.PUBLIC,
        description="public, with a record; or private, without one, and for its owner alone",
    )


class NewAlbumFields(AlbumFields):
    title: Title
    tracks: Entries = Field((), description="in their order")


class NewPlaylistFields(PlaylistFields):
    name: PlaylistName
    tracks: Entries = Field((), description="in their order")


class EditAlbumFields(CoverChanges, AlbumFields):
    pass


class EditPlaylistFields(CoverChanges, PlaylistFields):
    pass


class OrderFields(BaseModel):
    tracks: Entries = Field(description="all of them, in their order")


class EntryQuery(BaseModel):
    """A track, by its id or by the address of its record."""

    track_id: int | None = Field(None, description="the id of a track")
    uri: str | None = Field(None, description="at://DID/COLLECTION/KEY; instead of an id")


class EntryFields(EntryQuery):
    track_id: Annotated[int | None, Strict(), Structured] = Field(None, description="the id of a track")

    @property
    def entry(self) -> Entry:
        return checked_entry(self.track_id, self.uri, "track_id")


class MoveFields(EntryFields):
    before: Annotated[
        Entry | None,
        BeforeValidator(lambda value: value if value is None else entry_of(value, "before")),
        Structured,
        WithJsonSchema({**ENTRY, "type": ["object", "null"]}),
    ] = Field(None, description="the track before which it is put; null for the end")
