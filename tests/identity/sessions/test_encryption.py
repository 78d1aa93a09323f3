import pytest

from identity.errors import DecryptionError
from identity.sessions.encryption import Cipher

OLD, NEW = "o" * 32, "n" * 32
BINDING = {"purpose": "pds_session", "did": "did:plc:alice"}


@pytest.mark.parametrize("other", [{"did": "did:plc:alic"}, {"did": "did:plc:bob"}, {"purpose": "other"}])
def test_a_ciphertext_copied_to_another_account_or_purpose_does_not_decrypt(other):
    cipher = Cipher([NEW])
    with pytest.raises(DecryptionError):
        cipher.decrypt(cipher.encrypt(b"token", **BINDING), **{**BINDING, **other})


def test_after_a_key_rotation_an_old_ciphertext_decrypts_and_is_not_current():
    ciphertext = Cipher([OLD]).encrypt(b"token", **BINDING)
    rotated = Cipher([NEW, OLD])
    assert rotated.decrypt(ciphertext, **BINDING) == b"token"
    assert not rotated.is_current(ciphertext)
    assert rotated.is_current(rotated.encrypt(b"token", **BINDING))
    with pytest.raises(DecryptionError):
        Cipher([OLD]).decrypt(rotated.encrypt(b"token", **BINDING), **BINDING)


@pytest.mark.parametrize("keys", [[], ["short"], [NEW, "short"]])
def test_missing_and_short_keys_are_refused_without_being_shown(keys):
    with pytest.raises(ValueError, match="SECRET_KEYS") as refused:
        Cipher(keys)
    assert "short" not in str(refused.value)
