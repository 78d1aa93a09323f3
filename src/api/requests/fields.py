"""The fields of bodies: of a track, of an account's profile, and of its API tokens. Each field checks itself."""

import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    create_model,
)

from aggregates.errors import InvalidFieldError
from aggregates.values import (
    ALBUM_BYTES,
    ARTIST_BYTES,
    BIO_BYTES,
    BIO_GRAPHEMES,
    COMMENT_BYTES,
    DESCRIPTION_BYTES,
    GATE_TYPES,
    MAX_FEATURES,
    MAX_SELF_LABELS,
    MAX_TAGS,
    SELF_LABEL_BYTES,
    TAG_CHARACTERS,
    TITLE_BYTES,
    Downloads,
    Feature,
    SupportGate,
    checked_album,
    checked_audio_name,
    checked_bio,
    checked_comment,
    checked_description,
    checked_display_name,
    checked_features,
    checked_listening_key,
    checked_self_labels,
    checked_support_gate,
    checked_support_url,
    checked_tags,
    checked_timestamp_ms,
    checked_title,
    is_visible,
)
from api.errors import BodyTooComplexError
from api.requests.parameters import require_known_fields
from eventstore.untrusted import TooComplexError, parsed
from identity.accounts.credentials import Scope
from identity.accounts.sign_in import USUAL_NAME
from identity.errors import FeatureUnresolvedError
from identity.resolution.resolver import FeaturedArtists

TEXT_BYTES: Final = {"title": TITLE_BYTES, "album": ALBUM_BYTES, "description": DESCRIPTION_BYTES}
MOST_ITEMS: Final = {"tags": MAX_TAGS, "features": MAX_FEATURES, "self_labels": MAX_SELF_LABELS}
ITEM_CHARACTERS: Final = {"tags": TAG_CHARACTERS}
"""The limits as pages count them while a person types."""


def _parsed(value: Any, info: ValidationInfo) -> Any:
    """Return a structured value, which a form (the context says whether it is one) has as JSON text."""
    if not isinstance(value, str):
        return value
    if value.lower() == "null":
        return None
    try:
        return parsed(value.encode()) if info.context else value
    except TooComplexError:
        raise BodyTooComplexError from None
    except ValueError:
        raise InvalidFieldError(str(info.field_name), "must be JSON") from None


def _flag(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _gate(value: Any) -> SupportGate | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidFieldError("support_gate", "must be a JSON object or null")
    require_known_fields(value, ["type"], inside="support_gate.")
    if not isinstance(value.get("type"), str):
        raise InvalidFieldError("support_gate", "must have a `type`")
    return checked_support_gate(value["type"])


GATE_TYPE: Final = {"enum": list(GATE_TYPES), "description": "`any`: each supporter of the artist"}
Structured: Final = BeforeValidator(_parsed)
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda value: () if value is None else value), Structured]
Flag = Annotated[bool, Strict(), BeforeValidator(_flag)]
Gate = Annotated[
    SupportGate | None,
    BeforeValidator(_gate),
    Structured,
    WithJsonSchema({"type": ["object", "null"], "properties": {"type": GATE_TYPE}}),
]
Title = Annotated[str, AfterValidator(checked_title), Field(description=f"1 to {TITLE_BYTES} bytes")]
Description = Annotated[
    str | None,
    AfterValidator(checked_description),
    Field(description=f"at most {DESCRIPTION_BYTES} bytes; empty clears"),
]
OF_TAGS: Final = f"at most {MAX_TAGS} of at most {TAG_CHARACTERS} characters"
Tags = Annotated[Texts, AfterValidator(checked_tags), Field(description=OF_TAGS)]


class PlainFields(BaseModel):
    """What may be said of a track without a look at anything else."""

    title: Title = ""
    album: Annotated[str | None, AfterValidator(checked_album)] = Field(
        None, description=f"at most {ALBUM_BYTES} bytes; empty clears"
    )
    description: Description = None
    tags: Tags = ()
    self_labels: Annotated[Texts, AfterValidator(checked_self_labels)] = Field(
        (), description=f"at most {MAX_SELF_LABELS} of at most {SELF_LABEL_BYTES} bytes"
    )
    unlisted: Flag = Field(False, description="whether lists and searches leave the track out")
    downloads: Downloads = Field(
        Downloads.OPEN,
        description="who may download the audio, of those who may play it; empty is open",
    )


class TrackFields(PlainFields):
    """What an upload and an edit may say of a track."""

    features: Texts = Field((), description=f"at most {MAX_FEATURES} handles or DIDs")
    support_gate: Gate = Field(None, description="who may play the track; null or empty clears")


class UploadFields(TrackFields):
    title: Title


def without_defaults(schema: dict[str, Any]) -> None:
    for each in schema["properties"].values():
        del each["default"]


class Changes(BaseModel):
    """What is absent stays as it is."""

    model_config = ConfigDict(json_schema_extra=without_defaults)


class CoverChanges(Changes):
    remove_image: Flag = Field(False, description="whether to remove the cover; it wins over `image`")


