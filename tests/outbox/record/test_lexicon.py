"""Each limit of the lexicon is the last value that passes."""

import json
from pathlib import Path
from typing import Any

import pytest

import outbox
from outbox.blobs.jobs import ACCEPTED, MAX_BLOB_BYTES
from outbox.record.kind import Lexicon, LexiconError, known_lexicons

RECORD: dict[str, Any] = {
    "$type": "fm.plyr.track",
    "title": "t",
    "artist": "a",
    "fileType": "mp3",
    "createdAt": "2026-11-24T12:00:00.123Z",
}
FEATURE = {"did": "did:plc:carol", "handle": "carol.test"}


def blob(size: int = 1, mime: str = "audio/mpeg") -> dict[str, Any]:
    link = {"$link": "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"}
    return {"$type": "blob", "ref": link, "mimeType": mime, "size": size}


def labels(*values: str) -> dict[str, Any]:
    return {"values": [{"val": value} for value in values]}


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return known_lexicons()["fm.plyr.track"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 256),
        ("title", "é" * 128),
        ("album", ""),
        ("duration", 0),
        ("features", [FEATURE] * 10),
        ("features", [{"did": "did:plc:carol"}]),
        ("labels", labels(*["x" * 128] * 10)),
        ("audioBlob", blob(104857600)),
        ("audioBlob", blob(mime="audio/ogg; codecs=opus")),
        ("audioBlob", blob(mime="video/webm")),
        ("audioUrl", "https://a.test/audio/x.mp3"),
        ("createdAt", "2026-11-24T12:00:00+01:00"),
        ("createdAt", "2026-11-24T12:00:00Z"),
        ("mastertapeGen", 1),
        ("unknown", {"anything": [1, None]}),
    ],
)
def test_a_value_at_its_limit_passes(lexicon: Lexicon, field: str, value: Any) -> None:
    lexicon.check({**RECORD, field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "x" * 257),
        ("title", "é" * 128 + "x"),
        ("title", None),
        ("duration", -1),
        ("duration", True),
        ("duration", 1.0),
        ("features", [FEATURE] * 11),
        ("features", FEATURE),
        ("features", [{"handle": "carol.test"}]),
        ("features", [{**FEATURE, "did": "carol"}]),
        ("features", [{**FEATURE, "handle": "carol"}]),
        ("features", [{**FEATURE, "handle": "-.test"}]),
        ("supportGate", {}),
        ("labels", labels(*["x"] * 11)),
        ("labels", labels("x" * 129)),
        ("audioBlob", blob(104857601)),
        ("audioBlob", blob(mime="image/png")),
        ("audioBlob", blob(mime="audio")),
        ("audioBlob", {"cid": "x", "mimeType": "audio/mpeg"}),
        ("audioUrl", "no uri"),
        ("audioUrl", "http://[::1"),
        ("createdAt", "2026-11-24"),
        ("createdAt", "2026-11-24T12:00:00"),
        ("createdAt", "2026-13-24T12:00:00Z"),
        ("createdAt", "٢٠٢٦-11-24T12:00:00Z"),
        ("mastertapeGen", 0),
    ],
)
def test_a_value_beyond_its_limit_is_refused_by_name(lexicon: Lexicon, field: str, value: Any) -> None:
    with pytest.raises(LexiconError) as refused:
        lexicon.check({**RECORD, field: value})
    assert refused.value.path.startswith(f"/{field}")


def test_characters_are_counted_as_readers_count_them() -> None:
    profile = known_lexicons()["fm.plyr.actor.profile"]
    record = {"$type": "fm.plyr.actor.profile", "createdAt": RECORD["createdAt"], "bio": "n\u0303" * 256}
    profile.check(record)
    with pytest.raises(LexiconError, match="at most 256 characters"):
        profile.check({**record, "bio": record["bio"] + "x"})


def test_a_required_field_must_be_there(lexicon: Lexicon) -> None:
    record = {name: value for name, value in RECORD.items() if name != "title"}
    with pytest.raises(LexiconError, match="is required"):
        lexicon.check(record)


def test_the_place_inside_a_field_is_named(lexicon: Lexicon) -> None:
    with pytest.raises(LexiconError) as refused:
        lexicon.check({**RECORD, "features": [FEATURE, {**FEATURE, "did": "x"}]})
    assert refused.value.path == "/features/1/did"


def test_no_blob_is_uploaded_that_the_record_could_not_name() -> None:
    path = Path(outbox.__file__).parents[2] / "lexicons" / "fm.plyr.track.json"
    document = json.loads(path.read_text())
    blob = document["defs"]["main"]["record"]["properties"]["audioBlob"]
    assert (blob["maxSize"], tuple(blob["accept"])) == (MAX_BLOB_BYTES, ACCEPTED)


STRONG_REF: dict[str, Any] = {
    "uri": "at://did:plc:carol/fm.plyr.track/3mabc",
    "cid": "bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",
}
REMARK: dict[str, Any] = {
    "id": "test.remark",
    "defs": {
        "main": {
            "record": {
                "type": "object",
                "properties": {
                    "subject": {"type": "ref", "ref": "com.atproto.repo.strongRef"},
                    "pinned": {"type": "boolean"},
                    "mark": {"type": "union", "refs": ["#star", "com.atproto.repo.strongRef"]},
                    "only": {"type": "union", "refs": ["#star"], "closed": True},
                },
            }
        },
        "star": {"type": "object", "required": ["count"], "properties": {"count": {"type": "integer"}}},
    },
}


@pytest.fixture(scope="module")
def remark() -> Lexicon:
    return Lexicon(REMARK, known_lexicons())


@pytest.mark.parametrize(
    "record",
    [
        {"subject": STRONG_REF},
        {"pinned": False},
        {"mark": {"$type": "test.remark#star", "count": 1}},
        {"mark": {"$type": "com.atproto.repo.strongRef", **STRONG_REF}},
        {"mark": {"$type": "another.kind#mark", "count": "many"}},
        {"only": {"$type": "test.remark#star", "count": 1}},
    ],
)
def test_references_to_other_documents_and_unions_resolve(remark: Lexicon, record: dict[str, Any]) -> None:
    remark.check(record)


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"subject": {"uri": STRONG_REF["uri"]}}, "/subject/cid"),
        ({"subject": {**STRONG_REF, "uri": "https://carol.test/3mabc"}}, "/subject/uri"),
        ({"subject": {**STRONG_REF, "uri": "at://did:plc:carol/fm.plyr.track"}}, "/subject/uri"),
        ({"subject": {**STRONG_REF, "cid": "no cid"}}, "/subject/cid"),
        ({"pinned": 1}, "/pinned"),
        ({"mark": {"$type": "test.remark#star"}}, "/mark/count"),
        ({"mark": {"$type": "com.atproto.repo.strongRef", "cid": STRONG_REF["cid"]}}, "/mark/uri"),
        ({"mark": {"count": 1}}, "/mark"),
        ({"only": {"$type": "com.atproto.repo.strongRef", **STRONG_REF}}, "/only"),
    ],
)
def test_a_referenced_value_is_checked_by_its_own_definition(
    remark: Lexicon, record: dict[str, Any], path: str
) -> None:
    with pytest.raises(LexiconError) as refused:
        remark.check(record)
    assert refused.value.path == path
