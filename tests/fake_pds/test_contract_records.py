"""What a PDS does with records, the fake and the real one alike."""

import pytest

from outbox.pds.client import GET_PROOF, RecordKey, is_proven_absent
from outbox.pds.verdict import Kind, Verdict
from outbox.record.dag_cbor import record_cid
from tests.fake_pds.contract import COLLECTION, WITHOUT_LEXICON, ContractHost, Person, error, song

pytestmark = pytest.mark.anyio

OTHER_CID = record_cid({"$type": COLLECTION, "title": "never written"})


async def test_a_put_gives_the_cid_that_is_computed_here_and_a_commit(host: ContractHost, person: Person):
    answer = await host.put(person, "a", song(duration=3, tags=["x"], none=None, empty=""))
    assert answer.status_code == 200
    body = answer.json()
    assert body["uri"] == f"at://{person.did}/{COLLECTION}/a"
    assert body["cid"] == record_cid(song(duration=3, tags=["x"], none=None, empty=""))
    assert body["commit"].keys() == {"cid", "rev"}
    assert body["validationStatus"] == "unknown"
    assert body["commit"] == (await host.get("com.atproto.sync.getLatestCommit", did=person.did)).json()


async def test_an_update_is_a_commit_with_a_later_rev(host: ContractHost, person: Person):
    revs = [(await host.put(person, "a", song(str(n)))).json()["commit"]["rev"] for n in range(5)]
    assert revs == sorted(set(revs))


async def test_unchanged_content_is_no_commit(host: ContractHost, person: Person):
    first = (await host.put(person, "a", song())).json()
    again = (await host.put(person, "a", song())).json()
    assert again["cid"] == first["cid"]
    assert "commit" not in again
    assert await host.rev(person) == first["commit"]["rev"]


async def test_the_right_swap_is_taken_and_a_stale_one_refused_which_tells_what_is_there(
    host: ContractHost, person: Person
):
    old = (await host.put(person, "a", song("one"))).json()["cid"]
    new = (await host.put(person, "a", song("two"), swapRecord=old)).json()["cid"]
    answer = await host.put(person, "a", song("three"), swapRecord=old)
    assert error(answer) == (400, "InvalidSwap")
    assert answer.json()["message"] == f"Record was at {new}"


async def test_swap_null_creates_only(host: ContractHost, person: Person):
    assert (await host.put(person, "a", song("one"), swapRecord=None)).status_code == 200
    assert error(await host.put(person, "a", song("two"), swapRecord=None)) == (400, "InvalidSwap")


async def test_a_swap_on_an_absent_record_is_refused(host: ContractHost, person: Person):
    answer = await host.put(person, "a", song(), swapRecord=OTHER_CID)
    assert error(answer) == (400, "InvalidSwap")
    assert answer.json()["message"] == "Record was at null"


async def test_a_write_that_landed_already_succeeds_under_any_swap(host: ContractHost, person: Person):
    await host.put(person, "a", song("one"))
    landed = (await host.put(person, "a", song("two"))).json()
    for swap in (None, OTHER_CID):
        again = await host.put(person, "a", song("two"), swapRecord=swap)
        assert again.status_code == 200
        assert again.json()["cid"] == landed["cid"]
        assert "commit" not in again.json()


async def test_a_swap_that_is_no_cid_is_no_request(host: ContractHost, person: Person):
    assert error(await host.put(person, "a", song(), swapRecord="abc")) == (400, "InvalidRequest")


async def test_a_delete_is_a_commit(host: ContractHost, person: Person):
    cid = (await host.put(person, "a", song())).json()["cid"]
    answer = await host.delete(person, "a", swapRecord=cid)
    assert answer.status_code == 200
    assert answer.json()["commit"]["rev"] == await host.rev(person)
    assert error(await host.read(person, "a")) == (400, "RecordNotFound")


