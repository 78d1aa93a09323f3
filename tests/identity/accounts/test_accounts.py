from datetime import timedelta

import pytest

from identity.accounts.accounts import Accounts
from identity.errors import INVALID_HANDLE

ALICE = {
    "did": "did:plc:alice",
    "handle": "Alice.test",
    "pds_url": "https://a.example.com",
    "display_name": "Alice",
}


@pytest.fixture
def accounts(database):
    return Accounts(database)


def put(database, accounts, **changes):
    with database.write() as connection:
        return accounts.upsert(connection, **{**ALICE, **changes})


def test_signing_in_again_changes_what_is_new_and_keeps_when_it_began(database, accounts, clock):
    first = put(database, accounts)
    clock.advance(days=1)
    second = put(database, accounts, display_name="Alice B", pds_url="https://b.example.com")
    assert second.created_at == first.created_at
    assert second.updated_at == first.updated_at + timedelta(days=1)
    assert (second.display_name, second.pds_url) == ("Alice B", "https://b.example.com")


def test_a_handle_belongs_to_the_last_one_who_proved_it(database, accounts):
    put(database, accounts)
    bob = put(database, accounts, did="did:plc:bob")
    assert bob.handle == "alice.test"
    assert accounts.by_handle("@ALICE.test") == bob
    assert accounts.get("did:plc:alice").handle == INVALID_HANDLE


def test_the_invalid_handle_finds_no_account(database, accounts):
    put(database, accounts, handle=INVALID_HANDLE)
    put(database, accounts, handle=INVALID_HANDLE, did="did:plc:bob")
    assert accounts.by_handle(INVALID_HANDLE) is None
    assert accounts.get("did:plc:alice").handle == INVALID_HANDLE
