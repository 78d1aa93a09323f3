"""Sign-in with an app password at the real PDS: refusals, scopes and events."""

import asyncio
import json
from datetime import timedelta
from unittest.mock import Mock

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from aggregates.accounts.account import Account
from application.profile import update_profile
from eventstore.event_log import EventLog
from identity.accounts.accounts import Accounts, account
from identity.accounts.credentials import Credentials, Scope, credential
from identity.accounts.sign_in import SignIns
from identity.errors import (
    AccountInactiveError,
    BadCredentialsError,
    IdentityUnreachableError,
    NotPrivilegedError,
)
from identity.resolution.resolver import Identity
from identity.sessions.app_password_grants import create_session
from identity.sessions.pds_sessions import PdsSessions
from identity.sessions.session_store import SessionKind, Tokens, pds_session
from tests.identity.conftest import by, noted
from tests.identity.oauth.oauth_rig import ask, refusing_connections
from tests.identity.oauth.oauth_rig import rig as signed
from tests.identity.sessions.fake_pds import DID, ORIGIN, FakePds, error
from tests.identity.sessions.stored_sessions import session_row
from tests.servers.databases import ON_SQLITE

__all__ = ["signed"]
pytestmark = [pytest.mark.pds, ON_SQLITE]


def test_a_sign_in_and_its_event_commit_together(signed, database, hooks, pds_account, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Account, "sign_in", Mock(side_effect=ZeroDivisionError))
        with pytest.raises(ZeroDivisionError):
            signed.sign_in_by_password(pds_account.did, pds_account.app_password)
    with database.read() as connection:
        for table in (pds_session, credential, account):
            assert connection.execute(select(table)).all() == []
    assert noted(database, pds_account.did) == []
    signed.sign_in_by_password(pds_account.did, pds_account.app_password)
    assert noted(database, pds_account.did) == ["SignedIn"]
    assert [call[0] for call in hooks.calls] == ["signed_in", "signed_in"]


def test_only_an_admin_signs_in_as_admin_and_for_twelve_hours_at_most(signed, database, pds_account):
    with pytest.raises(NotPrivilegedError):
        sign_in_as_admin(signed, pds_account)
    assert noted(database, pds_account.did) == []
    signed.admins.append(pds_account.did)
    signed_in = sign_in_as_admin(signed, pds_account)
    assert signed_in.expires_in == timedelta(hours=12)
    assert Credentials(database, admin_dids=[pds_account.did]).authenticate(signed_in.token).admin
    assert not Credentials(database).authenticate(signed_in.token).admin


def sign_in_as_admin(signed, account, scope=Scope.ADMIN):
    month = timedelta(days=30)
    return signed.sign_in_by_password(account.did, account.app_password, scope=scope, expires_in=month)


def test_only_an_operator_signs_in_as_one_and_every_admin_is_one(signed, database, pds_account):
    with pytest.raises(NotPrivilegedError):
        sign_in_as_admin(signed, pds_account, Scope.OPERATOR)
    signed.admins.append(pds_account.did)
    signed_in = sign_in_as_admin(signed, pds_account, Scope.OPERATOR)
    assert signed_in.expires_in == timedelta(hours=12)
    for of in ({"admin_dids": [pds_account.did]}, {"operator_dids": [pds_account.did]}):
        principal = Credentials(database, **of).authenticate(signed_in.token)
        assert (principal.operator, principal.admin, principal.may(Scope.WRITE)) == (True, False, False)
    assert not Credentials(database).authenticate(signed_in.token).operator


def test_a_person_signs_in_with_an_app_password(signed, database, pds, pds_account):
    identifier = f"@{pds_account.handle.upper()}"
    signed_in = signed.sign_in_by_password(identifier, pds_account.app_password)
    account = signed_in.account
    assert (account.did, account.handle) == (pds_account.did, pds_account.handle)
    assert (account.pds_url, account.display_name) == (pds.url, pds_account.handle)
    assert Accounts(database).by_handle(pds_account.handle) == account
    assert Credentials(database).authenticate(signed_in.token).did == pds_account.did
    row = session_row(database)
    assert (row.kind, row.scope, row.generation) == ("app_password", "com.atproto.appPass", 1)
    with database.read() as connection:
        lifetime = row.access_expires_at - database.now(connection)
    assert timedelta(minutes=110) < lifetime <= timedelta(minutes=121)
    assert ask(signed, pds_account.did) == 200


def test_the_display_name_comes_from_the_persons_own_profile(signed, pds, pds_account):
    profile = {"$type": "app.bsky.actor.profile", "displayName": " Alice \0"}
    record = {"repo": pds_account.did, "collection": profile["$type"], "rkey": "self", "record": profile}
    pds.procedure("com.atproto.repo.putRecord", {**record, "validate": False}, by=pds_account.did)
    account = signed.sign_in_by_password(pds_account.did, pds_account.app_password).account
    assert account.display_name == "Alice"


