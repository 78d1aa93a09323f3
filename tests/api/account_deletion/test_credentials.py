"""DELETE /me ends tokens and other sessions at once; the one that asked, and a later sign-in, may see it through."""

import pytest

from tests.api.account_deletion.deletion import leave, me, noted
from tests.api.world import Person, refusal
from tests.servers.databases import ON_SQLITE
from tests.service.process.periodic import continue_account_deletions

pytestmark = ON_SQLITE


@pytest.fixture
def token(client, alice):
    made = client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers).json()
    return Person(alice.did, alice.handle, made["token"])


def may_see_it_through(client, person):
    assert me(client, person).json()["leaving"] is not None
    assert client.get("/me/export", headers=person.headers).status_code == 200
    leave(client, person)
    cookie = {"Cookie": f"mastertape_session={person.token}"}
    assert client.post("/auth/logout", headers=cookie).status_code == 200
    assert refusal(me(client, person)) == (401, "not_authenticated")


@pytest.mark.usefixtures("tracks")
def test_tokens_and_other_sessions_end_at_once(world, client, alice, token):
    other = world.sign_in("alice", lane=False)
    bob = world.sign_in("bob", lane=False)
    leave(client, alice)
    assert refusal(me(client, token)) == (401, "not_authenticated")
    assert refusal(me(client, other)) == (401, "not_authenticated")
    assert me(client, bob).status_code == 200
    assert noted(world, alice.did)[0] == ["Opened", "TokenIssued", "LeaveRequested", "TokenRevoked"]


@pytest.mark.usefixtures("tracks")
def test_the_session_that_asked_sees_it_through(client, alice):
    leave(client, alice)
    may_see_it_through(client, alice)


@pytest.mark.usefixtures("tracks")
def test_a_token_that_asked_sees_it_through_and_ends_the_sessions(client, alice, token):
    leave(client, token)
    assert refusal(me(client, alice)) == (401, "not_authenticated")
    assert me(client, token).json()["leaving"]["records"]["to_remove"] == 3


def test_a_sign_in_during_the_deletion_sees_it_through_and_lets_it_go_on(world, client, alice, tracks):
    leave(client, alice)
    again = world.sign_in("alice")
    may_see_it_through(client, again)
    assert me(client, alice).json()["leaving"] is not None
    world.deliver()
    continue_account_deletions(world.made)
    assert me(client, alice).status_code == 401
    assert not [track for track in tracks if world.record(track)]
