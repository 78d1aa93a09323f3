"""What the outbox has to know of a kind of record. All else knows a record's kind and subject, and nothing of its content.

The subject is the aggregate that the record is made of: its id is unique within the kind.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from aggregates.errors import InvalidFieldError
from aggregates.published import Published
from aggregates.values import graphemes
from eventstore.errors import NewerReleaseError
from outbox.record.dag_cbor import MAX_INTEGER, Record

MAX_DID_CHARACTERS: Final = 512
MAX_HANDLE_CHARACTERS: Final = 253
MAX_RKEY_CHARACTERS: Final = 512
MAX_CID_CHARACTERS: Final = 256
MAX_URI_CHARACTERS: Final = 1024
"""Of a record. A row of an index of PostgreSQL holds 2704 bytes, and one has a DID beside a URI (tests/service/schema/test_longest_texts.py)."""
DID: Final = re.compile(rf"(?![^/]{{{MAX_DID_CHARACTERS + 1}}})did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]")
HANDLE: Final = re.compile(
    rf"(?![^/]{{{MAX_HANDLE_CHARACTERS + 1}}})"
    r"([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
)
MAX_ADDRESS_CHARACTERS: Final = 8192
"""ATProto's limit of a URI that names no record; no index has one."""
HOST_CHARACTERS: Final = 1024
"""Of a URI, whose host `urlsplit` normalizes in quadratic time."""
RKEY: Final = re.compile(rf"[A-Za-z0-9._:~-]{{1,{MAX_RKEY_CHARACTERS}}}")
NSID: Final = r"[a-zA-Z][a-zA-Z0-9-]{0,62}(\.[a-zA-Z0-9-]{1,63}){2,9}"
AT_URI: Final = re.compile(
    rf"(?!.{{{MAX_URI_CHARACTERS + 1}}})at://({DID.pattern}|{HANDLE.pattern})/{NSID}/{RKEY.pattern}"
)
CID: Final = re.compile(rf"[a-zA-Z0-9+=]{{8,{MAX_CID_CHARACTERS}}}")
DATETIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)

MAX_TIMESTAMP_LENGTH: Final = 64
"""ATProto's limit."""


