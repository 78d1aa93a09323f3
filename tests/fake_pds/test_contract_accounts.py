"""What a PDS answers about logins and accounts, the fake and the real one alike."""

import base64
import json

import pytest

from tests.fake_pds.account import Status
from tests.fake_pds.contract import COLLECTION, Door, Person, error, song

pytestmark = pytest.mark.anyio

LATEST, STATUS = "com.atproto.sync.getLatestCommit", "com.atproto.sync.getRepoStatus"
SESSION, REFRESH = "com.atproto.server.getSession", "com.atproto.server.refreshSession"


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def test_an_app_password_gives_tokens_that_tell_their_scope_and_end(door: Door, person: Person):
    password = door.create_app_password(person)
    answer = (await door.login(person.handle, password)).json()
    assert (answer["did"], answer["handle"], answer["active"]) == (person.did, person.handle, True)
    access, refresh = claims(answer["accessJwt"]), claims(answer["refreshJwt"])
    assert (access["scope"], access["sub"]) == ("com.atproto.appPass", person.did)
    assert refresh["scope"] == "com.atproto.refresh"
    assert refresh["exp"] - access["exp"] == 90 * 86400 - 7200


async def test_a_session_writes_and_tells_who_it_is(door: Door, person: Person):
    session = await door.with_app_password(person)
    assert (await door.put(session, "a", song())).status_code == 200
    told = (await door.get(SESSION, token=session.access)).json()
    assert (told["did"], told["handle"], told["active"]) == (person.did, person.handle, True)


@pytest.mark.parametrize("who", ["it", "nobody"])
async def test_a_wrong_password_and_an_unknown_name_look_the_same(door: Door, person: Person, who):
    identifier = person.did if who == "it" else "nobody.test"
    assert error(await door.login(identifier, "wrong")) == (401, "AuthenticationRequired")


async def test_an_expired_access_token_is_a_400(door: Door, person: Person):
    session = door.expired(person)
    assert error(await door.put(session, "a", song())) == (400, "ExpiredToken")
    assert error(await door.delete(session, "a")) == (400, "ExpiredToken")
    assert error(await door.upload(session, b"sound")) == (400, "ExpiredToken")


async def test_a_token_that_is_none_is_a_400(door: Door, person: Person):
    parts = person.access.split(".")
    for token in ("nonsense", f"{parts[0]}.{parts[1]}.AAAA", person.refresh):
        body = {"repo": person.did, "collection": COLLECTION, "rkey": "a", "record": song()}
        answer = await door.post("com.atproto.repo.putRecord", token=token, json=body)
        assert error(answer) == (400, "InvalidToken")


@pytest.mark.parametrize("nsid", ["com.atproto.repo.putRecord", "com.atproto.repo.uploadBlob", REFRESH])
async def test_no_token_is_a_401(door: Door, nsid):
    assert error(await door.post(nsid, headers={"content-type": "audio/mpeg"})) == (401, "AuthMissing")


async def test_a_refresh_gives_new_tokens_and_the_old_access_token_lives_on(door: Door, person: Person):
    answer = await door.post(REFRESH, token=person.refresh)
    assert answer.status_code == 200
    fresh = answer.json()
    assert claims(fresh["refreshJwt"])["jti"] != claims(person.refresh)["jti"]
    for token in (person.access, fresh["accessJwt"]):
        assert (await door.get(SESSION, token=token)).status_code == 200


async def test_a_refresh_that_is_repeated_is_forgiven_and_has_the_same_successor(door: Door, person: Person):
    answers = [(await door.post(REFRESH, token=person.refresh)).json() for _ in range(2)]
    assert len({claims(answer["refreshJwt"])["jti"] for answer in answers}) == 1
    for answer in answers:
        assert (await door.post(REFRESH, token=answer["refreshJwt"])).status_code == 200


async def test_a_revoked_app_password_ends_refreshes_but_not_the_access_token(door: Door, person: Person):
    session = await door.with_app_password(person)
    door.revoke_app_password(session)
    assert error(await door.login(person.did, session.app_password)) == (401, "AuthenticationRequired")
    assert error(await door.post(REFRESH, token=session.refresh)) == (400, "ExpiredToken")
    assert (await door.put(session, "a", song())).status_code == 200


async def test_an_access_token_does_not_refresh(door: Door, person: Person):
    assert error(await door.post(REFRESH, token=person.access)) == (400, "InvalidToken")


async def test_a_deactivated_account_takes_logins_and_uploads_but_no_writes(door: Door, person: Person):
    await door.put(person, "a", song())
    password = door.create_app_password(person)
    door.set_status(person, Status.DEACTIVATED)
    assert error(await door.put(person, "a", song("two"))) == (401, "AccountDeactivated")
    assert error(await door.delete(person, "a")) == (401, "AccountDeactivated")
    assert (await door.upload(person, b"sound")).status_code == 200
    login = (await door.login(person.did, password)).json()
    assert (login["active"], login["status"]) == (False, "deactivated")
    assert (await door.post(REFRESH, token=person.refresh)).json()["active"] is False
    assert (await door.get(SESSION, token=person.access)).json()["active"] is False


