import pytest

from identity.errors import SealBrokenError
from identity.sessions.encryption import Seal

OLD, NEW = "o" * 32, "n" * 32
WHO = {"purpose": "pds_session", "did": "did:plc:alice"}


def test_what_was_sealed_opens_again():
    seal = Seal([NEW])
    assert seal.open(seal.seal(b"token", **WHO), **WHO) == b"token"


def test_what_is_sealed_cannot_be_read():
    assert b"token" not in Seal([NEW]).seal(b"token", **WHO)


@pytest.mark.parametrize("other", [{"did": "did:plc:alic"}, {"did": "did:plc:bob"}, {"purpose": "other"}])
def test_a_row_copied_to_another_account_or_purpose_does_not_open(other):
    seal = Seal([NEW])
    with pytest.raises(SealBrokenError):
        seal.open(seal.seal(b"token", **WHO), **{**WHO, **other})


def test_after_a_key_rotation_the_old_opens_and_is_not_current():
    sealed = Seal([OLD]).seal(b"token", **WHO)
    rotated = Seal([NEW, OLD])
    assert rotated.open(sealed, **WHO) == b"token"
    assert not rotated.is_current(sealed)
    assert rotated.is_current(rotated.seal(b"token", **WHO))
    with pytest.raises(SealBrokenError):
        Seal([OLD]).open(rotated.seal(b"token", **WHO), **WHO)


def test_changed_bytes_do_not_open():
    seal = Seal([NEW])
    sealed = bytearray(seal.seal(b"token", **WHO))
    sealed[40] ^= 1
    with pytest.raises(SealBrokenError):
        seal.open(bytes(sealed), **WHO)


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, "short"]])
def test_missing_and_short_keys_are_refused_without_being_shown(keys):
    with pytest.raises(ValueError, match="SECRET_KEYS") as refused:
        Seal(keys)
    assert "short" not in str(refused.value)
