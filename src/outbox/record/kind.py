"""What the outbox has to know of a kind of record. All else knows a record's kind and subject, and nothing of its content.

The subject is the aggregate that the record is made of: its id is unique within the kind.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

from aggregates.published import Published
from outbox.record.dag_cbor import MAX_INTEGER, Record
from outbox.record.lexicon import Lexicon

GENERATION: Final = "mastertapeGen"
"""The field of each record of ours that names its generation."""


class RecordKind(ABC):
    """One kind of record; `name` is stored with each of them."""

    aggregate: ClassVar[type[Published]]
    own_fields: ClassVar[frozenset[str]]
    """The fields that we write; others belong to other clients, and stay as they are."""
    addresses: ClassVar[Sequence[str]] = ()
    """Those of them that name an address of this service."""
    blob_field: ClassVar[str | None] = None
    """That of them that names a blob."""
    adoptable: ClassVar[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {}
    """By field of the record that its owner may take over from another client: the aggregate's field, and what checks a value."""

    def __init__(
        self, lexicon: Lexicon, collection: str | None = None, old_collection: str | None = None
    ) -> None:
        self.lexicon: Final = lexicon
        self.collection: Final = collection or lexicon.id
        """That of new records."""
        self.old_collection: Final = old_collection
        """That which older records may be moved from."""

    @property
    def name(self) -> str:
        return self.aggregate.TOPIC

    @property
    def collections(self) -> list[str]:
        """All that may hold records of the kind."""
        return [each for each in (self.collection, self.old_collection) if each is not None]

    @abstractmethod
    def record_of(self, state: Any, generation: int) -> Record:
        """Return the record of a live subject as of `generation`, a log position; empty fields are absent."""

    @abstractmethod
    def take_back(self, state: Any, record: Record, *, at: datetime) -> None:
        """Set what a restored log has lost, the record names, and must not wait for its owner to decide on the rest."""

    def merged(self, desired: Record, observed: Mapping[str, Any] | None) -> Record:
        """Add the observed fields that are not ours."""
        foreign = {name: value for name, value in (observed or {}).items() if name not in self.own_fields}
        return {**foreign, **desired}

    def own_part(self, record: Mapping[str, Any]) -> Record:
        """Return our own fields, without the generation, to compare contents."""
        return {
            name: value for name, value in record.items() if name in self.own_fields and name != GENERATION
        }


class RecordKinds:
    """All kinds of record that this service writes."""

    def __init__(self, *kinds: RecordKind) -> None:
        self._by_name: Final = {kind.name: kind for kind in kinds}

    def __getitem__(self, name: str) -> RecordKind:
        return self._by_name[name]

    def __iter__(self) -> Iterator[RecordKind]:
        return iter(self._by_name.values())

    @property
    def collections(self) -> list[str]:
        """All that may hold records of ours."""
        return [collection for kind in self for collection in kind.collections]


MAX_LINK_LENGTH: Final = 256
MAX_MIME_LENGTH: Final = 255


def blob_reference(value: Any) -> Record | None:
    """Return the parts of a reference alone: what else another client put there, the log would keep for ever.

    None if it is no reference, or a part is longer than any real one.
    """
    match value:
        case {"$type": "blob", "ref": {"$link": str(link)}, "mimeType": str(mime), "size": int(size)}:
            is_type = len(mime) <= MAX_MIME_LENGTH and mime.isascii() and mime.isprintable()
            if is_type and len(link) <= MAX_LINK_LENGTH and 0 <= size <= MAX_INTEGER:
                return {"$type": "blob", "ref": {"$link": link}, "mimeType": mime, "size": size}
    return None
