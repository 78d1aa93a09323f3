"""Readers of strangers' bytes, as functions of bytes alone: each takes any input, or raises what its callers expect.

A target also checks that what was read is the same after a round trip, or however it was cut.
"""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from starlette.requests import Request

from aggregates.errors import InvalidFieldError
from api.auth.authentication import MAX_ACCOUNTS, cookie_tokens
from api.errors import ApiError
from api.middleware.http_layer import _plain
from api.requests.body import MultipartReader
from eventstore.untrusted import is_storable, parsed
from outbox.firehose.frames import FirehoseError, message_in
from outbox.lists.record import ListRecords
from outbox.pds.client import RecordKey, Remote
from outbox.profiles.record import ProfileRecords
from outbox.reactions.record import CommentRecords, LikeRecords
from outbox.record.dag_cbor import UnencodableError, decode, encode, record_cid
from outbox.record.kind import LexiconError
from outbox.repo.pages import UnreadableRecordError, entry_in, split
from outbox.tracks.record import RecordUrls, TrackRecords
from replay.adoption.list import ListIntake
from replay.adoption.plain import PlainIntake
from replay.adoption.record import read_record
from storage.cid import cid_of
from storage.errors import RefusedMediaError, TooLargeError
from storage.formats.artwork import read_artwork
from storage.formats.audio import read_audio, read_tags
from storage.uploads.upload import Staged
from tests.dsl import ALICE, COLLECTION

KEY: Final = RecordKey(ALICE, COLLECTION, "3n32ltnlh6222")
TRACKS: Final = TrackRecords(RecordUrls("https://music.test"))
OTHERS: Final = (LikeRecords(), CommentRecords(), ProfileRecords(lambda cid: cid), ListRecords())
INTAKES: Final = (*map(PlainIntake, OTHERS[:-1]), ListIntake(OTHERS[-1]))
BOUNDARY: Final = b"b0undary"
FILE_BYTES: Final = 2000
_FOLDER: Final = tempfile.TemporaryDirectory(prefix="mastertape-fuzz-")
FOLDER: Final = Path(_FOLDER.name)


def frame(data: bytes) -> None:
    """A message of a firehose."""
    with suppress(FirehoseError):
        if (message := message_in(data)) is not None:
            _ = message.did, message.place, message.commit


def page(data: bytes) -> None:
    """A page of listRecords."""
    try:
        raws, _ = split(data)
    except ValueError:
        return
    for entry in map(entry_in, raws):
        _ = entry.rkey, entry.generation
        with suppress(UnreadableRecordError):
            _read(entry.record().body)


def record(data: bytes) -> None:
    """A record of any kind, as JSON: what DAG-CBOR holds stays as it is."""
    try:
        body = parsed(data)
    except ValueError:
        return
    if isinstance(body, dict):
        _read(body)


def _read(body: Any) -> None:
    try:
        cid, encoded = record_cid(body), encode(body)
    except UnencodableError:
        return
    assert encode(decode(encoded)) == encoded
    for kind in (TRACKS, *OTHERS):
        kind.may_take_over(body, body)
        kind.merged({}, body)
        kind.own_part(body)
        with suppress(LexiconError):
            kind.lexicon.check(body)
        for name, (_, check) in kind.adoptable.items():
            with suppress(InvalidFieldError):
                check(body.get(name))
    for read in (partial(read_record, records=TRACKS), *(each.read for each in INTAKES)):
        with suppress(InvalidFieldError):
            read(KEY, Remote(cid, body))


def cbor(data: bytes) -> None:
    """A record as DAG-CBOR: the one that is read has one encoding."""
    try:
        encoded = encode(decode(data))
    except (ValueError, UnencodableError, RecursionError):
        return
    assert encode(decode(encoded)) == encoded


def sound(data: bytes) -> None:
    """A file of audio, and its tags."""
    path = FOLDER / "sound"
    path.write_bytes(data)
    staged = Staged(path, cid_of(data), len(data))
    with suppress(RefusedMediaError):
        kind, _ = read_audio(staged)
        said, _ = read_tags(staged, kind)
        texts = [each for each in said.values() if isinstance(each, str)]
        assert all(is_storable(each) for each in texts)


def picture(data: bytes) -> None:
    """A cover: what is stored is a cover too."""
    with suppress(RefusedMediaError):
        made = read_artwork(data)
        assert read_artwork(made.data).artwork.mime == made.artwork.mime


def multipart(data: bytes) -> None:
    """A form with a file: in one piece and byte by byte, it is read alike, or refused for some reason."""
    whole, in_bytes = _received([data]), _received([data[at : at + 1] for at in range(len(data))])
    assert whole == in_bytes, (whole, in_bytes)


def _received(chunks: list[bytes]) -> Any:
    content_type = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    try:
        with MultipartReader(content_type, FOLDER, {"file": FILE_BYTES}, ["title", "file"]) as reader:
            for chunk in chunks:
                reader.feed(chunk)
            reader.finish()
            return reader.fields, {name: each.cid for name, each in reader.staged.items()}, reader.names
    except (ApiError, InvalidFieldError, TooLargeError):
        return None


def cookies(data: bytes) -> None:
    """A Cookie header: tokens are few, and none is empty."""
    services = SimpleNamespace(base_url="http://127.0.0.1:8000")
    app = SimpleNamespace(state=SimpleNamespace(services=services))
    headers = _plain([(b"cookie", data)])
    tokens = cookie_tokens(Request({"type": "http", "headers": headers, "app": app}))
    assert len(tokens) <= MAX_ACCOUNTS
    assert all(each.get_secret_value() for each in tokens)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    each.__name__: each for each in (frame, page, record, cbor, sound, picture, multipart, cookies)
}
