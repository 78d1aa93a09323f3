"""Maps a profile's state to its record, and a record to the fields of a profile."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from aggregates.accounts.profile import Profile
from aggregates.errors import InvalidFieldError
from aggregates.values import checked_bio
from outbox.record.dag_cbor import Record
from outbox.record.kind import FORMATS, GENERATION, RecordKind, edited, optional_text


def _bio(value: Any) -> str | None:
    return checked_bio(optional_text("bio", value))


class ProfileRecords(RecordKind):
    """`address` returns where this service serves a picture."""

    aggregate = Profile
    lexicon_id = "fm.plyr.actor.profile"
    is_optional = True
    own_fields = frozenset({"$type", "bio", "avatar", "createdAt", GENERATION})
    addresses = ("avatar",)
    only_key = "self"
    adoptable: ClassVar = {"bio": ("bio", _bio)}

    def __init__(self, address: Callable[[str], str], collection: str | None = None) -> None:
        super().__init__(collection)
        self.address: Final = address

    def record_of(self, state: Profile, generation: int) -> Record:
        fields: dict[str, Any] = {
            "$type": state.collection,
            "bio": state.bio,
            "avatar": self.address(state.avatar.cid) if state.avatar is not None else state.avatar_url,
            "createdAt": state.created_at,
            GENERATION: generation,
        }
        return {name: value for name, value in fields.items() if value} | edited(state.edited_at)

    def fields_of(self, record: Mapping[str, Any]) -> dict[str, Any]:
        avatar_url, created_at = record.get("avatar"), record.get("createdAt")
        if avatar_url is not None and not (isinstance(avatar_url, str) and FORMATS["uri"](avatar_url)):
            raise InvalidFieldError("avatar", "must be an address")
        if not isinstance(created_at, str):
            raise InvalidFieldError("createdAt", "must be a time as in RFC 3339")
        return {"bio": _bio(record.get("bio")), "avatar_url": avatar_url, "created_at": created_at}
