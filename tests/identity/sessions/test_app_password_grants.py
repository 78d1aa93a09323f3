"""Sessions of app passwords at the real PDS: refresh, and their end."""

import json
import logging
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from aggregates.errors import SessionUnavailableError, SignInRequiredError
from identity.errors import BadCredentialsError
from identity.sessions.session_store import pds_session
from tests.identity.conftest import KEY
from tests.identity.oauth.oauth_rig import ask, refusing_connections, take_down
from tests.identity.oauth.oauth_rig import rig as signed
from tests.identity.sessions.stored_sessions import dump, expire, files, session_row
from tests.servers.databases import ON_SQLITE

__all__ = ["signed"]
pytestmark = [pytest.mark.pds, ON_SQLITE]


def test_the_session_of_an_app_password_has_its_scope(signed, database, pds_account):
    signed.sign_in_by_password(pds_account.handle, pds_account.app_password)
    with database.read() as connection:
        row = connection.execute(select(pds_session)).one()
        lifetime = row.access_expires_at - database.now(connection)
    assert (row.kind, row.scope, row.generation) == ("app_password", "com.atproto.appPass", 1)
    assert timedelta(minutes=110) < lifetime <= timedelta(minutes=121)


def test_an_access_token_that_the_pds_refuses_is_refreshed(signed, database, cipher, pds_account):
    signed.sign_in_by_password(pds_account.did, pds_account.app_password)
    did, purpose = pds_account.did, "pds_session"
    with database.write() as connection:
        encrypted = connection.execute(select(pds_session.c.sealed)).scalar_one()
        content = json.loads(cipher.decrypt(encrypted, purpose=purpose, did=did))
        forged = content["access"][:-4] + ("AAAA" if not content["access"].endswith("AAAA") else "BBBB")
        broken = cipher.encrypt(json.dumps({**content, "access": forged}).encode(), purpose=purpose, did=did)
        connection.execute(update(pds_session).values(sealed=broken))
    assert ask(signed, did) == 200
    assert session_row(database).generation == 2


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
    signed.sign_in_by_password(pds_account.did, pds_account.app_password)
    end(pds, pds_account.did)
    expire(database)
    with pytest.raises(SignInRequiredError):
        ask(signed, pds_account.did)
    assert hooks.calls[-1] == ("reauth", pds_account.did)
    assert session_row(database).status == "reauth_required"


def test_neither_database_nor_logs_hold_a_secret(*, signed, database, cipher, pds, pds_account, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    did, secrets = pds_account.did, [KEY, pds_account.app_password, pds_account.password]
    token = signed.sign_in_by_password(pds_account.handle, pds_account.app_password).token
    secrets.append(token.get_secret_value())
    errors = []
    with pytest.raises(BadCredentialsError) as refused:
        signed.sign_in_by_password(did, pds_account.password + "-wrong")
    errors.append(repr(refused.value))
    for _ in range(2):
        content = json.loads(cipher.decrypt(session_row(database).sealed, purpose="pds_session", did=did))
        secrets += content.values()
        expire(database)
        assert ask(signed, did) == 200
    expire(database)
    with refusing_connections(pds), pytest.raises(SessionUnavailableError) as failed:
        ask(signed, did)
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