class EditFields(CoverChanges, TrackFields):
    comments: Flag | None = Field(
        None, description="whether people may comment on it; empty is as the artist has set it for all tracks"
    )
    audio_name: Annotated[str | None, AfterValidator(checked_audio_name)] = Field(
        None,
        description=f"of the audio that it has, such as new master: at most {ALBUM_BYTES} bytes; empty clears",
    )
    listening_key: Annotated[str | None, AfterValidator(checked_listening_key)] = Field(
        None,
        description="a secret of your choice, 22 to 100 letters, digits, - and _: who has it may listen to all audio that the track has and had; empty ends that",
    )


class EditRow(Changes, PlainFields):
    """One of the tracks that are edited together, decided on this `version` of it."""

    id: Annotated[int, Strict()]
    version: Annotated[int, Strict()]


class RevertFields(BaseModel):
    to_version: Annotated[int, Strict(), Structured]
    fields: Texts = ()

    @classmethod
    def of(cls, word: str, fields: Iterable[str]) -> type[BaseModel]:
        """Return what the document says of a kind that has these fields."""
        version = Field(description=f"a `version` of the {word}'s history")
        some = Field((), description=f"which of {', '.join(fields)}; all when absent")
        return create_model(cls.__name__, to_version=(int, version), fields=(tuple[str, ...], some))


async def features_of(names: tuple[str, ...], artists: FeaturedArtists, artist: str) -> tuple[Feature, ...]:
    """Resolve the featured artists, without the track's own artist."""
    wanted = list(dict.fromkeys(names))
    if len(wanted) > MAX_FEATURES + 1:  # one may be the artist
        raise InvalidFieldError("features", f"at most {MAX_FEATURES} artists")
    try:
        found = await artists.resolve(artist, wanted)
    except FeatureUnresolvedError as error:
        limit = f"{error.identifier} could not be resolved ({error.reason})"
        raise InvalidFieldError("features", limit) from None
    return checked_features(each for each in found if each.did != artist)


class ProfileFields(BaseModel):
    display_name: Annotated[str | None, AfterValidator(checked_display_name)] = Field(
        None, description=f"at most {ARTIST_BYTES} bytes; empty shows the profile's again"
    )
    bio: Annotated[str | None, AfterValidator(checked_bio)] = Field(
        None, description=f"at most {BIO_GRAPHEMES} characters, in {BIO_BYTES} bytes; empty clears"
    )
    support_url: Annotated[str | None, AfterValidator(checked_support_url)] = Field(
        None, description="the https address where people support the artist; empty clears"
    )
    comments: Flag = Field(False, description="whether people may comment on tracks that say nothing else")


class LeaveFields(BaseModel):
    adopted: Annotated[int, Strict(), Structured] | None = Field(
        None,
        description="how many records go too that other programs made and were only adopted here; without it they stay",
    )


CommentText = Annotated[
    str, AfterValidator(checked_comment), Field(description=f"1 to {COMMENT_BYTES} bytes")
]
TimestampMs = Annotated[
    int,
    AfterValidator(checked_timestamp_ms),
    Strict(),
    Structured,
    Field(description="the place in the audio, in milliseconds"),
]


class CommentFields(BaseModel):
    text: CommentText
    timestamp_ms: TimestampMs


class EditCommentFields(Changes):
    text: CommentText = ""
    timestamp_ms: TimestampMs = 0


MAX_NAME_LENGTH: Final = 100
RESERVED_NAMES: Final = frozenset({"", "operator", "relay", "service", "you", USUAL_NAME.replace(" ", "")})
"""What history calls others than programs, without `the` and `mastertape`."""
DEFAULT_DAYS: Final = 30


def _name(name: str) -> str:
    """Return the name, which history shows as the way in of what the token changes; raises InvalidFieldError."""
    if len(name) > MAX_NAME_LENGTH or not name.isprintable() or not is_visible(name):
        raise InvalidFieldError("name", f"at most {MAX_NAME_LENGTH} characters that can be printed")
    if is_reserved(name):
        raise InvalidFieldError("name", "must not be that of the operator, the service or its relay")
    return name


def is_reserved(name: str) -> bool:
    """Whether history would take the name for another's; case, spaces, signs and what cannot be seen do not count."""
    folded = "".join(filter(str.isalnum, unicodedata.normalize("NFKD", name).casefold()))
    return folded != "" and folded.replace("mastertape", "").removeprefix("the") in RESERVED_NAMES


Filled = Annotated[str, StringConstraints(min_length=1, max_length=512)]
TokenName = Annotated[
    str,
    Field(
        description=f"at most {MAX_NAME_LENGTH} printable characters; history shows it, and those of the operator, "
        "the service and its relay are reserved"
    ),
]


class TokenFields(BaseModel):
    name: Annotated[TokenName, AfterValidator(_name)]
    scope: Scope = Field(Scope.WRITE, description=f"{Scope.WRITE} when absent")
    expires_in_days: int = Field(DEFAULT_DAYS, ge=1, le=365, description=f"{DEFAULT_DAYS} when absent")

    @property
    def expires_in(self) -> timedelta:
        return timedelta(days=self.expires_in_days)


class SignInFields(TokenFields):
    identifier: Filled = Field(description="a handle or a DID")
    password: SecretStr = Field(min_length=1, max_length=512, description="an app password")
    name: Annotated[TokenName, AfterValidator(lambda name: name if name == USUAL_NAME else _name(name))] = (
        USUAL_NAME
    )
