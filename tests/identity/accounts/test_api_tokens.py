"""A revoked token cannot create another one."""

import pytest
from sqlalchemy import func, select

from identity.accounts.accounts import Accounts
from identity.accounts.credentials import AccountTokens, CredentialKind, Credentials, Scope, credential
from identity.errors import CredentialExpiredError
from tests.identity.conftest import by

DID = "did:plc:alice"


def test_a_token_that_is_revoked_meanwhile_cannot_create_another(database, log):
    credentials = Credentials(database)
    access = AccountTokens(log, credentials)
    with database.write() as connection:
        Accounts(database).upsert(
            connection, did=DID, handle="alice.test", pds_url="https://x.example", display_name=""
        )
        stolen = credentials.issue(connection, did=DID, kind=CredentialKind.API, name="stolen")
    thief = credentials.authenticate(stolen.token)
    access.end(DID, stolen.id, by=by)
    with pytest.raises(CredentialExpiredError):
        access.issue(thief, name="another", scope=Scope.WRITE, expires_in=None, by=by)
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(credential)) == 1