async def test_a_delete_of_nothing_is_done_and_no_commit(host: ContractHost, person: Person):
    before = await host.rev(person)
    for swap in ({}, {"swapRecord": OTHER_CID}):
        answer = await host.delete(person, "a", **swap)
        assert (answer.status_code, answer.json()) == (200, {})
        assert await host.rev(person) == before


async def test_a_delete_under_a_stale_swap_is_refused_and_one_without_takes_whatever_is_there(
    host: ContractHost, person: Person
):
    await host.put(person, "a", song())
    assert error(await host.delete(person, "a", swapRecord=OTHER_CID)) == (400, "InvalidSwap")
    assert "commit" in (await host.delete(person, "a")).json()


async def test_an_unknown_lexicon_is_refused_only_when_validation_is_asked_for(
    host: ContractHost, person: Person
):
    assert error(await host.put(person, "a", song(), validate=True)) == (400, "InvalidRequest")
    quiet = await host.put(person, "a", song(), validate=False)
    assert quiet.status_code == 200
    assert "validationStatus" not in quiet.json()


async def test_a_missing_type_is_filled_in_and_changes_the_cid(host: ContractHost, person: Person):
    assert (await host.put(person, "a", {"title": "one"})).json()["cid"] == record_cid(song("one"))
    assert (await host.read(person, "a")).json()["value"] == song("one")


async def test_another_type_is_refused(host: ContractHost, person: Person):
    assert error(await host.put(person, "a", {"$type": WITHOUT_LEXICON})) == (400, "InvalidRequest")


async def put_text(host: ContractHost, person: Person, record: str):
    """Put a record that is JSON as no library would write it."""
    text = f'{{"repo":"{person.did}","collection":"{COLLECTION}","rkey":"a","record":{record}}}'
    headers = {"content-type": "application/json"}
    return await host.post("com.atproto.repo.putRecord", token=person.access, headers=headers, content=text)


async def test_fractions_are_refused(host: ContractHost, person: Person):
    for value in ("1.5", "1e400"):
        assert error(await put_text(host, person, f'{{"n":{value}}}')) == (400, "InvalidRequest")


async def test_a_whole_fraction_is_an_integer(host: ContractHost, person: Person):
    assert (await host.put(person, "a", song(n=2.0))).json()["cid"] == record_cid(song(n=2))


async def test_integers_end_at_2_to_the_53(host: ContractHost, person: Person):
    assert (await host.put(person, "a", song(n=2**53 - 1))).status_code == 200
    assert error(await host.put(person, "a", song(n=2**53))) == (500, "InternalServerError")


ODDITIES = [
    {"title": None},
    {"title": "x" * 5000},
    {"title": "a\0b"},
    {"createdAt": "yesterday"},
    {"duration": -1},
    {"ref": {"$link": "abc"}},
    {"inner": {"$type": 1}},
    {"inner": {"$type": ""}},
]


async def test_nothing_else_is_checked(host: ContractHost, person: Person):
    for fields in ODDITIES:
        assert (await host.put(person, "a", {"$type": COLLECTION, **fields})).status_code == 200, fields


async def test_half_a_character_is_replaced(host: ContractHost, person: Person):
    answer = await put_text(host, person, '{"title":"\\ud800"}')
    assert answer.json()["cid"] == record_cid(song("\ufffd"))


async def test_record_keys_that_are_taken(host: ContractHost, person: Person):
    for rkey in ("a", "A.b_c:d~e-f", "x" * 512):
        assert (await host.put(person, rkey, song())).status_code == 200, rkey


async def test_record_keys_that_are_refused(host: ContractHost, person: Person):
    for rkey in (".", "..", "a b", "a/b", "", "x" * 513):
        assert error(await host.put(person, rkey, song())) == (400, "InvalidRequest"), rkey


async def test_a_body_has_a_largest_size(host: ContractHost, person: Person):
    assert (await host.put(person, "a", song("x" * 990_000))).status_code == 200
    assert error(await host.put(person, "a", song("x" * 1_000_000))) == (413, "PayloadTooLargeError")


