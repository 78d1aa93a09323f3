"""A whole repo from a real PDS is proven, and nothing that was changed, left out or put in gets through."""

import asyncio
import io
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import httpx
import libipld
import pytest
from atproto import CAR

from devpds.server import DevPds, DevPlc
from identity.resolution.signing_keys import signing_key
from outbox.pds.client import Pds
from outbox.repo.car import Blocks, UnprovenError
from outbox.repo.proof import ProvenReads, proven
from outbox.repo.tree import entries, layer_of
from replay.reconcile.drift import DriftKind
from replay.reconcile.verify import repos_of, verify
from tests.dsl import COLLECTION
from tests.outbox.rigs.relay_rig import Rig
from tests.servers.atproto import PdsAccount, new_account

pytestmark = pytest.mark.pds


class Documents:
    """The directory's documents of all accounts."""

    def __init__(self, plc: DevPlc) -> None:
        self._plc = plc

    async def did_document(self, did: str) -> dict[str, Any]:
        return self._plc.document(did)

    async def signing_key(self, did: str) -> str:
        return await signing_key(self, did)


@pytest.fixture(scope="module")
def account(pds: DevPds, plc: DevPlc) -> PdsAccount:
    """An account with a repo that is large enough for a tree of some layers."""
    made = new_account(pds, plc)
    writes = [
        {
            "$type": "com.atproto.repo.applyWrites#create",
            "collection": collection,
            "rkey": f"key{number:04}",
            "value": {"$type": collection, "title": f"Take {number}"},
        }
        for number in range(100)
        for collection in (COLLECTION, "com.example.other")
    ]
    body = {"repo": made.did, "writes": writes, "validate": False}
    pds.procedure("com.atproto.repo.applyWrites", body, by=made.did)
    return made


@pytest.fixture(scope="module")
def car(pds: DevPds, account: PdsAccount) -> bytes:
    return httpx.get(f"{pds.url}/xrpc/com.atproto.sync.getRepo", params={"did": account.did}).content


@pytest.fixture(scope="module")
def key(plc: DevPlc, account: PdsAccount) -> str:
    return asyncio.run(Documents(plc).signing_key(account.did))


Prove = Callable[[bytes], dict[str, dict[str, Any]]]


@pytest.fixture
def prove(account: PdsAccount, key: str) -> Prove:
    return lambda data: proven(io.BytesIO(data), account.did, key, [COLLECTION], frozenset())