class LexiconError(ValueError):
    """The record breaks its lexicon; `path` names the place."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'record'}: {problem}")
        self.path = path


class Lexicon:
    """The record type of one lexicon document; its references lead to the documents of `others`, by id.

    A record is checked before it is sent, since a PDS does not check lexicons that it does not know. Covers what lexicons/ uses of
    https://atproto.com/specs/lexicon; unknown fields are allowed, as everywhere in ATProto.
    """

    def __init__(self, document: Mapping[str, Any], others: Mapping[str, "Lexicon"]) -> None:
        self._id: Final[str] = document["id"]
        self._defs: Final[Mapping[str, Any]] = document["defs"]
        self._others: Final = others
        self._checks: Final[dict[str, Callable[[dict[str, Any], Any, str], None]]] = {
            "object": self._check_object,
            "array": self._check_array,
            "string": self._check_string,
            "integer": self._check_integer,
            "boolean": self._check_boolean,
            "blob": self._check_blob,
            "ref": lambda schema, value, path: self._check_named(schema["ref"], value, path),
            "union": self._check_union,
        }

    def check(self, record: dict[str, Any]) -> None:
        """Raise LexiconError at the first field that breaks the lexicon."""
        self._check(self._defs["main"]["record"], record, "")

    def _check(self, schema: dict[str, Any], value: Any, path: str) -> None:
        self._checks[schema["type"]](schema, value, path)

    def _check_named(self, reference: str, value: Any, path: str) -> None:
        """Check a value by the definition that `id#name`, `#name` or `id` names; the last one is `main` of its document."""
        document, _, name = reference.partition("#")
        owner = self._others[document] if document else self
        owner._check(owner._defs[name or "main"], value, path)  # noqa: SLF001 - of the same class

    def _check_union(self, schema: dict[str, Any], value: Any, path: str) -> None:
        if not isinstance(value, dict) or not isinstance(value.get("$type"), str):
            raise LexiconError(path, "must be an object with a $type")
        known = {
            f"{self._id}{reference}"
            if reference.startswith("#")
            else reference.removesuffix("#main"): reference
            for reference in schema["refs"]
        }
        if (reference := known.get(value["$type"])) is not None:
            self._check_named(reference, value, path)
        elif schema.get("closed", False):
            raise LexiconError(path, f"must be {' or '.join(known)}, is {value['$type']!r}")

    def _check_object(self, schema: dict[str, Any], value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise LexiconError(path, "must be an object")
        for name in schema.get("required", ()):
            if name not in value:
                raise LexiconError(f"{path}/{name}", "is required")
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                self._check(inner, value[name], f"{path}/{name}")

    def _check_array(self, schema: dict[str, Any], value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise LexiconError(path, "must be a list")
        if len(value) > schema.get("maxLength", len(value)):
            raise LexiconError(path, f"at most {schema['maxLength']} items")
        for index, item in enumerate(value):
            self._check(schema["items"], item, f"{path}/{index}")

    def _check_string(self, schema: dict[str, Any], value: Any, path: str) -> None:
        if not isinstance(value, str):
            raise LexiconError(path, "must be a string")
        size = len(value.encode())
        if not schema.get("minLength", 0) <= size <= schema.get("maxLength", size):
            limits = f"{schema.get('minLength', 0)} to {schema.get('maxLength', 'any number of')}"
            raise LexiconError(path, f"must be {limits} bytes, is {size}")
        if "maxGraphemes" in schema and graphemes(value) > schema["maxGraphemes"]:
            raise LexiconError(path, f"at most {schema['maxGraphemes']} characters")
        if "format" in schema and not FORMATS[schema["format"]](value):
            raise LexiconError(path, f"is not a {schema['format']}: {value!r}")

    def _check_integer(self, schema: dict[str, Any], value: Any, path: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise LexiconError(path, "must be an integer")
        if value < schema.get("minimum", value):
            raise LexiconError(path, f"must be at least {schema['minimum']}")

    def _check_boolean(self, _: dict[str, Any], value: Any, path: str) -> None:
        if not isinstance(value, bool):
            raise LexiconError(path, "must be true or false")

    def _check_blob(self, schema: dict[str, Any], value: Any, path: str) -> None:
        match value:
            case {"$type": "blob", "ref": {"$link": str()}, "mimeType": str(mime), "size": int(size)}:
                if not accepts(schema.get("accept", ["*/*"]), mime):
                    raise LexiconError(path, f"must be {' or '.join(schema['accept'])}, is {mime!r}")
                if size > schema.get("maxSize", size):
                    raise LexiconError(path, f"must be at most {schema['maxSize']} bytes, is {size}")
            case _:
                raise LexiconError(path, "must be a blob reference")


def accepts(accept: Sequence[str], mime: str) -> bool:
    """Whether a MIME type matches one of the accepted ones; `audio/*` matches all audio."""
    kinds = tuple(each.removesuffix("*") for each in accept if each.endswith("/*"))
    return "*/*" in accept or mime in accept or mime.startswith(kinds)


def optional_text(field: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidFieldError(field, "must be a text")
    return value


def _is_uri(value: str) -> bool:
    if len(value) > MAX_ADDRESS_CHARACTERS:
        return False
    try:
        return bool(urlsplit(value[:HOST_CHARACTERS]).scheme) and " " not in value
    except ValueError:
        return False


def _is_datetime(value: str) -> bool:
    if len(value) > MAX_TIMESTAMP_LENGTH or not DATETIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "uri": _is_uri,
    "datetime": _is_datetime,
    "did": lambda value: bool(DID.fullmatch(value)),
    "handle": lambda value: bool(HANDLE.fullmatch(value)),
    "at-uri": lambda value: bool(AT_URI.fullmatch(value)),
    "cid": lambda value: bool(CID.fullmatch(value)),
}


def known_lexicons() -> Mapping[str, Lexicon]:
    """Load those in lexicons/, by id, each of which may refer to the others: a wheel carries the folder in `outbox`, a checkout beside src/."""
    package = Path(__file__).parent.parent
    folders = (package / "lexicons", package.parent.parent / "lexicons")
    folder = next(folder for folder in folders if folder.is_dir())
    known: dict[str, Lexicon] = {}
    for file in folder.glob("*.json"):
        document = json.loads(file.read_text("utf-8"))
        known[document["id"]] = Lexicon(document, known)
    return known


GENERATION: Final = "mastertapeGen"
"""The field of each record of ours that names its generation."""


EDITED_AT: Final = "updatedAt"


def edited(at: datetime | None) -> Record:
    """Return the field that says when the owner edited the record here: no content, so that of another client stays until the next edit."""
    return {} if at is None else {EDITED_AT: f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}


class RecordKind(ABC):
    """One kind of record; `name` is stored with each of them."""

    aggregate: ClassVar[type[Published]]
    lexicon_id: ClassVar[str]
    own_fields: ClassVar[frozenset[str]]
    """The fields that we write; others belong to other clients, and stay as they are."""
    addresses: ClassVar[Sequence[str]] = ()
    """Those of them that name an address of this service."""
    is_optional: ClassVar[bool] = False
    """Whether a login may do without the kind: then its records alone wait for their owner's consent."""
    refers_to_others: ClassVar[bool] = False
    """Whether its records name the newest CIDs of others of the account."""
    only_key: ClassVar[str | None] = None
    """The key of its record, of a kind of which an account has one alone."""
    blob_field: ClassVar[str | None] = None
    """That of them that names a blob."""
    adoptable: ClassVar[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {}
    """By field of the record that its owner may take over from another client: the aggregate's field, and what checks a value."""

    def __init__(self, collection: str | None = None, old_collection: str | None = None) -> None:
        self.collection: Final = collection or self.lexicon_id
        """That of new records."""
        self.old_collection: Final = old_collection
        """That which older records may be moved from."""

    @cached_property
    def lexicon(self) -> Lexicon:
        return known_lexicons()[self.lexicon_id]

    @property
    def name(self) -> str:
        return self.aggregate.TOPIC

    @property
    def collections(self) -> list[str]:
        return [each for each in (self.collection, self.old_collection) if each is not None]

    @abstractmethod
    def record_of(self, state: Any, generation: int) -> Record:
        """Return the record of a live subject as of `generation`, a log position; empty fields are absent."""

    def take_back(self, state: Any, record: Record, *, at: datetime) -> None:  # noqa: B027 - most have nothing such
        """Set what a restored log has lost, the record names, and must not wait for its owner to decide on the rest."""

    def fields_of(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what Adopted has of a record; raises InvalidFieldError."""
        raise NotImplementedError

    def may_take_over(self, base: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Whether another client has changed the record `base` to `theirs` in a way that its owner need not decide about."""
        return False

    def take_over(
        self, state: Any, base: Mapping[str, Any], theirs: Mapping[str, Any], cid: str, *, at: datetime
    ) -> None:
        """Have the subject take over such a change, whose record has this CID."""
        raise NotImplementedError

    def merged(self, desired: Record, observed: Mapping[str, Any] | None) -> Record:
        """Add the observed fields that are not ours."""
        foreign = {name: value for name, value in (observed or {}).items() if name not in self.own_fields}
        return {**foreign, **desired}

    def referring(self, record: Record, cids: Mapping[str, str | None]) -> Record:  # noqa: ARG002
        """Return the record with references to these records by their new CIDs, by URI."""
        return record

    def foreign_references(self, desired: Record, observed: Mapping[str, Any], did: str) -> Mapping[str, str]:  # noqa: ARG002
        """Return the CIDs by which another client refers otherwise to records of other accounts than `did`, by URI."""
        return {}

    def own_part(self, record: Mapping[str, Any]) -> Record:
        """Return our own fields, without the generation, to compare contents."""
        return {
            name: value for name, value in record.items() if name in self.own_fields and name != GENERATION
        }


class RecordKinds:
    def __init__(self, *kinds: RecordKind) -> None:
        self._by_name: Final = {kind.name: kind for kind in kinds}

    def __getitem__(self, name: str) -> RecordKind:
        """Raises NewerReleaseError for a kind that is not known here."""
        if name not in self._by_name:
            raise NewerReleaseError(f"records of the kind {name}")
        return self._by_name[name]

    def __iter__(self) -> Iterator[RecordKind]:
        return iter(self._by_name.values())

    @property
    def collections(self) -> list[str]:
        return [collection for kind in self for collection in kind.collections]


MAX_MIME_LENGTH: Final = 255


def blob_reference(value: Any) -> Record | None:
    """Return the parts of a reference alone: what else another client put there, the log would keep for ever.

    None if it is no reference, or a part is longer than any real one.
    """
    match value:
        case {"$type": "blob", "ref": {"$link": str(link)}, "mimeType": str(mime), "size": int(size)}:
            is_type = len(mime) <= MAX_MIME_LENGTH and mime.isascii() and mime.isprintable()
            if is_type and len(link) <= MAX_CID_CHARACTERS and 0 <= size <= MAX_INTEGER:
                return {"$type": "blob", "ref": {"$link": link}, "mimeType": mime, "size": size}
    return None
