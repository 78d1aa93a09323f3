from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from identity.accounts import Accounts
from identity.credentials import CredentialKind, Credentials, Scope, credential
from identity.errors import CredentialExpiredError

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


def last_used(database):
    with database.read() as connection:
        return connection.execute(select(credential.c.last_used_at)).scalar_one()


def test_a_token_tells_who_is_asking(database, credentials):
    token = issue(database, credentials, scope=Scope.READ)
    principal = credentials.authenticate(token)
    assert (principal.did, principal.handle, principal.scope, principal.admin) == (
        DID,
        "alice.test",
        "read",
        False,
    )
    assert principal.may(Scope.READ)
    assert not principal.may(Scope.WRITE)


def test_only_a_hash_is_kept_and_no_repr_shows_the_token(database, credentials):
    token = issue(database, credentials)
    with database.read() as connection:
        (row,) = connection.execute(select(credential)).all()
    plain = token.get_secret_value()
    assert len(plain) >= 43
    assert plain not in repr((row, token, credentials.issued_to(DID)))
    assert credentials.authenticate(SecretStr(row.token_hash)) is None


@pytest.mark.parametrize("wrong", ["", "mt_", "mt_" + "a" * 43, "\0", "ü"])
def test_a_wrong_token_is_nobody(credentials, wrong):
    assert credentials.authenticate(SecretStr(wrong)) is None


def test_an_expired_token_says_so(database, credentials, clock):
    token = issue(database, credentials, expires_in=timedelta(days=1))
    clock.advance(hours=23)
    assert credentials.authenticate(token)
    clock.advance(hours=1)
    with pytest.raises(CredentialExpiredError):
        credentials.authenticate(token)
    assert credentials.issued_to(DID) == []


def test_a_revoked_token_is_nobody_and_the_others_stay(database, credentials):
    token, other = issue(database, credentials), issue(database, credentials, kind=CredentialKind.BROWSER)
    assert credentials.revoke(token)
    assert not credentials.revoke(token)
    assert credentials.authenticate(token) is None
    assert credentials.authenticate(other).kind == "browser"


def test_a_token_is_revoked_from_the_list_by_its_owner_only(database, credentials):
    token = issue(database, credentials)
    (listed,) = credentials.issued_to(DID)
    with database.write() as connection:
        assert not credentials.revoke_by_id(connection, did=ADMIN, credential_id=listed.id)
        assert credentials.revoke_by_id(connection, did=DID, credential_id=listed.id)
    assert credentials.authenticate(token) is None


def test_an_admin_is_one_by_did_and_by_scope(database, credentials):
    admin = issue(database, credentials, did=ADMIN, scope=Scope.ADMIN)
    writer = issue(database, credentials, did=ADMIN, scope=Scope.WRITE)
    pretender = issue(database, credentials, scope=Scope.ADMIN)
    assert [credentials.authenticate(token).admin for token in (admin, writer, pretender)] == [
        True,
        False,
        False,
    ]


def test_last_use_is_written_at_most_once_a_minute(database, credentials, clock):
    token = issue(database, credentials)
    assert last_used(database) is None
    credentials.authenticate(token)
    first = last_used(database)
    clock.advance(seconds=59)
    credentials.authenticate(token)
    assert last_used(database) == first
    clock.advance(seconds=1)
    credentials.authenticate(token)
    assert last_used(database) == first + timedelta(minutes=1)
