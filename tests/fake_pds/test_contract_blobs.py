"""What a PDS does with blobs, the fake and the real one alike."""

import asyncio

import pytest

from outbox.record.dag_cbor import record_cid
from storage.cid import cid_of
from tests.fake_pds.contract import COLLECTION, ContractHost, Person, error, song
from tests.media_samples import samples

pytestmark = pytest.mark.anyio

SOUND = samples.mp3(1)


async def gone(host: ContractHost, person: Person, ref):
    """A blob that is not served, if not at once then soon."""
    for _ in range(100):
        if error_of(answer := await host.get_blob(person, ref)) is not None:
            return answer
        await asyncio.sleep(0.01)
    return answer


def error_of(answer):
    return None if answer.status_code == 200 else error(answer)


async def test_an_upload_gives_a_reference_with_the_cid_that_is_computed_here(
    host: ContractHost, person: Person
):
    answer = await host.upload(person, SOUND)
    assert answer.status_code == 200
    assert answer.json() == {
        "blob": {
            "$type": "blob",
            "ref": {"$link": cid_of(SOUND)},
            "mimeType": "audio/mpeg",
            "size": len(SOUND),
        }
    }


async def test_an_empty_blob_is_taken(host: ContractHost, person: Person):
    assert (await host.blob(person, b""))["size"] == 0


async def test_an_upload_needs_a_content_type(host: ContractHost, person: Person):
    for headers in ({}, {"content-type": "junk"}):
        answer = await host.post(
            "com.atproto.repo.uploadBlob", token=person.access, headers=headers, content=SOUND
        )
        assert error(answer) == (400, "InvalidRequest"), headers


async def test_a_blob_over_the_limit_is_refused(host: ContractHost, person: Person):
    limit = (await host.get("com.atproto.server.describeServer")).json()["blobUploadLimit"]
    answer = await host.upload(person, bytes(limit + 1))
    assert error(answer) == (413, "PayloadTooLarge")


async def test_the_bytes_say_what_they_are(host: ContractHost, person: Person):
    for content, told, found in (
        (samples.mp3(), "audio/mp3", "audio/mpeg"),
        (samples.m4a(), "audio/mp4", "audio/x-m4a"),
        (samples.wav(), "audio/x-wav", "audio/wav"),
        (samples.flac(), "audio/flac", "audio/flac"),
        (samples.png(), "audio/mpeg", "image/png"),
        (b"nothing known", "audio/mpeg", "audio/mpeg"),
    ):
        assert (await host.blob(person, content, told))["mimeType"] == found


async def test_blobs_that_records_name_are_listed(host: ContractHost, person: Person):
    blob = await host.blob(person, SOUND)
    which = {"did": person.did}
    assert (await host.get("com.atproto.sync.listBlobs", **which)).json()["cids"] == []
    await host.put(person, "a", song(audioBlob=blob))
    assert (await host.get("com.atproto.sync.listBlobs", **which)).json()["cids"] == [cid_of(SOUND)]


async def test_a_blob_is_served_from_the_first_record_that_names_it(host: ContractHost, person: Person):
    ref = await host.blob(person, SOUND)
    answer = await host.get_blob(person, ref)
    assert error(answer) == (400, "InvalidRequest")
    assert answer.json()["message"] == "Blob not found"
    await host.put(person, "a", song(audioBlob=ref))
    answer = await host.get_blob(person, ref)
    assert answer.content == SOUND
    assert answer.headers["content-type"] == "audio/mpeg"


async def test_a_part_of_a_blob_is_not_served(host: ContractHost, person: Person):
    ref = await host.blob(person, SOUND)
    await host.put(person, "a", song(audioBlob=ref))
    answer = await host.get_blob(person, ref, range="bytes=0-9")
    assert (answer.status_code, answer.content) == (200, SOUND)
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["content-disposition"].startswith("attachment")


async def test_a_record_can_not_name_a_blob_that_is_not_there(host: ContractHost, person: Person):
    ref = await host.blob(host.person(), SOUND)
    assert error(await host.put(person, "a", song(audioBlob=ref))) == (400, "BlobNotFound")
    assert error(await host.read(person, "a")) == (400, "RecordNotFound")