def parts(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The header of a CAR, and its blocks."""
    blocks = Blocks(io.BytesIO(data))
    header = data[: 1 + data[0]]
    return header, [(cid, blocks.get(cid)) for cid in blocks]


def put_together(header: bytes, blocks: list[tuple[bytes, bytes]]) -> bytes:
    return header + b"".join(varint(len(cid) + len(data)) + cid + data for cid, data in blocks)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def cid_of(data: bytes) -> bytes:
    return b"\x01\x71\x12\x20" + sha256(data).digest()


def test_the_records_of_a_repo_are_those_that_its_pds_lists(
    pds: DevPds, account: PdsAccount, car: bytes, prove: Prove
) -> None:
    listed = {each["uri"].rsplit("/", 1)[1]: each for each in pds.list_records(account.did, COLLECTION)}
    found = prove(car)[COLLECTION]
    assert len(found) == 100
    assert {rkey: each.cid for rkey, each in found.items()} == {
        rkey: each["cid"] for rkey, each in listed.items()
    }


def test_what_we_read_is_what_the_sdk_reads(car: bytes) -> None:
    theirs = CAR.from_bytes(car)
    ours = Blocks(io.BytesIO(car))
    assert len(ours) == len(theirs.blocks)
    assert len({layer_of(path.encode()) for path, _ in entries(ours, ours.node(ours.root)["data"])}) > 2


def test_a_changed_byte_anywhere_is_noticed_which_the_sdk_does_not(car: bytes, prove: Prove) -> None:
    header, blocks = parts(car)
    at = len(header)
    for number, (cid, data) in enumerate(blocks):
        at += len(varint(len(cid) + len(data))) + len(cid)
        if number % 7 == 0:
            changed = bytearray(car)
            changed[at + len(data) // 2] ^= 1
            with pytest.raises(UnprovenError, match="does not match its CID"):
                prove(bytes(changed))
        at += len(data)
    title = car.index(b"Take 50")
    assert CAR.from_bytes(car[:title] + b"Tale" + car[title + 4 :])


def test_a_block_less_or_a_file_that_ends_early_is_noticed(car: bytes, prove: Prove) -> None:
    header, blocks = parts(car)
    for number in range(0, len(blocks), 5):
        with pytest.raises(UnprovenError, match="a block is missing"):
            prove(put_together(header, blocks[:number] + blocks[number + 1 :]))
    for length in (0, 1, len(header) - 1, len(header) + 1, len(car) // 2, len(car) - 1):
        with pytest.raises(UnprovenError):
            prove(car[:length])


def test_a_commit_of_another_account_or_with_another_key_is_noticed(
    pds: DevPds, plc: DevPlc, account: PdsAccount, car: bytes, key: str
) -> None:
    other = new_account(pds, plc)
    others = asyncio.run(Documents(plc).signing_key(other.did))
    with pytest.raises(UnprovenError, match="signed"):
        proven(io.BytesIO(car), account.did, others, [COLLECTION], frozenset())
    with pytest.raises(UnprovenError, match="another account"):
        proven(io.BytesIO(car), other.did, key, [COLLECTION], frozenset())


def forged(car: bytes) -> Iterator[tuple[str, bytes]]:
    """The repo with another tree: every CID is right, the signature is of the true one."""
    header, blocks = parts(car)
    by_cid = dict(blocks)
    root = Blocks(io.BytesIO(car)).root
    commit = libipld.decode_dag_cbor(by_cid[root])
    tree = libipld.decode_dag_cbor(by_cid[commit["data"]])
    without = {**tree, "e": tree["e"][1:]}
    for name, node in (("left out", without), ("emptied", {"l": None, "e": []})):
        data = libipld.encode_dag_cbor(node)
        new = libipld.encode_dag_cbor({**commit, "data": cid_of(data)})
        others = [(cid, each) for cid, each in blocks if cid != root]
        yield (
            name,
            put_together(
                header.replace(root, cid_of(new)), [(cid_of(new), new), *others, (cid_of(data), data)]
            ),
        )


def test_a_forged_tree_under_the_true_signature_is_noticed(car: bytes, prove: Prove) -> None:
    for _, data in forged(car):
        with pytest.raises(UnprovenError, match="signed"):
            prove(data)


def node(*keys: str, left: bytes | None = None) -> dict[str, Any]:
    value = cid_of(b"\xa0")
    return {"l": left, "e": [{"p": 0, "k": key.encode(), "v": value, "t": None} for key in keys]}


def walked(*nodes: dict[str, Any]) -> list[str]:
    """The keys of a tree; its root comes last."""
    blocks = [libipld.encode_dag_cbor(each) for each in nodes]
    root = cid_of(blocks[-1])
    head = libipld.encode_dag_cbor({"version": 1, "roots": [root]})
    data = put_together(varint(len(head)) + head, [(cid_of(each), each) for each in blocks])
    return [path for path, _ in entries(Blocks(io.BytesIO(data)), root)]


LOW, HIGH = "a/0", next(f"a/{n}" for n in range(100) if layer_of(f"a/{n}".encode()) == 1)


def test_a_tree_has_one_shape() -> None:
    assert layer_of(LOW.encode()) == 0
    leaf = node(LOW)
    link = cid_of(libipld.encode_dag_cbor(leaf))
    assert walked(node()) == []
    assert walked(leaf, node(HIGH, left=link)) == [LOW, HIGH]
    for wrong in (
        [node(LOW, HIGH)],  # a key in a layer that is not its own
        [node(HIGH, HIGH)],  # a key twice
        [leaf, node(left=link)],  # a root with nothing in it
        [node(), node(HIGH, left=cid_of(libipld.encode_dag_cbor(node())))],  # an empty node
        [leaf, node(LOW, left=link)],  # below the lowest layer
        [{"l": None}],
        [{"l": None, "e": [{"p": 3, "k": b"x", "v": link, "t": None}]}],
    ):
        with pytest.raises(UnprovenError):
            walked(*wrong)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff" * 20, b"\x01\xa0", b"not a car at all" * 10])
def test_what_is_no_car_is_refused(data: bytes) -> None:
    with pytest.raises(UnprovenError):
        Blocks(io.BytesIO(data))


class Corrupting(httpx.AsyncHTTPTransport):
    """The PDS, but for a byte of each repo."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await super().handle_async_request(request)
        if not request.url.path.endswith("getRepo"):
            return reply
        content = await reply.aread()
        at = content.index(b"Track 1")
        return httpx.Response(200, content=content[:at] + b"Truck 1" + content[at + 7 :])


@pytest.mark.anyio
async def test_a_verification_that_proves_finds_what_others_find_and_says_what_is_not_proven(
    rig: Rig, plc: DevPlc
) -> None:
    track = rig.upload(1)
    await rig.relay_once()

    async def verified(transport: httpx.AsyncBaseTransport | None = None) -> Any:
        async with httpx.AsyncClient(transport=transport) as http:
            reads = ProvenReads(Pds(rig.wire, http), Documents(plc))
            [found] = [each async for each in verify(rig.database, reads, repos_of(rig.database))]
        return found

    assert ((await verified()).records, (await verified()).drifts) == (1, ())
    assert "does not match its CID" in (await verified(Corrupting())).problem
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, {**rig.remote(track), "title": "theirs"})
    assert [drift.kind for drift in (await verified()).drifts] == [DriftKind.FOREIGN_EDIT]