async def test_a_deactivated_account_can_not_be_read(door: Door, person: Person):
    await door.put(person, "a", song())
    door.set_status(person, Status.DEACTIVATED)
    assert error(await door.read(person, "a")) == (400, "InvalidRequest")
    listed = await door.get("com.atproto.repo.listRecords", repo=person.did, collection=COLLECTION)
    assert error(listed) == (400, "InvalidRequest")
    assert error(await door.get(LATEST, did=person.did)) == (400, "RepoDeactivated")
    told = (await door.get(STATUS, did=person.did)).json()
    assert told == {"did": person.did, "active": False, "status": "deactivated"}


async def test_an_account_that_is_active_again_has_what_it_had(door: Door, person: Person):
    cid = (await door.put(person, "a", song())).json()["cid"]
    door.set_status(person, Status.DEACTIVATED)
    door.set_status(person, Status.ACTIVE)
    assert (await door.read(person, "a")).json()["cid"] == cid
    assert (await door.put(person, "a", song("two"), swapRecord=cid)).status_code == 200


async def test_an_account_taken_down_does_nothing(door: Door, person: Person):
    await door.put(person, "a", song())
    password = door.create_app_password(person)
    door.set_status(person, Status.TAKENDOWN)
    assert error(await door.put(person, "a", song("two"))) == (401, "AccountTakedown")
    assert error(await door.upload(person, b"sound")) == (401, "AccountTakedown")
    assert error(await door.login(person.did, person.password)) == (401, "AccountTakedown")
    assert error(await door.login(person.did, password)) == (401, "AuthenticationRequired")
    assert error(await door.post(REFRESH, token=person.refresh)) == (401, "AccountTakedown")


async def test_an_account_taken_down_can_not_be_read(door: Door, person: Person):
    await door.put(person, "a", song())
    door.set_status(person, Status.TAKENDOWN)
    assert error(await door.read(person, "a")) == (400, "InvalidRequest")
    assert error(await door.get(LATEST, did=person.did)) == (400, "RepoTakendown")
    told = (await door.get(STATUS, did=person.did)).json()
    assert told == {"did": person.did, "active": False, "status": "takendown"}


async def test_a_deleted_account_is_not_known(door: Door, person: Person):
    await door.put(person, "a", song())
    door.delete_account(person)
    assert error(await door.put(person, "a", song("two"))) == (403, "AccountNotFound")
    assert error(await door.upload(person, b"sound")) == (403, "AccountNotFound")
    assert error(await door.login(person.did, person.password)) == (401, "AuthenticationRequired")
    assert error(await door.post(REFRESH, token=person.refresh)) == (400, "InvalidRequest")
    assert error(await door.read(person, "a")) == (400, "InvalidRequest")
    assert error(await door.get(LATEST, did=person.did)) == (400, "RepoNotFound")
    assert error(await door.get(STATUS, did=person.did)) == (400, "RepoNotFound")


async def test_a_repository_tells_its_collections_and_its_head(door: Door, person: Person):
    await door.put(person, "a", song())
    told = (await door.get("com.atproto.repo.describeRepo", repo=person.handle)).json()
    assert (told["did"], told["handle"], told["handleIsCorrect"]) == (person.did, person.handle, True)
    assert told["collections"] == [COLLECTION]
    head = (await door.get(LATEST, did=person.did)).json()
    assert (await door.get(STATUS, did=person.did)).json()["rev"] == head["rev"]


async def test_the_host_lists_its_repositories_page_by_page(door: Door, person: Person):
    other = door.person()
    door.set_status(other, Status.DEACTIVATED)
    found, cursor = {}, {}
    while True:
        page = (await door.get("com.atproto.sync.listRepos", limit=20, **cursor)).json()
        found |= {repo["did"]: repo for repo in page["repos"]}
        if "cursor" not in page:
            break
        cursor = {"cursor": page["cursor"]}
    head = (await door.get(LATEST, did=person.did)).json()
    assert found[person.did] == {"did": person.did, "active": True, "head": head["cid"], "rev": head["rev"]}
    assert (found[other.did]["active"], found[other.did]["status"]) == (False, "deactivated")


async def test_the_host_tells_its_blob_limit(door: Door):
    told = (await door.get("com.atproto.server.describeServer")).json()
    assert told["blobUploadLimit"] == 100 * 1024 * 1024
    assert told["did"].startswith("did:web:")


async def test_a_call_that_nobody_knows_is_no_request(door: Door):
    assert error(await door.get("com.example.nothing")) == (400, "InvalidRequest")