@pytest.mark.parametrize(
    ("wrong", "name"), [({"mimeType": "audio/ogg"}, "InvalidMimeType"), ({"size": 1}, "InvalidSize")]
)
async def test_a_wrong_reference_is_refused_only_while_the_blob_is_temporary(
    host: ContractHost, person: Person, wrong, name
):
    ref = await host.blob(person, SOUND)
    assert error(await host.put(person, "a", song(audioBlob={**ref, **wrong}))) == (400, name)
    await host.put(person, "a", song(audioBlob=ref))
    assert (await host.put(person, "b", song(audioBlob={**ref, **wrong}))).status_code == 200


@pytest.mark.parametrize("lacks", ["size", "$type"])
async def test_a_reference_that_lacks_a_part_is_plain_data(host: ContractHost, person: Person, lacks):
    ref = await host.blob(person, SOUND)
    part = {name: value for name, value in ref.items() if name != lacks}
    assert (await host.put(person, "a", song(audioBlob=part))).status_code == 200
    assert error(await host.get_blob(person, ref)) == (400, "InvalidRequest")


async def test_a_reference_is_found_however_deep_it_lies(host: ContractHost, person: Person):
    ref = await host.blob(person, SOUND)
    await host.put(person, "a", song(many=[{"inner": {"blob": ref}}]))
    assert (await host.get_blob(person, ref)).content == SOUND


async def test_a_legacy_reference_is_refused(host: ContractHost, person: Person):
    legacy = {"cid": cid_of(SOUND), "mimeType": "audio/mpeg"}
    assert error(await host.put(person, "a", song(audioBlob=legacy))) == (400, "InvalidRequest")


async def test_a_blob_goes_with_the_last_record_that_names_it(host: ContractHost, person: Person):
    ref = await host.blob(person, SOUND)
    await host.put(person, "a", song(audioBlob=ref))
    await host.put(person, "b", song(audioBlob=ref))
    await host.delete(person, "a")
    assert (await host.get_blob(person, ref)).content == SOUND
    await host.put(person, "b", song("without"))
    assert (await gone(host, person, ref)).status_code == 400
    assert error(await host.put(person, "b", song(audioBlob=ref))) == (400, "BlobNotFound")


async def test_a_blob_comes_back_by_another_upload(host: ContractHost, person: Person):
    ref = await host.blob(person, SOUND)
    await host.put(person, "a", song(audioBlob=ref))
    await host.delete(person, "a")
    assert await host.blob(person, SOUND) == ref
    assert (await host.put(person, "a", song("two", audioBlob=ref))).status_code == 200
    assert (await host.get_blob(person, ref)).content == SOUND


async def test_an_edit_that_keeps_the_reference_keeps_the_blob(host: ContractHost, person: Person):
    ref = await host.blob(person, SOUND)
    await host.put(person, "a", song("one", audioBlob=ref))
    await host.put(person, "a", song("two", audioBlob=ref))
    assert (await host.get_blob(person, ref)).content == SOUND


async def test_uploading_what_a_record_names_changes_nothing(host: ContractHost, person: Person):
    ref = await host.blob(person, SOUND)
    await host.put(person, "a", song(audioBlob=ref))
    assert await host.blob(person, SOUND) == ref
    assert (await host.get_blob(person, ref)).content == SOUND


async def test_a_write_that_landed_already_does_not_look_at_blobs(host: ContractHost, person: Person):
    ref = await host.blob(person, SOUND)
    record = song(audioBlob=ref)
    await host.put(person, "a", record)
    again = await host.put(person, "a", record, swapRecord=None)
    assert (again.status_code, again.json()["cid"]) == (200, record_cid(record))


async def test_a_stale_swap_is_told_before_a_missing_blob(host: ContractHost, person: Person):
    ref = await host.blob(host.person(), SOUND)
    answer = await host.put(person, "a", song(audioBlob=ref), swapRecord=record_cid({"$type": COLLECTION}))
    assert error(answer) == (400, "InvalidSwap")
