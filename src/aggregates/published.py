"""What every aggregate has whose state is a record on its owner's PDS: the events of that record, and the commands that raise them.

Each kind has these events as subclasses of its own, since their topics are stored data.
"""

import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, ClassVar, Final, NamedTuple, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.domain import Aggregate

from aggregates.errors import DeletedError, UndecidedForeignEditError
from aggregates.values import Audio, BlobRef


class Subject(NamedTuple):
    """Names an aggregate with a record: its id is unique among its kind."""

    kind: str
    id: int

    @classmethod
    def of(cls, published: "Published") -> "Subject":
        return cls(published.TOPIC, published.subject_id)

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"

    @property
    @lru_cache(maxsize=4096)  # noqa: B019 - equal subjects share one
    def stream_id(self) -> UUID:
        return uuid5(NAMESPACE_URL, f"mastertape:{self.kind}:{self.id}")


class DesiredBlob(NamedTuple):
    """The blob that a record is to name: whether it is still to be uploaded, and whether the PDS has had it."""

    cid: str
    is_requested: bool
    is_on_pds: bool


def event_classes(aggregate: Any) -> list[type[Aggregate.Event]]:
    """Return the event classes of an aggregate's class, in the order of its life."""
    base = aggregate.Event
    members = (each for each in vars(aggregate).values() if isinstance(each, type))
    return [each for each in members if issubclass(each, base) and each is not base]


def assign_fields(aggregate: Aggregate, values: Mapping[str, Any]) -> None:
    """Set fields of an aggregate to stored values: events have lists where the aggregate has tuples."""
    for field, value in values.items():
        setattr(aggregate, field, tuple(value) if isinstance(value, list) else value)


def as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in the form that events store: lists, where an aggregate has tuples."""
    return {field: list(value) if isinstance(value, tuple) else value for field, value in values.items()}


class PublishedEvent(Aggregate.Event):
    """Base of the events of an aggregate with a record."""

    TOUCHES_RECORD: ClassVar[bool] = False
    RECREATES_RECORD: ClassVar[bool] = False
    """Whether the record is written even where it is absent, until the PDS has confirmed one since."""
    BY_RELAY: ClassVar[bool] = False
    REPLACES_BYTES: ClassVar[bool] = False
    """Whether other bytes are to be the record's blob from now on."""
    BRINGS_BLOB: ClassVar[bool] = False
    """Whether the PDS has taken the bytes: the record may name them."""

    def touches_record(self) -> bool:
        """Whether the relay has to write the record again because of this event."""
        return self.TOUCHES_RECORD

    def sets_generation(self) -> bool:
        """Whether the event is a new generation of the record, even one that the PDS holds already."""
        return self.touches_record()

    def apply(self, aggregate: Any) -> None:
        self.assign(aggregate)
        if not self.BY_RELAY:
            aggregate.visible_version = self.originator_version
            aggregate.updated_at = self.timestamp

    def assign(self, aggregate: Any, /) -> None:
        """Set what this event changes. No clock, no I/O, no refusal."""


class Created(PublishedEvent, Aggregate.Created):
    """The owner made it; the fields of a kind's class are set on the aggregate where that declares them."""

    TOUCHES_RECORD = True
    RECREATES_RECORD = True

    def assign(self, aggregate: Any, /) -> None:
        aggregate_class: type[Published] = type(aggregate)
        known = declared(aggregate_class)
        assign_fields(aggregate, {field: value for field, value in vars(self).items() if field in known})


class Adopted(Created):
    """It was adopted from a record with `cid` that is on its account's PDS already."""

    RECREATES_RECORD = False
    cid: str

    def touches_record(self) -> bool:
        return False

    def sets_generation(self) -> bool:
        return True


class Edited(PublishedEvent):
    """Its owner edited fields of METADATA, all of which are in the record: only what changed, null means removed."""

    TOUCHES_RECORD = True
    changes: dict[str, Any]

    def assign(self, aggregate: Any, /) -> None:
        assign_fields(aggregate, self.changes)
        aggregate.edited_at = self.timestamp


