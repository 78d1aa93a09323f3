"""What every aggregate of an account has, and those whose state is a record on its PDS: their state, and the commands that raise its events."""

import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, Final, NamedTuple, Self
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.domain import Aggregate

from aggregates import published_events as events
from aggregates.errors import DeletedError, UndecidedForeignEditError
from aggregates.published_events import PublishedEvent, as_stored
from aggregates.values import Audio, BlobRef


class Subject(NamedTuple):
    """Names one of an account's aggregates: its id is unique among its kind."""

    kind: str
    id: int

    @classmethod
    def of(cls, owned: "Owned") -> "Subject":
        return cls(owned.TOPIC, owned.subject_id)

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


def shared_events(cls: type["Published"]) -> dict[str, type[Aggregate.Event]]:
    """Return the events that a kind has from its bases, by name."""
    bases = (each for each in reversed(cls.__mro__[1:]) if issubclass(each, Published))
    return {event.__name__: event for base in bases for event in event_classes(base)}


_WORD: Final = re.compile("(?<!^)(?=[A-Z])")


class Owned(Aggregate):
    """One of an account's aggregates, other than its own. Commands decide and trigger one event; events only assign."""

    TOPIC: ClassVar[str]
    """The stored name of the kind."""
    SHOWN: ClassVar[tuple[str, ...]]
    """Every field whose changes the history shows, in order."""
    Deleted: ClassVar[type[Any]]

    did: str
    visible_version: int

    def __init__(self) -> None:
        self.deleted_at: datetime | None = None

    @classmethod
    def create_id(cls, subject_id: int) -> UUID:
        return Subject(cls.TOPIC, subject_id).stream_id

    @classmethod
    def subjects(cls, ids: Iterable[int]) -> list[Subject]:
        return [Subject(cls.TOPIC, each) for each in ids]

    @property
    def subject_id(self) -> int:
        number: int = getattr(self, f"{self.TOPIC}_id")
        return number

    @property
    def word(self) -> str:
        """What people call it."""
        return self.TOPIC

    @property
    def is_public(self) -> bool:
        """Whether other accounts may know of it."""
        return False

    def delete(self, *, at: datetime) -> None:
        """Delete it; a second time is no change."""
        if self.deleted_at is None:
            self.trigger_event(self.Deleted, timestamp=at)

    def require_live(self) -> None:
        if self.deleted_at is not None:
            raise DeletedError


class Published(Owned):
    """An aggregate with a record."""

    METADATA: ClassVar[tuple[str, ...]]
    """The fields that one event sets together. Those of them that the record has, another client's edit may change."""
    SHOWN: ClassVar[tuple[str, ...]] = (
        *("record_missing_since", "foreign_edit", "deleted_at", "taken_down_at", "takedown_reason"),
        *("created_at", "collection", "rkey"),
    )
    """Those of METADATA come before these."""

    Adopted: ClassVar[type[Any]] = type(None)
    """A kind whose records are never adopted has none."""
    Edited: ClassVar[type[Any]] = type(None)
    """A kind without METADATA has none."""
    SETTERS: ClassVar[Mapping[str, Callable[..., None]]] = {}
    """By field, of those of its owner that have an event of their own, in the order in which an edit sets them."""

    Event = PublishedEvent
    RecordMissing = events.RecordMissing
    ForeignEditObserved = events.ForeignEditObserved
    ForeignEditAdopted = events.ForeignEditAdopted
    ForeignEditWithdrawn = events.ForeignEditWithdrawn
    RecordRestored = events.RecordRestored
    NamespaceMigrated = events.NamespaceMigrated
    Deleted = events.Deleted
    Undeleted = events.Undeleted
    TakenDown = events.TakenDown
    TakedownLifted = events.TakedownLifted
    # these each kind has as its own, with the topic `kind.name.v1`

    created_at: str
    collection: str
    rkey: str
    updated_at: datetime

    def __init__(self) -> None:
        super().__init__()
        self.former_collections: tuple[str, ...] = ()
        self.record_missing_since: datetime | None = None
        self.foreign_edit: str | None = None
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

    @property
    def is_public(self) -> bool:
        return self.deleted_at is None and self.taken_down_at is None

    @property
    def wants_record(self) -> bool:
        """Whether its PDS is to have a record of it: a kind may have live ones without."""
        return self.deleted_at is None

    @property
    def desired_blob(self) -> DesiredBlob | None:
        """None if it is neither requested nor on the PDS."""
        return None

    def edit(self, changes: Mapping[str, Any], *, at: datetime) -> None:
        """Set the given fields of METADATA and SETTERS, checked values (see aggregates.values), where they differ."""
        self.require_live()
        if stored := self.stored_changes(changes):
            self.trigger_event(self.Edited, changes=stored, timestamp=at)
        for name, set_field in self.SETTERS.items():
            if name in changes:
                set_field(self, changes[name], at=at)

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