@pytest.mark.parametrize("password", ["wrong-password", "x" * 3000])
def test_a_wrong_password_is_refused_and_changes_nothing(signed, database, hooks, pds_account, password):
    with pytest.raises(BadCredentialsError):
        signed.sign_in_by_password(pds_account.handle, password)
    assert hooks.calls == []
    with database.read() as connection:
        assert connection.execute(select(pds_session)).all() == []
        assert connection.execute(select(credential)).all() == []


def test_sign_in_fails_while_the_pds_is_down(signed, pds, pds_account):
    with refusing_connections(pds), pytest.raises(IdentityUnreachableError):
        signed.sign_in_by_password(pds_account.did, pds_account.app_password)


def test_a_session_for_another_did_is_refused():
    fake = FakePds()
    for reply in (
        httpx.Response(200, json=fake.session(did="did:plc:mallory")),
        httpx.Response(200, json={"did": DID}),
        httpx.Response(200, text="<html>"),
        error("InternalServerError", 500),
    ):
        with pytest.raises(IdentityUnreachableError):
            asyncio.run(create(reply))


DEACTIVATED = FakePds().session(active=False, status="deactivated")


@pytest.mark.parametrize(
    ("reply", "refused"),
    [
        (error("AuthFactorTokenRequired", 401), BadCredentialsError),
        (error("AccountTakedown", 401), AccountInactiveError),
        (httpx.Response(200, json=DEACTIVATED), AccountInactiveError),
    ],
    ids=["it takes no app password", "taken down", "deactivated"],
)
def test_a_session_that_the_pds_does_not_give_says_why(reply, refused):
    """That the real PDS replies so of the latter two is in the contract of the fake one."""
    with pytest.raises(refused):
        asyncio.run(create(reply))


def test_a_sign_in_keeps_the_name_and_the_bio_that_the_owner_set_here(database, log, cipher, hooks):
    def named(unit):
        update_profile(unit, {"display_name": "DJ A", "bio": "Words"})

    asyncio.run(sign_in_with(profile_named("A"), database, cipher, hooks))
    log.transact(DID, by(DID), named)
    again = asyncio.run(sign_in_with(profile_named("A"), database, cipher, hooks)).account
    assert (again.display_name, again.name, again.bio) == ("A", "DJ A", "Words")


HALF_A_CHARACTER = "\ud83c"
"""JSON may hold it, and no database does."""


def profile_named(name):
    return httpx.Response(200, content=json.dumps({"value": {"displayName": name}}))


@pytest.mark.parametrize(
    ("display_name", "expected"),
    [
        (f"A{HALF_A_CHARACTER}B", "A?B"),
        (HALF_A_CHARACTER, "?"),
        (f"{'n' * 255}\U0001f3b5", f"{'n' * 255}\U0001f3b5"),
        ("\u200b\u200e", "a.test"),
        (1, "a.test"),
    ],
    ids=["half a character amid", "half a character alone", "as long as it may be", "invisible", "no text"],
)
def test_a_display_name_that_cannot_be_shown_or_stored_does_not_prevent_the_sign_in(
    database, cipher, hooks, display_name, expected
):
    signed_in = asyncio.run(sign_in_with(profile_named(display_name), database, cipher, hooks))
    assert signed_in.account.display_name == expected
    assert Accounts(database).get(DID) == signed_in.account


@pytest.mark.parametrize("content", [b"[" * 200_000, b'{"value":{}}'], ids=["nested too deeply", "no name"])
def test_a_profile_without_a_name_that_can_be_read_does_not_prevent_the_sign_in(
    database, cipher, hooks, content
):
    profile = httpx.Response(200, content=content)
    assert asyncio.run(sign_in_with(profile, database, cipher, hooks)).account.display_name == "a.test"


def test_a_scope_with_half_a_character_does_not_prevent_the_sign_in(database, cipher, hooks):
    scope = f"atproto {HALF_A_CHARACTER}\0"
    signed_in = asyncio.run(sign_in_with(error("RecordNotFound"), database, cipher, hooks, scope=scope))
    assert signed_in.account.did == DID


async def sign_in_with(profile, database, cipher, hooks, scope="atproto"):
    """Complete the sign-in of an account whose PDS responds so when its profile is read."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: profile)) as http:
        log = EventLog(database)
        sign_ins = SignIns(
            log,
            http,
            sessions=PdsSessions(
                log, cipher, http, on_reauth=hooks.on_reauth, on_signed_in=hooks.on_signed_in
            ),
            accounts=Accounts(database),
            credentials=Credentials(database),
        )
        tokens = Tokens(SecretStr("access"), SecretStr("refresh"), scope, None)
        identity = Identity(DID, "a.test", ORIGIN)
        return await sign_ins.complete(identity, SessionKind.APP_PASSWORD, tokens, name="x", by=by)


async def create(reply):
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: reply)) as http:
        return await create_session(http, ORIGIN, DID, SecretStr("password"))
