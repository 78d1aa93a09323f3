"""What a PDS answers about logins and accounts, the fake and the real one alike."""

import base64
import json

import pytest

from tests.fake_pds.account import Status
from tests.fake_pds.contract import COLLECTION, ContractHost, Person, error, song

pytestmark = pytest.mark.anyio

LATEST, STATUS = "com.atproto.sync.getLatestCommit", "com.atproto.sync.getRepoStatus"
SESSION, REFRESH = "com.atproto.server.getSession", "com.atproto.server.refreshSession"


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def test_an_app_password_gives_tokens_that_tell_their_scope_and_end(host: ContractHost, person: Person):
    password = host.create_app_password(person)
    answer = (await host.login(person.handle, password)).json()
    assert (answer["did"], answer["handle"], answer["active"]) == (person.did, person.handle, True)
    access, refresh = claims(answer["accessJwt"]), claims(answer["refreshJwt"])
    assert (access["scope"], access["sub"]) == ("com.atproto.appPass", person.did)
    assert refresh["scope"] == "com.atproto.refresh"
    assert refresh["exp"] - access["exp"] == 90 * 86400 - 7200


async def test_a_session_writes_and_tells_who_it_is(host: ContractHost, person: Person):
    session = await host.with_app_password(person)
    assert (await host.put(session, "a", song())).status_code == 200
    told = (await host.get(SESSION, token=session.access)).json()
    assert (told["did"], told["handle"], told["active"]) == (person.did, person.handle, True)


async def test_a_wrong_password_and_an_unknown_name_look_the_same(host: ContractHost, person: Person):
    for identifier in (person.did, "nobody.test"):
        assert error(await host.login(identifier, "wrong")) == (401, "AuthenticationRequired")


async def test_an_expired_access_token_is_a_400(host: ContractHost, person: Person):
    session = host.expired(person)
    assert error(await host.put(session, "a", song())) == (400, "ExpiredToken")
    assert error(await host.delete(session, "a")) == (400, "ExpiredToken")
    assert error(await host.upload(session, b"sound")) == (400, "ExpiredToken")


async def test_a_token_that_is_none_is_a_400(host: ContractHost, person: Person):
    parts = person.access.split(".")
    for token in ("nonsense", f"{parts[0]}.{parts[1]}.AAAA", person.refresh):
        body = {"repo": person.did, "collection": COLLECTION, "rkey": "a", "record": song()}
        answer = await host.post("com.atproto.repo.putRecord", token=token, json=body)
        assert error(answer) == (400, "InvalidToken")


async def test_no_token_is_a_401(host: ContractHost):
    for nsid in ("com.atproto.repo.putRecord", "com.atproto.repo.uploadBlob", REFRESH):
        answer = await host.post(nsid, headers={"content-type": "audio/mpeg"})
        assert error(answer) == (401, "AuthMissing"), nsid


async def test_a_refresh_gives_new_tokens_and_the_old_access_token_lives_on(
    host: ContractHost, person: Person
):
    answer = await host.post(REFRESH, token=person.refresh)
    assert answer.status_code == 200
    fresh = answer.json()
    assert claims(fresh["refreshJwt"])["jti"] != claims(person.refresh)["jti"]
    for token in (person.access, fresh["accessJwt"]):
        assert (await host.get(SESSION, token=token)).status_code == 200


async def test_a_refresh_that_is_repeated_is_forgiven_and_has_the_same_successor(
    host: ContractHost, person: Person
):
    answers = [(await host.post(REFRESH, token=person.refresh)).json() for _ in range(2)]
    assert len({claims(answer["refreshJwt"])["jti"] for answer in answers}) == 1
    for answer in answers:
        assert (await host.post(REFRESH, token=answer["refreshJwt"])).status_code == 200


async def test_a_revoked_app_password_ends_refreshes_but_not_the_access_token(
    host: ContractHost, person: Person
):
    session = await host.with_app_password(person)
    host.revoke_app_password(session)
    assert error(await host.login(person.did, session.app_password)) == (401, "AuthenticationRequired")
    assert error(await host.post(REFRESH, token=session.refresh)) == (400, "ExpiredToken")
    assert (await host.put(session, "a", song())).status_code == 200


async def test_an_access_token_does_not_refresh(host: ContractHost, person: Person):
    assert error(await host.post(REFRESH, token=person.access)) == (400, "InvalidToken")