@cache
def declared(aggregate: type["Published"]) -> frozenset[str]:
    """Return the names of the fields that the classes of an aggregate declare."""
    classes = (each for each in aggregate.__mro__ if issubclass(each, Published))
    return frozenset(name for each in classes for name in each.__annotations__)


class RecordMissing(PublishedEvent):
    """The record was deleted elsewhere; only its owner can have it written again."""

    BY_RELAY = True
    observed_at: datetime

    def assign(self, aggregate: "Published", /) -> None:
        aggregate.record_missing_since = self.observed_at
        aggregate.foreign_edit = None


class ForeignEditObserved(PublishedEvent):
    """Another client changed our fields in the record; it is held until its owner decides which version to keep."""

    BY_RELAY = True
    cid: str

    def assign(self, aggregate: "Published", /) -> None:
        aggregate.foreign_edit = self.cid


class ForeignEditAdopted(PublishedEvent):
    """The owner adopted what another client wrote in the record; `changes` is what changed here, null means removed."""

    cid: str
    changes: dict[str, Any]

    def sets_generation(self) -> bool:
        return True

    def assign(self, aggregate: "Published", /) -> None:
        aggregate.foreign_edit = None
        assign_fields(aggregate, self.changes)


class ForeignEditWithdrawn(PublishedEvent):
    """The other client took its edit, or its delete, back before the owner decided; nothing is left to decide."""

    BY_RELAY = True
    cid: str

    def assign(self, aggregate: "Published", /) -> None:
        aggregate.foreign_edit = None
        aggregate.record_missing_since = None


class RecordRestored(PublishedEvent):
    """The owner wants the record to equal what is here again, after it was deleted or edited elsewhere."""

    TOUCHES_RECORD = True
    RECREATES_RECORD = True

    def assign(self, aggregate: "Published", /) -> None:
        aggregate.record_missing_since = None
        aggregate.foreign_edit = None


class NamespaceMigrated(PublishedEvent):
    """The record moves to another collection, under the same key; the old one is deleted once the new one is there.

    It may be in that collection already: then only the PDS knew of the old record.
    """

    TOUCHES_RECORD = True
    RECREATES_RECORD = True
    old_collection: str
    collection: str
    rkey: str

    def assign(self, aggregate: "Published", /) -> None:
        left = dict.fromkeys([*aggregate.former_collections, self.old_collection])
        left.pop(self.collection, None)
        aggregate.former_collections = tuple(left)
        aggregate.collection = self.collection
        aggregate.record_missing_since = None


class Deleted(PublishedEvent):
    """It is hidden and its record is to be removed; bytes stay within the grace period."""

    TOUCHES_RECORD = True

    def assign(self, aggregate: "Published", /) -> None:
        aggregate.deleted_at = self.timestamp
        aggregate.record_missing_since = None
        aggregate.foreign_edit = None


class Undeleted(PublishedEvent):
    """It is back, with the same key and content."""

    TOUCHES_RECORD = True
    RECREATES_RECORD = True

    def assign(self, aggregate: "Published", /) -> None:
        aggregate.deleted_at = None


class TakenDown(PublishedEvent):
    """An operator hides it from all but its owner and operators; its record stays."""

    reason: str

    def assign(self, aggregate: "Published", /) -> None:
        aggregate.taken_down_at = self.timestamp
        aggregate.takedown_reason = self.reason


class TakedownLifted(PublishedEvent):
    """An operator shows it again; nothing else does."""

    reason: str

    def assign(self, aggregate: "Published", /) -> None:
        aggregate.taken_down_at = None
        aggregate.takedown_reason = None


def shared_events(cls: type["Published"]) -> dict[str, type[Aggregate.Event]]:
    """Return the events that a kind has from its bases, by name."""
    bases = (each for each in reversed(cls.__mro__[1:]) if issubclass(each, Published))
    return {event.__name__: event for base in bases for event in event_classes(base)}


_WORD: Final = re.compile("(?<!^)(?=[A-Z])")


