"""A second kind of record, which lives in the tests alone: what an account remarks on another record."""

from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from aggregates import published_events
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


class Created(published_events.Created):
    TOPIC = "remark.created.v1"
    did: str
    remark_id: int
    text: str
    subject: dict[str, str]
    created_at: str
    collection: str
    rkey: str


class Reworded(published_events.PublishedEvent):
    TOPIC = "remark.reworded.v1"
    TOUCHES_RECORD = True
    text: str

    def assign(self, remark: "Remark") -> None:
        remark.text = self.text


class Remark(Published, created_event_name="Created"):
    TOPIC = "remark"
    METADATA = ("text", "subject")

    Created = Created
    Reworded = Reworded

    remark_id: int
    text: str
    subject: dict[str, str]

    def __init__(self) -> None:  # the library would make another
        super().__init__()

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
    return Remark.register(at=at, **given)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidFieldError("text", "must be a text")
    return value


class RemarkRecords(RecordKind):
    aggregate = Remark
    lexicon_id = REMARKS
    is_optional = True
    own_fields = frozenset({"$type", "text", "subject", "createdAt", GENERATION})
    adoptable: ClassVar = {"text": ("text", _text)}

    @cached_property
    def lexicon(self) -> Lexicon:
        return Lexicon(DOCUMENT, known_lexicons())

    def record_of(self, state: Remark, generation: int) -> Record:
        return {
            "$type": state.collection,
            "text": state.text,
            "subject": {"$type": f"{REMARKS}#whole", "record": state.subject},
            "createdAt": state.created_at,
            GENERATION: generation,
        }


def record_kinds(settings: Settings, urls: RecordUrls) -> RecordKinds:
    return RecordKinds(*log.record_kinds(settings, urls), RemarkRecords())