async def test_a_deactivated_account_takes_logins_and_uploads_but_no_writes(
    host: ContractHost, person: Person
):
    await host.put(person, "a", song())
    password = host.create_app_password(person)
    host.set_status(person, Status.DEACTIVATED)
    assert error(await host.put(person, "a", song("two"))) == (401, "AccountDeactivated")
    assert error(await host.delete(person, "a")) == (401, "AccountDeactivated")
    assert (await host.upload(person, b"sound")).status_code == 200
    login = (await host.login(person.did, password)).json()
    assert (login["active"], login["status"]) == (False, "deactivated")
    assert (await host.post(REFRESH, token=person.refresh)).json()["active"] is False
    assert (await host.get(SESSION, token=person.access)).json()["active"] is False


async def test_a_deactivated_account_can_not_be_read(host: ContractHost, person: Person):
    await host.put(person, "a", song())
    host.set_status(person, Status.DEACTIVATED)
    assert error(await host.read(person, "a")) == (400, "InvalidRequest")
    listed = await host.get("com.atproto.repo.listRecords", repo=person.did, collection=COLLECTION)
    assert error(listed) == (400, "InvalidRequest")
    assert error(await host.get(LATEST, did=person.did)) == (400, "RepoDeactivated")
    told = (await host.get(STATUS, did=person.did)).json()
    assert told == {"did": person.did, "active": False, "status": "deactivated"}


async def test_an_account_that_is_active_again_has_what_it_had(host: ContractHost, person: Person):
    cid = (await host.put(person, "a", song())).json()["cid"]
    host.set_status(person, Status.DEACTIVATED)
    host.set_status(person, Status.ACTIVE)
    assert (await host.read(person, "a")).json()["cid"] == cid
    assert (await host.put(person, "a", song("two"), swapRecord=cid)).status_code == 200


async def test_an_account_taken_down_does_nothing(host: ContractHost, person: Person):
    await host.put(person, "a", song())
    password = host.create_app_password(person)
    host.set_status(person, Status.TAKENDOWN)
    assert error(await host.put(person, "a", song("two"))) == (401, "AccountTakedown")
    assert error(await host.upload(person, b"sound")) == (401, "AccountTakedown")
    assert error(await host.login(person.did, person.password)) == (401, "AccountTakedown")
    assert error(await host.login(person.did, password)) == (401, "AuthenticationRequired")
    assert error(await host.post(REFRESH, token=person.refresh)) == (401, "AccountTakedown")


async def test_an_account_taken_down_can_not_be_read(host: ContractHost, person: Person):
    await host.put(person, "a", song())
    host.set_status(person, Status.TAKENDOWN)
    assert error(await host.read(person, "a")) == (400, "InvalidRequest")
    assert error(await host.get(LATEST, did=person.did)) == (400, "RepoTakendown")
    told = (await host.get(STATUS, did=person.did)).json()
    assert told == {"did": person.did, "active": False, "status": "takendown"}


async def test_a_deleted_account_is_not_known(host: ContractHost, person: Person):
    await host.put(person, "a", song())
    host.delete_account(person)
    assert error(await host.put(person, "a", song("two"))) == (403, "AccountNotFound")
    assert error(await host.upload(person, b"sound")) == (403, "AccountNotFound")
    assert error(await host.login(person.did, person.password)) == (401, "AuthenticationRequired")
    assert error(await host.post(REFRESH, token=person.refresh)) == (400, "InvalidRequest")
    assert error(await host.read(person, "a")) == (400, "InvalidRequest")
    assert error(await host.get(LATEST, did=person.did)) == (400, "RepoNotFound")
    assert error(await host.get(STATUS, did=person.did)) == (400, "RepoNotFound")


async def test_the_status_of_a_repository_has_its_head(host: ContractHost, person: Person):
    await host.put(person, "a", song())
    head = (await host.get(LATEST, did=person.did)).json()
    assert (await host.get(STATUS, did=person.did)).json()["rev"] == head["rev"]


async def test_the_host_tells_its_blob_limit(host: ContractHost):
    told = (await host.get("com.atproto.server.describeServer")).json()
    assert told["blobUploadLimit"] == 100 * 1024 * 1024
    assert told["did"].startswith("did:web:")


async def test_an_unknown_call_is_refused(host: ContractHost):
    assert error(await host.get("com.example.nothing")) == (400, "InvalidRequest")