class Published(Aggregate):
    """An aggregate with a record. Commands decide and trigger one event; events only assign."""

    TOPIC: ClassVar[str]
    """The stored name of the kind."""
    METADATA: ClassVar[tuple[str, ...]]
    """The fields that one event sets together. Those of them that the record has, another client's edit may change."""
    SHOWN: ClassVar[tuple[str, ...]] = (
        *("record_missing_since", "foreign_edit", "deleted_at", "taken_down_at", "takedown_reason"),
        *("created_at", "collection", "rkey"),
    )
    """Every field whose changes the history shows, in order; those of METADATA come before these."""

    Adopted: ClassVar[type[Any]] = type(None)
    """A kind whose records are never adopted has none."""

    Event = PublishedEvent
    RecordMissing = RecordMissing
    ForeignEditObserved = ForeignEditObserved
    ForeignEditAdopted = ForeignEditAdopted
    ForeignEditWithdrawn = ForeignEditWithdrawn
    RecordRestored = RecordRestored
    NamespaceMigrated = NamespaceMigrated
    Deleted = Deleted
    Undeleted = Undeleted
    TakenDown = TakenDown
    TakedownLifted = TakedownLifted
    # these each kind has as its own, with the topic `kind.name.v1`

    did: str
    created_at: str
    collection: str
    rkey: str
    visible_version: int
    updated_at: datetime

    def __init__(self) -> None:
        self.former_collections: tuple[str, ...] = ()
        self.record_missing_since: datetime | None = None
        self.foreign_edit: str | None = None
        self.deleted_at: datetime | None = None
        self.taken_down_at: datetime | None = None
        self.takedown_reason: str | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        if (kind := vars(cls).get("TOPIC")) is not None:
            cls.Event = vars(cls).get("Event") or PublishedEvent  # the library would make another
            cls.SHOWN = vars(cls).get("SHOWN") or (*cls.METADATA, *Published.SHOWN)
            for name, shared in shared_events(cls).items():
                if name not in vars(cls):
                    topic = f"{kind}.{_WORD.sub('_', name).lower()}.v1"
                    named = {"TOPIC": topic, "__module__": cls.__module__}
                    setattr(cls, name, type(name, (shared, cls.Event), named))
        super().__init_subclass__(**options)

    @classmethod
    def register(cls, *, at: datetime, **fields: Any) -> Self:
        """Make one from the fields of Created; `created_at` is the text that the record keeps verbatim."""
        return cls._made(cls.Created, at, fields)

    @classmethod
    def adopt(cls, *, at: datetime, **fields: Any) -> Self:
        """Make one from the fields of Adopted, for a record that its owner's PDS holds already."""
        return cls._made(cls.Adopted, at, fields)

    @classmethod
    def _made(cls, event: type[Any], at: datetime, fields: Mapping[str, Any]) -> Self:
        stream = cls.create_id(fields[f"{cls.TOPIC}_id"])
        return cls._create(event, id=stream, timestamp=at, **as_stored(fields))

    @classmethod
    def create_id(cls, subject_id: int) -> UUID:
        """Return the aggregate id of the one with this id among its kind."""
        return Subject(cls.TOPIC, subject_id).stream_id

    @classmethod
    def subjects(cls, ids: Iterable[int]) -> list[Subject]:
        return [Subject(cls.TOPIC, each) for each in ids]

    @property
    def subject_id(self) -> int:
        """The id among its kind."""
        number: int = getattr(self, f"{self.TOPIC}_id")
        return number

    @property
    def word(self) -> str:
        """What people call it."""
        return self.TOPIC

    @property
    def is_public(self) -> bool:
        """Whether other accounts may know of it."""
        return self.deleted_at is None and self.taken_down_at is None

    @property
    def wants_record(self) -> bool:
        """Whether its PDS is to have a record of it: a kind may have live ones without."""
        return self.deleted_at is None

    @property
    def desired_blob(self) -> DesiredBlob | None:
        """None if it is neither requested nor on the PDS."""
        return None

    def restore_record(self, *, at: datetime) -> None:
        """Request that the record is written again, after it was deleted or edited elsewhere."""
        self.require_live()
        self.trigger_event(self.RecordRestored, timestamp=at)

    def adopt_foreign_edit(self, cid: str, changes: Mapping[str, Any], *, at: datetime) -> None:
        """Adopt fields of METADATA, checked values, from the record with this CID, which another client wrote."""
        self.require_live()
        stored = self.stored_changes(changes)
        self.trigger_event(self.ForeignEditAdopted, cid=cid, changes=stored, timestamp=at)

    def migrate_namespace(self, collection: str, *, old_collection: str | None = None, at: datetime) -> None:
        """Move the record to another collection; from the same one is no change. Raises UndecidedForeignEditError.

        `old_collection` is where the PDS has the record, if the log does not say so.
        """
        self.require_live()
        if self.foreign_edit is not None:
            raise UndecidedForeignEditError(self.word)
        left = old_collection or self.collection
        if collection != left:
            where = {"old_collection": left, "collection": collection, "rkey": self.rkey}
            self.trigger_event(self.NamespaceMigrated, **where, timestamp=at)

    def delete(self, *, at: datetime) -> None:
        """Delete it; a second time is no change."""
        if self.deleted_at is None:
            self.trigger_event(self.Deleted, timestamp=at)

    def undelete(self, *, at: datetime) -> None:
        """Undelete it; a live one is no change."""
        if self.deleted_at is not None:
            self.trigger_event(self.Undeleted, timestamp=at)

    # Operators decide on deleted ones too: otherwise, an undelete would lift a takedown.

    def take_down(self, reason: str, *, at: datetime) -> None:
        """Hide it from all but its owner and operators; a second time is no change."""
        if self.taken_down_at is None:
            self.trigger_event(self.TakenDown, reason=reason, timestamp=at)

    def lift_takedown(self, reason: str, *, at: datetime) -> None:
        """Lift a takedown; without one, no change."""
        if self.taken_down_at is not None:
            self.trigger_event(self.TakedownLifted, reason=reason, timestamp=at)

    def record_missing(self, *, observed_at: datetime) -> None:
        """Record that the record was deleted elsewhere."""
        if self.deleted_at is None and self.record_missing_since is None:
            self.trigger_event(self.RecordMissing, observed_at=observed_at, timestamp=observed_at)

    def record_foreign_edit(self, cid: str, *, observed_at: datetime) -> None:
        """Record that another client changed the record; the same CID is recorded once, until the owner decides."""
        if self.deleted_at is None and self.foreign_edit != cid:
            self.trigger_event(self.ForeignEditObserved, cid=cid, timestamp=observed_at)

    def record_foreign_edit_withdrawn(self, cid: str | None, *, observed_at: datetime) -> None:
        """Record that the PDS no longer has the foreign edit with this CID, or has the missing record with it again.

        One that the owner has decided is no change.
        """
        if cid is not None and (self.foreign_edit == cid or self.record_missing_since is not None):
            self.trigger_event(self.ForeignEditWithdrawn, cid=cid, timestamp=observed_at)

    def stored_changes(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return those values of METADATA that differ, as events store them."""
        wanted = {field: changes[field] for field in self.METADATA if field in changes}
        return as_stored({field: value for field, value in wanted.items() if value != getattr(self, field)})

    def require_live(self) -> None:
        if self.deleted_at is not None:
            raise DeletedError


def has_record(before: Published | None, after: Published) -> bool:
    """Whether a change may concern a record, which its PDS is to have now, or was to have before."""
    return after.wants_record or (before is not None and before.wants_record)


class WithBlob(Published):
    """Its record can name bytes of ours, which the relay uploads before."""

    def __init__(self) -> None:  # the library would make another
        super().__init__()

    @property
    @abstractmethod
    def blob_bytes(self) -> Audio:
        """The bytes."""

    @abstractmethod
    def wants_blob(self, audio_cid: str) -> bool:
        """Whether the record is to name a blob with this CID."""

    @abstractmethod
    def record_blob(self, blob: BlobRef, *, at: datetime) -> None:
        """Record the blob that the PDS returned."""

    @abstractmethod
    def record_blob_failure(self, reason: str, *, final: bool, at: datetime) -> None:
        """Record that the PDS did not take it."""

    @abstractmethod
    def record_blob_lost(self, reason: str, *, at: datetime) -> None:
        """Record that the PDS has lost it and refuses it."""
