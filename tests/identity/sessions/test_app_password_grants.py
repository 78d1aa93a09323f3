"""Sessions of app passwords at the real PDS. What ends one there is in test_refresh.py, and in the contract of the fake PDS."""

import logging

import pytest

from aggregates.errors import SessionUnavailableError
from identity.errors import BadCredentialsError
from tests.identity.conftest import KEY
from tests.identity.oauth.oauth_rig import ask, refusing_connections, stored_tokens
from tests.identity.oauth.oauth_rig import rig as signed
from tests.identity.sessions.stored_sessions import expire, require_none_of
from tests.servers.databases import ON_SQLITE

__all__ = ["signed"]
pytestmark = [pytest.mark.pds, ON_SQLITE]


def test_neither_database_nor_logs_hold_a_secret(signed, database, pds, pds_account, caplog):
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
        secrets += stored_tokens(signed, did).values()
        expire(database)
        assert ask(signed, did) == 200
    expire(database)
    with refusing_connections(pds), pytest.raises(SessionUnavailableError) as failed:
        ask(signed, did)
    errors.append(
        repr(failed.value) + repr(vars(failed.value)) + repr(failed.value.cause.request.headers.raw)
    )
    require_none_of(secrets, database, caplog.text.encode(), did=did, errors="".join(errors))
