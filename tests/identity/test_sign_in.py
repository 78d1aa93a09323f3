"""Against the real PDS."""

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import inspect, select, table, text, update
from sqlalchemy.engine import make_url

from aggregates.account import Account
from eventstore.event_log import EventLog
from identity.accounts import Accounts, account
from identity.addresses import AddressPolicy, public_client
from identity.app_password import AppPasswordSignIn
from identity.credentials import Credentials, Scope, credential
from identity.errors import (
    AccountInactiveError,
    BadCredentialsError,
    IdentityUnreachableError,
    NotAnAdminError,
    SessionUnavailableError,
    SignInRequiredError,
    UnknownIdentityError,
)
from identity.pds_sessions import PdsSessions
from identity.resolution import Resolver
from identity.session_calls import create_session
from identity.session_rows import pds_session
from identity.sign_in import SignIns
from tests.identity.conftest import KEY, by, noted
from tests.identity.fake_pds import DID, ORIGIN, FakePds, error

pytestmark = pytest.mark.pds
GET_SESSION = "com.atproto.server.getSession"


@pytest.fixture
def admins():
    return []


@pytest.fixture
def signed(database, seal, hooks, pds, admins):
    """What the composition root builds, for the time of one event loop."""

    @asynccontextmanager
    async def opened():
        async with public_client(AddressPolicy([pds.url, pds.plc_url])) as http:
            log = EventLog(database)
            sessions = PdsSessions(
                log, seal, http, on_reauth=hooks.on_reauth, on_signed_in=hooks.on_signed_in
            )
            accounts, credentials = Accounts(database), Credentials(database, admin_dids=admins)
            made = SimpleNamespace(
                sessions=sessions,
                resolver=Resolver(pds.plc_url, [pds.url], http),
                sign_ins=SignIns(log, http, sessions=sessions, accounts=accounts, credentials=credentials),
            )
            made.app_password = AppPasswordSignIn(http, resolver=made.resolver, sign_ins=made.sign_ins)
            made.sign_in = made.app_password.sign_in
            yield made

    return opened


def run(signed, story):
    async def told():
        async with signed() as made:
            return await story(made)

    return asyncio.run(told())


def sign_in(signed, identifier, password):
    return run(signed, lambda made: made.sign_in(identifier, SecretStr(password), by=by))


def test_a_sign_in_and_what_the_log_says_of_it_are_one(signed, database, hooks, pds_account, monkeypatch):
    def broken(*_args, **_fields):
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Account, "sign_in", broken)
        with pytest.raises(ZeroDivisionError):
            sign_in(signed, pds_account.did, pds_account.app_password)
    with database.read() as connection:
        for table in (pds_session, credential, account):
            assert connection.execute(select(table)).all() == []
    assert noted(database, pds_account.did) == []
    sign_in(signed, pds_account.did, pds_account.app_password)
    assert noted(database, pds_account.did) == ["SignedIn"]
    assert [call[0] for call in hooks.calls] == ["signed_in", "signed_in"]


def test_only_an_admin_is_let_in_as_one_and_not_for_weeks(signed, admins, database, pds_account):
    with pytest.raises(NotAnAdminError):
        run(signed, lambda made: sign_in_as_admin(made, pds_account))
    assert noted(database, pds_account.did) == []
    admins.append(pds_account.did)
    signed_in = run(signed, lambda made: sign_in_as_admin(made, pds_account))
    assert signed_in.expires_in == timedelta(hours=12)
    assert Credentials(database, admin_dids=[pds_account.did]).authenticate(signed_in.token).admin
    assert not Credentials(database).authenticate(signed_in.token).admin


def sign_in_as_admin(made, who):
    password = SecretStr(who.app_password)
    return made.sign_in(who.did, password, by=by, scope=Scope.ADMIN, expires_in=timedelta(days=30))


def ask(signed, did):
    return run(signed, lambda made: made.sessions.request(did, "GET", GET_SESSION, timeout=20))


@pytest.mark.parametrize("spelled", ["{handle}", "@{handle}", "{did}"])
def test_a_person_signs_in_with_handle_or_did(signed, database, pds, pds_account, spelled):
    identifier = spelled.format(handle=pds_account.handle.upper(), did=pds_account.did)
    signed_in = sign_in(signed, identifier, pds_account.app_password)
    account = signed_in.account
    assert (account.did, account.handle) == (pds_account.did, pds_account.handle)
    assert (account.pds_url, account.display_name) == (pds.url, pds_account.handle)
    assert Accounts(database).by_handle(pds_account.handle) == account
    assert Credentials(database).authenticate(signed_in.token).did == pds_account.did
    reply = ask(signed, pds_account.did)
    assert (reply.status_code, reply.json()["did"]) == (200, pds_account.did)


