"""The bucket of an account is the same for ever, in every process and version."""

from collections import Counter
from random import Random

import pytest

from eventstore.streams.buckets import BUCKETS, bucket_of

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@pytest.mark.parametrize(
    ("did", "bucket"),
    [
        ("did:plc:alice", 2608),
        ("did:plc:bob", 1329),
        ("did:plc:ewvi7nxzyoun6zhxrhs64oiz", 153),
        ("did:plc:z72i7hdynmk6r22z27h6tvur", 3931),
        ("did:web:example.org", 2644),
        ("did:web:münchen.example", 2682),
    ],
)
def test_the_bucket_of_a_did_never_changes(did: str, bucket: int) -> None:
    assert bucket_of(did) == bucket


def test_accounts_spread_evenly_over_the_buckets() -> None:
    random = Random(30)  # noqa: S311
    buckets = [bucket_of("did:plc:" + "".join(random.choices(LETTERS, k=24))) for _ in range(4000)]
    assert {0 <= each < BUCKETS for each in buckets} == {True}
    sixteenths = Counter(each * 16 // BUCKETS for each in buckets)
    assert len(sixteenths) == 16
    assert all(150 < count < 350 for count in sixteenths.values())
    assert max(Counter(buckets).values()) < 10
