import re
from datetime import timedelta
from hashlib import sha256

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select, update

from eventstore.streams.buckets import bucket_of
from identity.accounts.accounts import Accounts
from identity.accounts.credentials import (
    AccountTokens,
    CredentialKind,
    Credentials,
    Scope,
    credential,
    revoke_usable,
)
from identity.errors import CredentialExpiredError
from tests.identity.conftest import by

DID, ADMIN = "did:plc:alice", "did:plc:root"


@pytest.fixture
def credentials(database):
    accounts = Accounts(database)
    with database.write() as connection:
        for did in (DID, ADMIN):
            accounts.upsert(
                connection, did=did, handle=f"{did[8:]}.test", pds_url="https://x.example", display_name=""
            )
    return Credentials(database, admin_dids=[ADMIN])


def issue(database, credentials, **given):
    with database.write() as connection:
        return credentials.issue(
            connection, **{"did": DID, "kind": CredentialKind.API, "name": "script", **given}
        )


def token_of(database, credentials, **given):
    return issue(database, credentials, **given).token


def revoke(database, credential_id, did=DID):
    with database.write() as connection:
        now = database.now(connection)
        return [kind for _, kind in revoke_usable(connection, did=did, only=credential_id, now=now)]


def last_used(database):
    with database.read() as connection:
        return connection.execute(select(credential.c.last_used_at)).scalar_one()


def test_only_a_hash_is_kept_and_nothing_that_is_shown_authenticates(database, credentials):
    token = token_of(database, credentials)
    with database.read() as connection:
        (row,) = connection.execute(select(credential)).all()
    plain = token.get_secret_value()
    assert len(plain) >= 43
    assert plain not in repr((row, token, credentials.issued_to(DID)))
    for shown in (row.token_hash, row.id):
        assert credentials.authenticate(SecretStr(shown)) is None


def test_a_token_names_the_bucket_of_its_account(database, credentials):
    token = token_of(database, credentials).get_secret_value()
    assert re.fullmatch(r"mt_a30_[\w-]{43}", token)
    assert bucket_of(DID) == 0xA30
    assert credentials.authenticate(SecretStr(token)).did == DID


@pytest.mark.parametrize(
    "older",
    [
        "mt_NcbF4QMd8H-EBupmJsRcCY5yj0CXMg5HOVUnZF-LWmY",
        "mt_0a1_QMd8H-EBupmJsRcCY5yj0CXMg5HOVUnZF-LWmY",  # by chance: one of 4,096
    ],
)
def test_a_token_of_an_older_version_works_until_it_expires(database, credentials, clock, older):
    issue(database, credentials, expires_in=timedelta(hours=1))
    with database.write() as connection:
        connection.execute(update(credential).values(token_hash=sha256(older.encode()).hexdigest()))
    assert credentials.authenticate(SecretStr(older)).did == DID
    clock.advance(hours=1)
    with pytest.raises(CredentialExpiredError):
        credentials.authenticate(SecretStr(older))


def test_what_has_expired_is_not_ended_again(database, credentials, clock):
    issued = issue(database, credentials, expires_in=timedelta(hours=1))
    clock.advance(hours=1)
    assert revoke(database, issued.id) == []


def test_a_token_that_is_revoked_meanwhile_cannot_create_another(database, log, credentials):
    access, stolen = AccountTokens(log, credentials), issue(database, credentials)
    thief = credentials.authenticate(stolen.token)
    access.end(DID, stolen.id, by=by)
    with pytest.raises(CredentialExpiredError):
        access.issue(thief, name="another", scope=Scope.WRITE, expires_in=None, by=by)
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(credential)) == 1


def test_last_use_is_written_at_most_once_a_minute(database, credentials, clock):
    token = token_of(database, credentials)
    assert last_used(database) is None
    credentials.authenticate(token)
    first = last_used(database)
    clock.advance(seconds=59)
    credentials.authenticate(token)
    assert last_used(database) == first
    clock.advance(seconds=1)
    credentials.authenticate(token)
    assert last_used(database) == first + timedelta(minutes=1)
