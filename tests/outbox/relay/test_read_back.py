"""The whole table of what the record on the PDS means."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from aggregates.published import Published
from aggregates.tracks.track import Track
from eventstore.change import RecordedEvent
from outbox.pds.client import RecordKey, Remote
from outbox.record.dag_cbor import record_cid
from outbox.relay.delivery_task import DeliveryTask
from outbox.relay.read_back import read_back
from outbox.relay.result import Outcome, Result
from outbox.tracks.record import RecordUrls, TrackRecords
from tests.dsl import COLLECTION, a_track, replayed, some_time

RECORDS = TrackRecords(RecordUrls("https://music.test"))
KEY = RecordKey("did:plc:alice", COLLECTION, "3kaaaaaaaaa2a")
FIRST, SECOND, THIRD = 10, 20, 30


def story() -> tuple[RecordedEvent, ...]:
    """Created at 10, retitled at 20 and 30."""
    track = a_track()
    for title in ("second", "third"):
        track.edit({"title": title}, at=some_time(1))
    return tuple(
        RecordedEvent(
            position=10 * (n + 1),
            did=KEY.did,
            version=n + 1,
            event=event,
            topic="",
            actor="",
            via="",
            request_id="",
            recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for n, event in enumerate(track.collect_events())
    )


HISTORY = story()


def record_at(gen: int) -> dict[str, Any]:
    track = replayed(each.event for each in HISTORY if each.position <= gen)
    assert isinstance(track, Track)
    return RECORDS.record_of(track, gen)


def task(**fields: Any) -> DeliveryTask:
    """The put of the third generation on the first one."""
    made = DeliveryTask(
        kind=RECORDS,
        key=KEY,
        subject_id=1,
        gen=THIRD,
        op="put",
        desired=record_at(THIRD),
        base=record_cid(record_at(FIRST)),
        observed=record_at(FIRST),
        ever_sent=True,
        attempts=0,
        recreates=False,
        since_ack=HISTORY[1:],
    )
    return replace(made, **fields)


class Logged(NamedTuple):
    """A log that has these events of the subject."""

    events: Sequence[RecordedEvent]

    def adopted_cid(self) -> str | None:
        first = self.events[0].event
        return first.cid if isinstance(first, Track.Adopted) else None

    def state_at(self, generation: int) -> Published | None:
        state = replayed(each.event for each in self.events if each.position <= generation)
        return state if isinstance(state, Track) else None


def there(body: dict[str, Any]) -> Remote:
    return Remote(record_cid(body), body)


ABSENT = Remote(None, None)
DELETING = {"op": "delete", "desired": None}
FOREIGN = {**record_at(FIRST), "title": "by another client"}
NEVER_ACKED = {"base": None, "observed": None}


@pytest.mark.parametrize(
    ("remote", "ours", "given", "finding"),
    [
        # what was to be sent is there
        (there(record_at(THIRD)), set(), {}, Outcome.DELIVERED),
        (ABSENT, set(), DELETING, Outcome.DELIVERED),
        # a late one of ours landed: known by its attempt, or by generation and content
        (there(record_at(SECOND)), {record_cid(record_at(SECOND))}, {}, Outcome.REBASED),
        (there(record_at(SECOND)), set(), {}, Outcome.REBASED),
        (there({**record_at(SECOND), "x": 1}), set(), {}, Outcome.REBASED),
        (there(record_at(SECOND)), set(), NEVER_ACKED, Outcome.REBASED),
        (there(FOREIGN), {record_cid(FOREIGN)}, {}, Outcome.REBASED),
        # another client changed our fields
        (there(FOREIGN), set(), {}, Outcome.HELD),
        (there(FOREIGN), set(), NEVER_ACKED, Outcome.HELD),
        (there({**FOREIGN, "mastertapeGen": SECOND}), set(), {}, Outcome.HELD),
        (there({**record_at(SECOND), "mastertapeGen": THIRD}), set(), {}, Outcome.HELD),
        (there({**record_at(SECOND), "mastertapeGen": "20"}), set(), {}, Outcome.HELD),
        (there({**record_at(SECOND), "mastertapeGen": FIRST - 1}), set(), {}, Outcome.HELD),
        (there({}), set(), {}, Outcome.HELD),
        # only fields that are not ours differ
        (there({**record_at(FIRST), "x": 1}), set(), {}, Outcome.REBASED),
        (there({**record_at(FIRST), "mastertapeGen": 5}), set(), {}, Outcome.REBASED),
        # absent
        (ABSENT, set(), {}, Outcome.MISSING),
        (ABSENT, set(), {"recreates": True}, Outcome.REBASED),
        (ABSENT, set(), NEVER_ACKED, Outcome.REBASED),
        # the owner's delete goes through whatever is there
        (there(FOREIGN), set(), DELETING, Outcome.REBASED),
        (there(record_at(SECOND)), set(), DELETING, Outcome.REBASED),
    ],
)
def test_the_record_on_the_pds_means_this(
    remote: Remote, ours: set[str], given: dict[str, Any], finding: Outcome
) -> None:
    assert read_back(task(**given), remote, ours, Logged(HISTORY)) is finding


def test_a_record_that_names_a_generation_of_a_deleted_track_is_not_ours() -> None:
    track = a_track()
    track.delete(at=some_time(1))
    events = track.collect_events()
    history = tuple(replace(HISTORY[n], event=event) for n, event in enumerate(events))
    remote = there({**record_at(FIRST), "title": "?", "mastertapeGen": SECOND})
    assert read_back(task(), remote, set(), Logged(history)) is Outcome.HELD


def test_what_a_pds_shows_under_the_cid_of_ours_is_ours() -> None:
    ours = task()
    shown = Remote(ours.request_cid, {"no": 1.5})
    assert Result(ours, Outcome.DELIVERED, remote=shown).observed == (ours.request_cid, ours.encoded)
