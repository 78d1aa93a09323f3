import pytest

from storage.cid import cid_of, cid_of_key, is_key, new_key


def test_the_id_is_the_standard_cid() -> None:
    assert cid_of(b"hello world") == "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"


def test_two_copies_of_the_same_bytes_have_different_keys_of_one_cid() -> None:
    cid = cid_of(b"a")
    first, second = new_key(cid), new_key(cid)
    assert first != second
    assert cid_of_key(first) == cid_of_key(second) == cid


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", cid_of(b"a"), new_key(cid_of(b"a")) + "/x"], ids=range(4)
)
def test_a_name_that_is_no_key_is_refused(name: str) -> None:
    assert not is_key(name)
    with pytest.raises(ValueError, match="not a key"):
        cid_of_key(name)