async def test_a_body_that_is_no_json_is_no_request(host: ContractHost, person: Person):
    headers = {"content-type": "application/json"}
    answer = await host.post("com.atproto.repo.putRecord", token=person.access, headers=headers, content="{")
    assert error(answer) == (400, "SyntaxError")


async def test_another_accounts_repository_is_refused(host: ContractHost, person: Person):
    other = host.person()
    body = {"collection": COLLECTION, "rkey": "a", "record": song()}
    refusals = []
    for did in (other.did, "did:plc:zzzzzzzzzzzzzzzzzzzzzzzz"):
        answer = await host.post(
            "com.atproto.repo.putRecord", token=person.access, json={**body, "repo": did}
        )
        refusals.append(error(answer))
    assert refusals == [(401, "AuthenticationRequired"), (403, "AccountNotFound")]


async def test_a_read_gives_uri_cid_and_value(host: ContractHost, person: Person):
    written = (await host.put(person, "a", song())).json()
    read = (await host.read(person, "a")).json()
    assert read == {"uri": written["uri"], "cid": written["cid"], "value": song()}


async def test_an_absent_record_or_another_version_is_a_400(host: ContractHost, person: Person):
    await host.put(person, "a", song())
    assert error(await host.read(person, "b")) == (400, "RecordNotFound")
    assert error(await host.read(person, "a", cid=OTHER_CID)) == (400, "RecordNotFound")


async def test_a_record_taken_down_reads_as_absent_while_puts_go_on(host: ContractHost, person: Person):
    await host.put(person, "a", song())
    host.take_down_record(person, "a")
    assert error(await host.read(person, "a")) == (400, "RecordNotFound")
    assert (await host.put(person, "a", song("two"))).status_code == 200


async def test_a_proof_has_a_record_that_was_taken_down_and_none_that_was_deleted(
    host: ContractHost, person: Person
):
    cid = (await host.put(person, "a", song())).json()["cid"]
    await host.put(person, "b", song("another"))
    key = RecordKey(person.did, COLLECTION, "a")

    async def is_absent() -> bool:
        which = {"did": key.did, "collection": key.collection, "rkey": key.rkey}
        answer = await host.get(GET_PROOF, **which)
        assert answer.status_code == 200
        return is_proven_absent(key, cid, Verdict(Kind.DONE, body=answer.content))

    host.take_down_record(person, "a")
    assert not await is_absent()
    await host.delete(person, "a")
    assert await is_absent()


async def test_pages_go_down_and_only_an_empty_one_has_no_cursor(host: ContractHost, person: Person):
    for rkey in "abcde":
        await host.put(person, rkey, song(rkey))
    which = {"repo": person.did, "collection": COLLECTION, "limit": 3}
    pages, cursor = [], {}
    while True:
        page = (await host.get("com.atproto.repo.listRecords", **which, **cursor)).json()
        pages.append([record["value"]["title"] for record in page["records"]])
        if "cursor" not in page:
            break
        cursor = {"cursor": page["cursor"]}
    assert pages == [["e", "d", "c"], ["b", "a"], []]


async def test_pages_go_up_when_asked(host: ContractHost, person: Person):
    for rkey in "abc":
        await host.put(person, rkey, song(rkey))
    which = {"repo": person.did, "collection": COLLECTION, "reverse": "true", "cursor": "a"}
    page = (await host.get("com.atproto.repo.listRecords", **which)).json()
    assert [record["uri"][-1] for record in page["records"]] == ["b", "c"]


async def test_an_unknown_collection_is_an_empty_page(host: ContractHost, person: Person):
    answer = await host.get("com.atproto.repo.listRecords", repo=person.did, collection=WITHOUT_LEXICON)
    assert (answer.status_code, answer.json()) == (200, {"records": []})


async def test_a_page_has_1_to_100_records(host: ContractHost, person: Person):
    for limit in (0, 101):
        which = {"repo": person.did, "collection": COLLECTION, "limit": limit}
        assert error(await host.get("com.atproto.repo.listRecords", **which)) == (400, "InvalidRequest")
