"""The sessions of one browser: several accounts, which one is in use, and how each ends."""

from pydantic import SecretStr

from api.middleware.http_layer import over_http
from tests.api.auth.fake_oauth import client, come_back, oauth, sign_in, signed_in_dids
from tests.api.world import did_of, refusal
from tests.servers.databases import ON_SQLITE

__all__ = ["client", "oauth"]
pytestmark = ON_SQLITE


def test_one_browser_holds_several_accounts_the_newest_in_use(client, oauth):
    for who in ("dora", "eve", "dora"):
        sign_in(client, oauth, who)
    assert signed_in_dids(client) == [did_of("dora"), did_of("eve")]
    assert client.get("/me").json()["handle"] == "dora.test"


def test_a_new_session_of_the_same_account_ends_the_older_one(client, oauth):
    sign_in(client, oauth)
    older = client.cookies["mastertape_session"]
    sign_in(client, oauth)
    client.cookies.clear()
    assert client.get("/me", headers={"cookie": f"mastertape_session={older}"}).status_code == 401


def test_a_cookie_has_room_for_a_few_and_the_oldest_goes(client, oauth):
    names = ["ann", "bea", "cleo", "dora", "eve", "fay"]
    sign_in(client, oauth, names[0])
    oldest = client.cookies["mastertape_session"]
    for who in names[1:]:
        sign_in(client, oauth, who)
    assert signed_in_dids(client) == [did_of(who) for who in reversed(names[1:])]
    client.cookies.clear()
    assert client.get("/me", headers={"cookie": f"mastertape_session={oldest}"}).status_code == 401


def test_switching_uses_another_account_that_is_there(client, oauth):
    for who in ("dora", "eve"):
        sign_in(client, oauth, who)
    answer = client.post("/auth/switch", json={"did": did_of("dora")})
    assert [session["did"] for session in answer.json()["items"]] == [did_of("dora"), did_of("eve")]
    assert client.get("/me").json()["did"] == did_of("dora")
    assert refusal(client.post("/auth/switch", json={"did": did_of("fay")})) == (404, "not_signed_in")
    cross = client.post(
        "/auth/switch", json={"did": did_of("eve")}, headers={"origin": "https://evil.example"}
    )
    assert refusal(cross) == (403, "cross_site")


def test_logout_ends_every_session_of_the_browser_or_the_one_that_is_named(client, oauth):
    for who in ("dora", "eve", "fay"):
        sign_in(client, oauth, who)
    before = client.cookies["mastertape_session"].split(".")
    client.post("/auth/logout", json={"did": did_of("eve")})
    assert signed_in_dids(client) == [did_of("fay"), did_of("dora")]
    client.post("/auth/logout")
    assert signed_in_dids(client) == []
    for token in before:
        assert client.get("/me", headers={"cookie": f"mastertape_session={token}"}).status_code == 401


def test_the_account_in_use_changes_only_by_choice(world, client, oauth):
    """When the session in use has ended, the next account in the cookie does not take its place."""
    for who in ("dora", "eve"):
        sign_in(client, oauth, who)
    token = SecretStr(client.cookies["mastertape_session"].split(".")[0])
    principal = world.services.credentials.authenticate(token)
    assert world.services.access.end(principal.did, principal.credential_id, by=over_http)
    assert client.get("/me").status_code == 401
    assert signed_in_dids(client) == [did_of("dora")]


def test_disconnecting_says_whether_the_pds_confirmed_it(world, alice):
    asked = []

    async def disconnect(did, envelope):
        asked.append((did, envelope.actor, envelope.via))
        return False

    client = world.serve(disconnect=disconnect)
    answer = client.post("/me/disconnect", headers=alice.headers)
    assert (answer.status_code, answer.json()["revoked"], asked) == (
        200,
        False,
        [(alice.did, alice.did, "token:t")],
    )
    assert client.get("/me", headers=alice.headers).status_code == 200


def test_an_admin_asks_to_be_one_and_operates_with_the_cookie_alone(world, client, oauth):
    """An ordinary session of the same account has no admin scope."""
    sign_in(client, oauth, "admin")
    assert client.get("/audit", params={"did": did_of("alice")}).status_code == 403
    client.get("/auth/login", params={"handle": "admin.test", "scope": "admin"})
    come_back(client)
    assert client.get("/me").json()["admin"] is True
    assert client.get("/ops/lanes").status_code == 200
    assert client.get("/audit", params={"did": did_of("alice")}).status_code == 200
    act = {"action": "redrive"}
    assert client.post("/ops/failures", json=act, headers={"Origin": str(client.base_url)}).status_code == 403
    assert (
        client.post("/ops/failures", json=act, headers={"Origin": world.services.base_url}).status_code == 200
    )
