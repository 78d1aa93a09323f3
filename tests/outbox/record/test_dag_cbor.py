"""A record's CID is computed here as the PDS computes it, and what has no CID there is refused here."""

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devpds.server import DevPds
from outbox.record.dag_cbor import MAX_INTEGER, UnencodableError, decode, encode, is_record_cid, record_cid
from tests.dsl import COLLECTION
from tests.servers.atproto import PdsAccount

RAW_CID = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
BYTES = st.binary(max_size=60).map(lambda data: {"$bytes": base64.b64encode(data).decode().rstrip("=")})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-MAX_INTEGER, MAX_INTEGER),
    TEXT,
    BYTES,
    st.just({"$link": RAW_CID}),
)
NAMES = TEXT.filter(lambda name: not name.startswith("$") and name != "__proto__")  # which the PDS refuses
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=5).map(lambda fields: {**fields, "$type": COLLECTION})


@pytest.mark.parametrize(
    ("record", "cid"),
    [
        ({}, "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"),
        ({"a": 1}, "bafyreihltcnuuyqp2jm24aqydpnlj7b6w3ogwrplomrjtg5rifv44mmjey"),
        (
            {
                "$type": COLLECTION,
                "title": "é",
                "audioBlob": {"ref": {"$link": RAW_CID}},
                "n": -1,
                "aa": [None],
            },
            "bafyreihjhhubrd4feckovcvugmux4t6rhk4vrvo7ewbjo3fc2tdgtyup3m",
        ),
    ],
)
def test_known_records_have_their_known_cids(record: dict, cid: str) -> None:
    assert record_cid(record) == cid


def test_names_are_ordered_by_length_and_then_by_bytes() -> None:
    assert encode({"bb": 1, "a": 2, "c": 3}) == bytes.fromhex("a3 6161 02 6163 03 626262 01")


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        2**53,
        -(2**53),
        "\ud800",
        b"raw",
        {1: "a number as a name"},
        {"\ud800": 1},
        {"$link": "abc"},
        {"$link": RAW_CID.upper()},
        {"$link": RAW_CID[:-1]},
        {"$link": "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"},
        {"$link": "bé"},
        {"$bytes": "no base64!"},
        {"$bytes": "é"},
        {"$bytes": base64.b64encode(b"\x01\x55\x12\x20" + bytes(32)).decode()},
    ],
    ids=repr,
)
def test_what_a_pds_refuses_or_would_change_is_refused(value: object) -> None:
    with pytest.raises(UnencodableError):
        encode({"$type": COLLECTION, "x": [value]})


def test_the_largest_integer_that_a_pds_keeps_is_kept() -> None:
    assert decode(encode({"a": MAX_INTEGER, "b": -MAX_INTEGER})) == {"a": MAX_INTEGER, "b": -MAX_INTEGER}


def test_a_record_nested_without_end_is_refused_and_not_a_crash() -> None:
    record: dict = {}
    for _ in range(20_000):
        record = {"a": record}
    with pytest.raises(UnencodableError):
        record_cid(record)


@given(RECORDS)
def test_a_record_survives_its_encoding(record: dict) -> None:
    assert decode(encode(record)) == record


@given(RECORDS, st.randoms(use_true_random=False))
def test_the_order_of_the_names_makes_no_difference(record: dict, random) -> None:
    names = list(record)
    random.shuffle(names)
    assert record_cid({name: record[name] for name in names}) == record_cid(record)


def test_only_a_records_cid_is_one() -> None:
    assert is_record_cid(record_cid({}))
    assert not any(map(is_record_cid, (None, "", "bé", "x", RAW_CID)))


@pytest.mark.pds
def test_the_pds_computes_the_same_cids(pds: DevPds, pds_account: PdsAccount) -> None:
    did, seen = pds_account.did, []

    @settings(max_examples=30, database=None, suppress_health_check=list(HealthCheck))
    @given(RECORDS)
    def compare(record: dict) -> None:
        pds.put_record(did, COLLECTION, "3kaaaaaaaaa2a", record)
        held = pds.get_record(did, COLLECTION, "3kaaaaaaaaa2a")
        assert held is not None
        assert held["cid"] == record_cid(record)
        assert held["value"] == record
        seen.append(record)

    compare()
    assert len(seen) >= 30
