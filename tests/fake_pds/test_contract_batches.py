"""What a PDS does with several writes in one request, the fake and the real one alike."""

import pytest

from outbox.record.dag_cbor import record_cid
from tests.fake_pds.contract import COLLECTION, ContractHost, Person, error, song

pytestmark = pytest.mark.anyio

OTHER_CID = record_cid({"$type": COLLECTION, "title": "never written"})
CREATES = ("create", "a", song("one")), ("create", "b", song("two"))


async def commit_of(host: ContractHost, person: Person) -> str:
    return str((await host.get("com.atproto.sync.getLatestCommit", did=person.did)).json()["cid"])


async def titles(host: ContractHost, person: Person) -> dict[str, str]:
    which = {"repo": person.did, "collection": COLLECTION, "reverse": "true"}
    page = (await host.get("com.atproto.repo.listRecords", **which)).json()
    return {each["uri"][-1]: each["value"]["title"] for each in page["records"]}


async def test_a_batch_is_one_commit_and_gives_the_cid_of_each_record(host: ContractHost, person: Person):
    answer = await host.apply(person, *CREATES, swapCommit=await commit_of(host, person), validate=False)
    assert answer.status_code == 200
    body = answer.json()
    assert body["commit"] == (await host.get("com.atproto.sync.getLatestCommit", did=person.did)).json()
    assert [each["cid"] for each in body["results"]] == [record_cid(song("one")), record_cid(song("two"))]
    assert body["results"][0]["uri"] == f"at://{person.did}/{COLLECTION}/a"
    assert [each["$type"] for each in body["results"]] == ["com.atproto.repo.applyWrites#createResult"] * 2


async def test_the_next_batch_swaps_on_the_commit_that_the_one_before_gave(
    host: ContractHost, person: Person
):
    first = (await host.apply(person, *CREATES)).json()["commit"]["cid"]
    changes = ("update", "a", song("three")), ("delete", "b", None)
    assert (await host.apply(person, *changes, swapCommit=first)).status_code == 200
    assert await titles(host, person) == {"a": "three"}


async def test_any_other_write_refuses_a_batch_and_nothing_of_it_is_applied(
    host: ContractHost, person: Person
):
    before = await commit_of(host, person)
    await host.put(person, "z", song("other"))
    answer = await host.apply(person, *CREATES, swapCommit=before)
    assert error(answer) == (400, "InvalidSwap")
    assert answer.json()["message"] == f"Commit was at {await commit_of(host, person)}"
    assert await titles(host, person) == {"z": "other"}


async def test_a_stale_commit_is_refused_before_the_writes_are_looked_at(host: ContractHost, person: Person):
    await host.put(person, "a", song("other"))
    assert error(await host.apply(person, *CREATES, swapCommit=OTHER_CID)) == (400, "InvalidSwap")


@pytest.mark.parametrize(
    "impossible",
    [("create", "z", song("one")), ("update", "none", song()), ("delete", "none", None), CREATES[0]],
    ids=["create existing", "update absent", "delete absent", "create twice"],
)
async def test_one_impossible_write_breaks_the_whole_batch(host: ContractHost, person: Person, impossible):
    await host.put(person, "z", song("other"))
    before = await commit_of(host, person)
    assert error(await host.apply(person, *CREATES, impossible)) == (500, "InternalServerError")
    assert await titles(host, person) == {"z": "other"}
    assert await commit_of(host, person) == before


async def test_one_unknown_blob_refuses_the_whole_batch(host: ContractHost, person: Person):
    ref = (await host.blob(host.person(), b"ID3 elsewhere")) | {"mimeType": "audio/mpeg"}
    writes = *CREATES, ("create", "c", song("three", audioBlob=ref))
    assert error(await host.apply(person, *writes)) == (400, "BlobNotFound")
    assert await titles(host, person) == {}


async def test_the_swap_of_a_single_write_counts_for_nothing(host: ContractHost, person: Person):
    await host.put(person, "a", song("one"))
    write = {"$type": "com.atproto.repo.applyWrites#update", "collection": COLLECTION, "rkey": "a"}
    body = {"repo": person.did, "writes": [{**write, "value": song("two"), "swapRecord": OTHER_CID}]}
    answer = await host.post("com.atproto.repo.applyWrites", token=person.access, json=body)
    assert answer.status_code == 200


async def test_a_batch_has_200_writes_at_most(host: ContractHost, person: Person):
    writes = [("create", f"r{number}", song()) for number in range(201)]
    assert error(await host.apply(person, *writes)) == (400, "InvalidRequest")
    assert (await host.apply(person, *writes[:200])).status_code == 200


async def test_a_record_taken_down_is_there_for_a_create(host: ContractHost, person: Person):
    await host.put(person, "a", song("other"))
    host.take_down_record(person, "a")
    assert error(await host.apply(person, *CREATES)) == (500, "InternalServerError")