def test_a_sign_in_is_told_to_whoever_waits_for_it(signed, hooks, pds, pds_account):
    sign_in(signed, pds_account.did, pds_account.app_password)
    assert hooks.calls == [("signed_in", pds_account.did, pds.url)]


def test_the_session_of_an_app_password_has_its_scope(signed, database, pds_account):
    sign_in(signed, pds_account.handle, pds_account.app_password)
    with database.read() as connection:
        row = connection.execute(select(pds_session)).one()
        lifetime = row.access_expires_at - database.now(connection)
    assert (row.kind, row.scope, row.generation) == ("app_password", "com.atproto.appPass", 1)
    assert timedelta(minutes=110) < lifetime <= timedelta(minutes=121)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"displayName": " Alice \0"}, "Alice"),
        ({"displayName": ""}, None),
        ({"displayName": 1}, None),
        ({}, None),
    ],
)
def test_the_display_name_comes_from_the_persons_own_profile(signed, pds, pds_account, value, expected):
    profile = {"$type": "app.bsky.actor.profile", **value}
    pds.procedure(
        "com.atproto.repo.putRecord",
        {
            "repo": pds_account.did,
            "collection": "app.bsky.actor.profile",
            "rkey": "self",
            "record": profile,
            "validate": False,
        },
        by=pds_account.did,
    )
    account = sign_in(signed, pds_account.did, pds_account.app_password).account
    assert account.display_name == (expected or pds_account.handle)


@pytest.mark.parametrize("password", ["wrong-password", "", "x" * 3000])
def test_a_wrong_password_is_refused_and_changes_nothing(signed, database, hooks, pds_account, password):
    with pytest.raises(BadCredentialsError):
        sign_in(signed, pds_account.handle, password)
    assert hooks.calls == []
    with database.read() as connection:
        assert connection.execute(select(pds_session)).all() == []
        assert connection.execute(select(credential)).all() == []


def test_an_unknown_handle_is_refused(signed):
    with pytest.raises(UnknownIdentityError):
        sign_in(signed, "nobody-at-all.test", "password")


def test_a_deactivated_account_is_told_so(signed, pds, pds_account):
    pds.procedure("com.atproto.server.deactivateAccount", {}, by=pds_account.did)
    with pytest.raises(AccountInactiveError):
        sign_in(signed, pds_account.did, pds_account.app_password)


def test_a_taken_down_account_is_told_so_if_the_pds_says_so(signed, pds, pds_account):
    take_down(pds, pds_account.did)
    with pytest.raises(AccountInactiveError):
        sign_in(signed, pds_account.did, pds_account.password)
    with pytest.raises(BadCredentialsError):  # to an app password the PDS only says that it is invalid
        sign_in(signed, pds_account.did, pds_account.app_password)


def take_down(pds, did):
    subject = {"$type": "com.atproto.admin.defs#repoRef", "did": did}
    body = {"subject": subject, "takedown": {"applied": True, "ref": "1"}}
    pds.procedure("com.atproto.admin.updateSubjectStatus", body, by="admin")


def expire(database):
    with database.write() as connection:
        connection.execute(update(pds_session).values(access_expires_at=database.now(connection)))


def session_row(database):
    with database.read() as connection:
        return connection.execute(select(pds_session)).one()


def test_an_expired_access_token_is_refreshed_once(signed, database, pds_account):
    sign_in(signed, pds_account.did, pds_account.app_password)
    expire(database)

    async def many(made):
        one = made.sessions.request
        return await asyncio.gather(
            *(one(pds_account.did, "GET", GET_SESSION, timeout=20) for _ in range(10))
        )

    assert {reply.status_code for reply in run(signed, many)} == {200}
    assert session_row(database).generation == 2
    assert ask(signed, pds_account.did).status_code == 200


def test_an_access_token_that_the_pds_refuses_is_refreshed(signed, database, seal, pds_account):
    import json

    sign_in(signed, pds_account.did, pds_account.app_password)
    did, purpose = pds_account.did, "pds_session"
    with database.write() as connection:
        sealed = connection.execute(select(pds_session.c.sealed)).scalar_one()
        held = json.loads(seal.open(sealed, purpose=purpose, did=did))
        forged = held["access"][:-4] + ("AAAA" if not held["access"].endswith("AAAA") else "BBBB")
        broken = seal.seal(json.dumps({**held, "access": forged}).encode(), purpose=purpose, did=did)
        connection.execute(update(pds_session).values(sealed=broken))
    assert ask(signed, did).status_code == 200
    assert session_row(database).generation == 2


