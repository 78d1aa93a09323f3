"""The events that each kind with a record has, as subclasses of its own: their topics are stored data."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from eventsourcing.domain import Aggregate, MetaDomainEvent

if TYPE_CHECKING:
    from aggregates.published import Published


def assign_fields(aggregate: Aggregate, values: Mapping[str, Any]) -> None:
    """Set fields of an aggregate to stored values: events have lists where the aggregate has tuples."""
    for field, value in values.items():
        setattr(aggregate, field, tuple(value) if isinstance(value, list) else value)


def own_fields(event: Aggregate.Event) -> dict[str, Any]:
    """Return what an event has beside what each event has."""
    return {
        field: value
        for field, value in vars(event).items()
        if field not in Aggregate.Event.__dataclass_fields__
    }


def as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in the form that events store: lists, where an aggregate has tuples, and texts for enums."""
    return {
        field: list(value)
        if isinstance(value, tuple)
        else str(value)
        if isinstance(value, StrEnum)
        else value
        for field, value in values.items()
    }


class EventType(MetaDomainEvent):
    """Makes no dataclass of an event that adds no field to its first base: each takes half a millisecond of a start."""

    def __new__(cls, name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any]) -> type[Any]:
        known = bases[0].__dataclass_fields__.keys()
        if "__annotations__" in namespace or any(each.__dataclass_fields__.keys() - known for each in bases):
            return super().__new__(cls, name, bases, namespace)
        return type.__new__(cls, name, bases, namespace)


class PublishedEvent(Aggregate.Event, metaclass=EventType):
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
        """Set what this event changes: its fields, unless its class says otherwise. No clock, no I/O, no refusal."""
        assign_fields(aggregate, own_fields(self))


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
def declared(aggregate: type[Aggregate]) -> frozenset[str]:
    """Return the names of the fields that the classes of an aggregate declare."""
    classes = (each for each in aggregate.__mro__ if issubclass(each, Aggregate) and each is not Aggregate)
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
