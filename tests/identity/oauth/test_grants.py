"""OAuth tokens at the real PDS: concurrent requests rotate them once, lost answers, and no secret in database or logs."""

import logging

import httpx
import pytest

from aggregates.errors import SessionUnavailableError, SignInRequiredError
from tests.faults.faults import cut_after, pass_on
from tests.identity.conftest import KEY
from tests.identity.oauth.oauth_rig import Rig, ask, rig, store_tokens, stored_tokens
from tests.identity.sessions.stored_sessions import expire, require_none_of, session_row
from tests.servers.databases import ON_SQLITE

__all__ = ["rig"]
pytestmark = [pytest.mark.pds, ON_SQLITE]
TOKEN = "/oauth/token"


@pytest.fixture
def proxied(database, cipher, hooks, proxied_pds):
    return Rig(database, cipher, hooks, proxied_pds)


def test_a_rotated_access_token_is_refreshed(rig, database, pds_account):
    did = rig.sign_in(pds_account).account.did
    rotated_away = stored_tokens(rig, did)["access"]
    expire(database)
    assert ask(rig, did) == 200
    store_tokens(rig, did, {**stored_tokens(rig, did), "access": rotated_away})
    assert ask(rig, did) == 200
    assert session_row(database).generation == 3


def test_a_login_is_refreshed_with_its_own_scope_after_the_service_requests_more(
    database, cipher, hooks, pds, pds_account
):
    """It keeps the client and the scope that it began with; asking the PDS for more would end it."""
    did = Rig(database, cipher, hooks, pds).sign_in(pds_account).account.did
    more = Rig(database, cipher, hooks, pds, scope="atproto transition:generic")
    expire(database)
    assert ask(more, did) == 200
    assert session_row(database).generation == 2


def test_an_answer_lost_after_the_rotation_requires_a_sign_in_and_causes_no_loop(
    *, proxied, proxy, database, hooks, proxied_account
):
    did = proxied.sign_in(proxied_account).account.did
    expire(database)
    proxy.on(TOKEN, fault=pass_on, times=1)  # it only says which nonce it wants
    proxy.on(TOKEN, fault=cut_after, times=1)
    with pytest.raises(SessionUnavailableError) as failed:
        ask(proxied, did)
    assert isinstance(failed.value.cause, httpx.HTTPError)
    for _ in range(3):
        with pytest.raises(SignInRequiredError):
            ask(proxied, did)
    row = session_row(database)
    assert (row.status, row.sealed, row.last_error) == ("reauth_required", None, "invalid_grant")
    assert hooks.calls[-1] == ("reauth", did)
    assert [call for call in hooks.calls if call[0] == "reauth"] == [("reauth", did)]


def test_neither_database_nor_logs_hold_a_secret(rig, database, pds_account, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine")
    did, secrets = pds_account.did, [KEY, pds_account.password]
    started, query = rig.start_with_consent(pds_account)
    caplog.clear()  # the person's own browser is no part of the service
    signed_in, _ = rig.finish(query, started.cookie)
    secrets += [signed_in.token.get_secret_value(), started.cookie.get_secret_value(), query["code"]]
    for _ in range(2):
        tokens = stored_tokens(rig, did)
        secrets += [tokens["access"], tokens["refresh"], tokens["grant"]["dpop_key"]]
        expire(database)
        assert ask(rig, did) == 200
    require_none_of(secrets, database, caplog.text.encode(), did=did)