def test_a_refresh_works_after_the_pds_was_down(signed, database, pds, pds_account):
    sign_in(signed, pds_account.did, pds_account.app_password)
    expire(database)
    pds.stop()
    try:
        with pytest.raises(SessionUnavailableError) as failed:
            ask(signed, pds_account.did)
    finally:
        pds.start()
    assert isinstance(failed.value.cause, httpx.ConnectError)
    assert ask(signed, pds_account.did).status_code == 200
    assert session_row(database).generation == 2


def test_nobody_signs_in_while_the_pds_is_down(signed, pds, pds_account):
    pds.stop()
    try:
        with pytest.raises(IdentityUnreachableError):
            sign_in(signed, pds_account.did, pds_account.app_password)
    finally:
        pds.start()


def end_by_takedown(pds, did):
    take_down(pds, did)


def end_by_deletion(pds, did):
    pds.procedure("com.atproto.admin.deleteAccount", {"did": did}, by="admin")


def end_by_revocation(pds, did):
    pds.procedure("com.atproto.server.revokeAppPassword", {"name": "mastertape"}, by=did)


@pytest.mark.parametrize("end", [end_by_takedown, end_by_deletion, end_by_revocation])
def test_a_session_that_ended_at_the_pds_asks_for_a_sign_in(
    *, signed, database, hooks, pds, pds_account, end
):
    sign_in(signed, pds_account.did, pds_account.app_password)
    end(pds, pds_account.did)
    expire(database)
    with pytest.raises(SignInRequiredError):
        ask(signed, pds_account.did)
    assert hooks.calls[-1] == ("reauth", pds_account.did)
    assert session_row(database).status == "reauth_required"


def test_a_pds_that_answers_for_somebody_else_is_not_believed():
    fake = FakePds()
    for reply in (
        httpx.Response(200, json=fake.session(did="did:plc:mallory")),
        httpx.Response(200, json={"did": DID}),
        httpx.Response(200, text="<html>"),
        error("InternalServerError", 500),
    ):
        with pytest.raises(IdentityUnreachableError):
            asyncio.run(create(reply))


def test_a_second_factor_means_that_an_app_password_is_needed():
    with pytest.raises(BadCredentialsError):
        asyncio.run(create(error("AuthFactorTokenRequired", 401)))


async def create(reply):
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: reply)) as http:
        return await create_session(http, ORIGIN, DID, SecretStr("password"))


def test_neither_database_nor_logs_hold_a_secret(*, signed, database, seal, pds, pds_account, caplog):
    import json

    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    did, secrets = pds_account.did, [KEY, pds_account.app_password, pds_account.password]
    token = sign_in(signed, pds_account.handle, pds_account.app_password).token
    secrets.append(token.get_secret_value())
    errors = []
    with pytest.raises(BadCredentialsError) as refused:
        sign_in(signed, did, pds_account.password + "-wrong")
    errors.append(repr(refused.value))
    for _ in range(2):
        held = json.loads(seal.open(session_row(database).sealed, purpose="pds_session", did=did))
        secrets += held.values()
        expire(database)
        assert ask(signed, did).status_code == 200
    expire(database)
    pds.stop()
    try:
        with pytest.raises(SessionUnavailableError) as failed:
            ask(signed, did)
    finally:
        pds.start()
    errors.append(
        repr(failed.value) + repr(vars(failed.value)) + repr(failed.value.cause.request.headers.raw)
    )
    texts = {"tables": dump(database), "files": files(database), "logs": caplog.text.encode()}
    texts["errors"] = "".join(errors).encode()
    assert b"pds_session" in texts["logs"]
    assert did.encode() in texts["tables"]
    for where, said in texts.items():
        for number, secret in enumerate(secrets):
            assert secret.encode() not in said, f"secret {number} is in the {where}"
            assert repr(secret.encode())[2:-1].encode() not in said, f"secret {number} is in the {where}"


def dump(database):
    """Every table and view there is, not only ours."""
    with database.read() as connection:
        found = inspect(connection)
        names = [*found.get_table_names(), *found.get_view_names()]
        everything = [select(text("*")).select_from(table(name)) for name in names]
        rows = [tuple(row) for each in everything for row in connection.execute(each)]
    return b"\n".join(
        bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for row in rows for v in row
    )


def files(database):
    if not database.is_sqlite:
        return b""
    from pathlib import Path

    path = Path(make_url(database.url).database)
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))
