"""An export is made in turns: each file is read once, whichever process reads it, and a store that is away is waited for."""

from collections import Counter

import pytest

from replay import exports
from storage.cid import cid_of_key
from storage.errors import StoreUnavailableError
from tests.api.exports.making import ask, fetch, opened, report, work
from tests.api.world import upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


class Reads:
    """Counts the reads of each file, and lets those fail that are refused."""

    def __init__(self, store):
        self.seen, self.refused = Counter(), set()
        self._read = store.read

    def __call__(self, key, start=0, end=None):
        self.seen[cid_of_key(key)] += 1
        if self.seen.total() in self.refused:
            raise StoreUnavailableError("it is away")
        return self._read(key, start, end)


@pytest.fixture
def reads(world, client, alice, monkeypatch):
    """Those of an export that was asked for."""
    for seed in (1, 2, 3):
        upload(client, alice, title=f"Song {seed}", seed=seed)
    ask(client, alice)
    counted = Reads(world.made.media.store)
    monkeypatch.setattr(world.made.media.store, "read", counted)
    return counted


def test_it_takes_turns_and_reads_each_file_once(world, client, alice, reads, monkeypatch):
    monkeypatch.setattr(exports, "TURN_BYTES", 1)
    assert work(world, alice)
    assert set(reads.seen.values()) == {1}
    assert opened(fetch(client, alice, report(client, alice))).testzip() is None


def test_a_store_that_is_away_is_waited_for_and_what_was_read_is_not_read_again(world, client, alice, reads):
    reads.refused = {2}
    work(world, alice)
    waits = report(client, alice)
    assert (waits["state"], waits["read"], waits["files"]) == ("waiting", 1, 4)
    assert "it is away" in waits["problem"]
    work(world, alice)
    assert sorted(reads.seen.values()) == [1, 1, 1, 2]
    assert opened(fetch(client, alice, report(client, alice))).testzip() is None
