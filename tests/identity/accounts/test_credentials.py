from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from identity.accounts.accounts import Accounts
from identity.accounts.credentials import CredentialKind, Credentials, Scope, credential, revoke_usable
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


def token_of(database, credentials, **given):
    return issue(database, credentials, **given).token


def revoke(database, credential_id, did=DID):
    with database.write() as connection:
        now = database.now(connection)
        return [kind for _, kind in revoke_usable(connection, did=did, only=credential_id, now=now)]


def last_used(database):
    with database.read() as connection:
        return connection.execute(select(credential.c.last_used_at)).scalar_one()


def test_a_token_authenticates_its_account(database, credentials):
    token = token_of(database, credentials, scope=Scope.READ)
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
    token = token_of(database, credentials)
    with database.read() as connection:
        (row,) = connection.execute(select(credential)).all()
    plain = token.get_secret_value()
    assert len(plain) >= 43
    assert plain not in repr((row, token, credentials.issued_to(DID)))
    assert credentials.authenticate(SecretStr(row.token_hash)) is None


@pytest.mark.parametrize("wrong", ["", "mt_", "mt_" + "a" * 43, "\0", "ü"])
def test_a_wrong_token_does_not_authenticate(credentials, wrong):
    assert credentials.authenticate(SecretStr(wrong)) is None


def test_an_expired_token_says_so(database, credentials, clock):
    token = token_of(database, credentials, expires_in=timedelta(days=1))
    clock.advance(hours=23)
    assert credentials.authenticate(token)
    clock.advance(hours=1)
    with pytest.raises(CredentialExpiredError):
        credentials.authenticate(token)
    assert credentials.issued_to(DID) == []


def test_a_revoked_token_does_not_authenticate_and_the_others_do(database, credentials):
    one, other = issue(database, credentials), issue(database, credentials, kind=CredentialKind.BROWSER)
    assert revoke(database, one.id) == [CredentialKind.API]
    assert revoke(database, one.id) == []
    assert credentials.authenticate(one.token) is None
    assert credentials.authenticate(other.token).kind == "browser"


def test_a_token_is_revoked_from_the_list_by_its_owner_only(database, credentials):
    issued = issue(database, credentials)
    (listed,) = credentials.issued_to(DID)
    assert listed.id == issued.id
    assert revoke(database, listed.id, did=ADMIN) == []
    assert revoke(database, listed.id) == [CredentialKind.API]
    assert credentials.authenticate(issued.token) is None


def test_what_has_expired_is_not_ended_again(database, credentials, clock):
    issued = issue(database, credentials, expires_in=timedelta(hours=1))
    clock.advance(hours=1)
    assert revoke(database, issued.id) == []


def test_the_id_of_a_token_does_not_authenticate(database, credentials):
    issued = issue(database, credentials)
    plain = issued.token.get_secret_value()
    assert issued.id not in plain
    assert credentials.authenticate(SecretStr(issued.id)) is None


def test_an_admin_is_one_by_did_and_by_scope(database, credentials):
    admin = token_of(database, credentials, did=ADMIN, scope=Scope.ADMIN)
    writer = token_of(database, credentials, did=ADMIN, scope=Scope.WRITE)
    pretender = token_of(database, credentials, scope=Scope.ADMIN)
    assert [credentials.authenticate(token).admin for token in (admin, writer, pretender)] == [
        True,
        False,
        False,
    ]


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
