"""What the contract suite cannot ask of the real PDS: it needs consent, a browser or much time."""

import httpx
import pytest

from tests.fake_pds.account import Status
from tests.fake_pds.limits import REQUESTS
from tests.fake_pds.pds import FakePds

HOST, DID, COLLECTION = "https://pds.example.com", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "fm.plyr.track"


class Pds:
    """The fake, its clock and one account."""

    def __init__(self):
        self.now = 1_800_000_000.0
        self.fake = FakePds(HOST, lambda: self.now)
        self.fake.create_account(DID, "a.test", "secret")

    def post(self, path, *, authorization="", json=None, form=None, **headers):
        content = {"json": json} if form is None else {"data": form}
        headers = {"authorization": authorization, **headers} if authorization else headers
        request = httpx.Request("POST", f"{HOST}{path}", headers=headers, **content)
        return self.fake.answer(request, request.read())

    def put(self, authorization, title="one", **headers):
        record = {"$type": COLLECTION, "title": title}
        body = {"repo": DID, "collection": COLLECTION, "rkey": "a", "record": record}
        return self.post(
            "/xrpc/com.atproto.repo.putRecord", authorization=authorization, json=body, **headers
        )

    def refresh(self, token):
        return self.post("/oauth/token", form={"grant_type": "refresh_token", "refresh_token": token})


@pytest.fixture
def pds():
    return Pds()


def error(answer):
    return answer.status_code, answer.json()["error"]


def test_an_oauth_refresh_ends_the_old_access_token_at_once(pds):
    grant = pds.fake.tokens.grant(DID, "mastertape")
    old = grant.access
    assert pds.put(f"DPoP {old}").status_code == 200
    fresh = pds.refresh(grant.refresh).json()
    assert error(pds.put(f"DPoP {old}", "two")) == (401, "invalid_token")
    assert pds.put(f"DPoP {fresh['access_token']}", "two").status_code == 200
    assert (fresh["sub"], fresh["expires_in"]) == (DID, 3600)


def test_an_oauth_refresh_token_that_is_spent_twice_ends_the_session(pds):
    grant = pds.fake.tokens.grant(DID, "mastertape")
    spent = grant.refresh
    fresh = pds.refresh(spent).json()
    replayed = pds.refresh(spent)
    assert error(replayed) == (400, "invalid_grant")
    assert replayed.json()["error_description"] == "Refresh token replayed"
    assert error(pds.put(f"DPoP {fresh['access_token']}")) == (401, "invalid_token")
    assert error(pds.refresh(fresh["refresh_token"])) == (400, "invalid_grant")


def test_an_oauth_access_token_ends_after_an_hour(pds):
    grant = pds.fake.tokens.grant(DID, "mastertape")
    pds.now += 3601
    assert error(pds.put(f"DPoP {grant.access}")) == (401, "invalid_token")


def test_a_nonce_that_is_asked_for_comes_with_the_refusal(pds):
    grant = pds.fake.tokens.grant(DID, "mastertape")
    pds.fake.tokens.nonce = "n1"
    refused = pds.put(f"DPoP {grant.access}")
    assert error(refused) == (401, "use_dpop_nonce")
    assert refused.headers["dpop-nonce"] == "n1"
    proof = "e30.eyJub25jZSI6Im4xIn0.sig"  # {"nonce":"n1"}
    assert pds.put(f"DPoP {grant.access}", dpop=proof).status_code == 200


def test_an_access_token_of_an_app_password_ends_after_two_hours_and_its_refresh_token_after_ninety_days(pds):
    tokens = pds.fake.tokens.session(DID, "mastertape")
    pds.now += 7201
    assert error(pds.put(f"Bearer {tokens['accessJwt']}")) == (400, "ExpiredToken")
    refresh = "/xrpc/com.atproto.server.refreshSession"
    assert pds.post(refresh, authorization=f"Bearer {tokens['refreshJwt']}").status_code == 200
    pds.now += 7201
    again = pds.post(refresh, authorization=f"Bearer {tokens['refreshJwt']}")
    assert error(again) == (400, "ExpiredToken")


def test_a_takedown_ends_refresh_tokens_for_good(pds):
    tokens = pds.fake.tokens.session(DID, "mastertape")
    pds.fake.set_status(DID, Status.TAKENDOWN)
    pds.fake.set_status(DID, Status.ACTIVE)
    answer = pds.post(
        "/xrpc/com.atproto.server.refreshSession", authorization=f"Bearer {tokens['refreshJwt']}"
    )
    assert error(answer) == (400, "ExpiredToken")


def test_a_limit_ends_with_its_window(pds):
    pds.fake.limits.enabled = True
    pds.fake.limits.points[REQUESTS.name] = 2
    access = f"Bearer {pds.fake.tokens.session(DID, 'mastertape')['accessJwt']}"
    statuses = [pds.put(access, str(number)).status_code for number in range(3)]
    assert statuses == [200, 200, 429]
    pds.now += 300
    assert pds.put(access, "three").status_code == 200


def test_an_account_that_moved_has_its_repository_and_no_logins_there(pds):
    access = f"Bearer {pds.fake.tokens.session(DID, 'mastertape')['accessJwt']}"
    pds.put(access)
    new = FakePds("https://new.example.com", lambda: pds.now)
    pds.fake.move_account(DID, new)
    assert new.repo(DID).records.keys() == {(COLLECTION, "a")}
    assert error(pds.put(access, "two")) == (401, "AccountDeactivated")
    request = httpx.Request(
        "POST", f"{new.origin}/xrpc/com.atproto.repo.putRecord", headers={"authorization": access}, json={}
    )
    assert error(new.answer(request, request.read())) == (400, "InvalidToken")
