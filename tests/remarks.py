"""A second kind of record, which lives in the tests alone: what an account remarks on another record."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from aggregates import published
from aggregates.errors import InvalidFieldError
from aggregates.published import Published
from outbox.record.dag_cbor import Record
from outbox.record.kind import GENERATION, Lexicon, RecordKind, RecordKinds, known_lexicons
from outbox.tracks.record import RecordUrls
from service.config.settings import Settings
from service.wiring import log
from tests.dsl import ALICE, START, some_time

REMARKS = "com.example.remark"
A_RECORD = {
    "uri": "at://did:plc:bob/fm.plyr.track/3kabc",
    "cid": "bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",
}
DOCUMENT = {
    "lexicon": 1,
    "id": REMARKS,
    "defs": {
        "main": {
            "type": "record",
            "key": "tid",
            "record": {
                "type": "object",
                "required": ["text", "subject", "createdAt"],
                "properties": {
                    "text": {"type": "string", "minLength": 1, "maxLength": 100},
                    "subject": {"type": "union", "closed": True, "refs": ["#whole"]},
                    "createdAt": {"type": "string", "format": "datetime"},
                },
            },
        },
        "whole": {
            "type": "object",
            "required": ["record"],
            "properties": {"record": {"type": "ref", "ref": "com.atproto.repo.strongRef"}},
        },
    },
}


class Created(published.Created):
    TOPIC = "remark.created.v1"
    did: str
    remark_id: int
    text: str
    subject: dict[str, str]
    created_at: str
    collection: str
    rkey: str


class Reworded(published.PublishedEvent):
    TOPIC = "remark.reworded.v1"
    TOUCHES_RECORD = True
    text: str

    def assign(self, remark: "Remark") -> None:
        remark.text = self.text


class Adopted(Created):
    TOPIC = "remark.adopted.v1"
    TOUCHES_RECORD = False
    RECREATES_RECORD = False

    def sets_generation(self) -> bool:
        return True


class RecordMissing(published.RecordMissing):
    TOPIC = "remark.record_missing.v1"


class ForeignEditObserved(published.ForeignEditObserved):
    TOPIC = "remark.foreign_edit_observed.v1"


class ForeignEditAdopted(published.ForeignEditAdopted):
    TOPIC = "remark.foreign_edit_adopted.v1"


class ForeignEditWithdrawn(published.ForeignEditWithdrawn):
    TOPIC = "remark.foreign_edit_withdrawn.v1"


class RecordRestored(published.RecordRestored):
    TOPIC = "remark.record_restored.v1"


class NamespaceMigrated(published.NamespaceMigrated):
    TOPIC = "remark.namespace_migrated.v1"


class Deleted(published.Deleted):
    TOPIC = "remark.deleted.v1"


class Undeleted(published.Undeleted):
    TOPIC = "remark.undeleted.v1"


class Remark(Published, created_event_name="Created"):
    TOPIC = "remark"
    METADATA = ("text", "subject")

    Event = published.PublishedEvent
    Created = Created
    Adopted = Adopted
    Reworded = Reworded
    RecordMissing = RecordMissing
    ForeignEditObserved = ForeignEditObserved
    ForeignEditAdopted = ForeignEditAdopted
    ForeignEditWithdrawn = ForeignEditWithdrawn
    RecordRestored = RecordRestored
    NamespaceMigrated = NamespaceMigrated
    Deleted = Deleted
    Undeleted = Undeleted

    remark_id: int
    text: str
    subject: dict[str, str]

    def __init__(self) -> None:  # the library would make another
        super().__init__()

    @staticmethod
    def create_id(remark_id: int) -> UUID:
        return Remark.stream_id(remark_id)

    @property
    def subject_id(self) -> int:
        return self.remark_id

    @classmethod
    def adopt(cls, *, at: datetime, **fields: Any) -> "Remark":
        return cls._create(cls.Adopted, timestamp=at, **fields)

    def reword(self, text: str, *, at: datetime) -> None:
        self.require_live()
        if text != self.text:
            self.trigger_event(Reworded, text=text, timestamp=at)


def a_remark(remark_id: int = 1, *, at: datetime = START, **fields: Any) -> Remark:
    given = {
        "did": ALICE,
        "remark_id": remark_id,
        "text": f"Remark {remark_id}",
        "subject": A_RECORD,
        "created_at": some_time(remark_id).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "collection": REMARKS,
        "rkey": f"remark{remark_id}",
        **fields,
    }
    return Remark._create(Remark.Created, timestamp=at, **given)  # noqa: SLF001 - it has no other command


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidFieldError("text", "must be a text")
    return value


class RemarkRecords(RecordKind):
    aggregate = Remark
    own_fields = frozenset({"$type", "text", "subject", "createdAt", GENERATION})
    adoptable: ClassVar = {"text": ("text", _text)}

    def __init__(self) -> None:
        super().__init__(Lexicon(DOCUMENT, known_lexicons()))

    def record_of(self, state: Remark, generation: int) -> Record:
        return {
            "$type": state.collection,
            "text": state.text,
            "subject": {"$type": f"{REMARKS}#whole", "record": state.subject},
            "createdAt": state.created_at,
            GENERATION: generation,
        }

    def take_back(self, state: Remark, record: Record, *, at: datetime) -> None:
        """Nothing: a restored log has lost nothing of a remark that must not wait."""


def record_kinds(settings: Settings, urls: RecordUrls) -> RecordKinds:
    return RecordKinds(*log.record_kinds(settings, urls), RemarkRecords())
