"""A PATCH takes the same few statements, however long the track's history is."""

import pytest

from eventstore.streams.codec import Codec
from tests.api.tracks.patch import as_json
from tests.api.world import upload
from tests.statements import recorded_statements

STATEMENTS = {"sqlite": 13, "postgresql": 14}
"""The caller, the track's owner, and the command, which checks both again. PostgreSQL also takes a lock."""


@pytest.fixture
def statements(world):
    """Those since the test began."""
    with recorded_statements(world.database.engine) as seen:
        yield seen


@pytest.fixture
def decoded(monkeypatch):
    """The events that were read from their rows."""
    seen = []
    decode = Codec.decode
    monkeypatch.setattr(Codec, "decode", lambda codec, stored: seen.append(stored) or decode(codec, stored))
    return seen


def test_a_patch_takes_a_few_statements(client, world, alice, statements):
    track = upload(client, alice)
    as_json(client, alice, track, {"title": "warm"})
    statements.clear()
    assert as_json(client, alice, track, {"title": "Second"}).status_code == 200
    assert len(statements) == STATEMENTS[world.database.dialect], statements


def test_the_tenth_patch_reads_as_few_events_as_the_second(client, alice, decoded):
    track = upload(client, alice)
    counts = []
    for number in range(10):
        decoded.clear()
        as_json(client, alice, track, {"title": f"Take {number}"})
        counts.append(len(decoded))
    assert counts == [1] * 10
