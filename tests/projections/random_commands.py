"""Commands by unit of work, as Hypothesis draws them, and how one unit is done."""

from itertools import count

from hypothesis import strategies as st

from aggregates.errors import TrackError
from aggregates.tracks.track import Track
from aggregates.values import Downloads, Feature, SupportGate
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from tests.dsl import ALICE, Step, some_artwork, some_audio, some_blob, some_feature, some_time
from tests.projections.track_log import ENVELOPE, upload

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=5)
METADATA_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "title": TEXT,
        "album": st.none() | TEXT,
        "description": st.none() | TEXT,
        "tags": st.lists(TEXT, unique=True, max_size=3).map(tuple),
        "features": st.lists(
            TEXT.map(some_feature) | st.just(Feature("did:plc:x", None)), unique=True, max_size=2
        ).map(tuple),
        "self_labels": st.lists(TEXT, unique=True, max_size=2).map(tuple),
    },
)
NUMBERS = st.integers(1, 3)
IDS = count(1)


# Audio is numbered within the track: two tracks of an artist never have the same.
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda changes: lambda t: t.edit(changes, at=some_time(1)), METADATA_CHANGES),
    st.builds(
        lambda n: lambda t: t.replace_audio(some_audio(1000 * t.track_id + n), at=some_time(2)), NUMBERS
    ),
    st.builds(lambda n: lambda t: t.set_artwork(some_artwork(n), at=some_time(3)), NUMBERS),
    st.builds(lambda to: lambda t: t.set_downloads(to, at=some_time(4)), st.sampled_from(Downloads)),
    st.builds(lambda on: lambda t: t.set_unlisted(on, at=some_time(4)), st.booleans()),
    st.builds(
        lambda on: lambda t: t.set_support_gate(SupportGate("any") if on else None, at=some_time(5)),
        st.booleans(),
    ),
    st.builds(
        lambda final: lambda t: t.record_blob_failure("x", final=final, at=some_time(6)), st.booleans()
    ),
    st.sampled_from(
        [
            lambda t: t.set_artwork(None, at=some_time(7)),
            lambda t: t.request_blob_migration(at=some_time(8)),
            lambda t: t.record_blob(some_blob(t.audio), at=some_time(9)),
            lambda t: t.record_missing(observed_at=some_time(10)),
            lambda t: t.restore_record(at=some_time(11)),
            lambda t: t.delete(at=some_time(12)),
            lambda t: t.undelete(at=some_time(13)),
        ]
    ),
)
UNITS = st.lists(st.tuples(st.integers(0, 1), st.lists(STEPS, min_size=1, max_size=4)), max_size=8)
"""Commands by unit of work, for the one or the other of two tracks."""


def command(log: EventLog, track_id: int, steps: list[Step]) -> None:
    def work(unit: UnitOfWork) -> None:
        track = unit.load(Track, Track.create_id(track_id))
        for step in steps:
            try:
                step(track)
            except TrackError:
                continue
        unit.save(track)

    log.transact(ALICE, ENVELOPE, work)


def tell(log: EventLog, units: list[tuple[int, list[Step]]]) -> list[int]:
    """Two tracks, and what is done to them; return their ids."""
    ids = [next(IDS), next(IDS)]
    for track_id in ids:
        upload(log, track_id, audio=some_audio(1000 * track_id + 1))
    for index, steps in units:
        command(log, ids[index], steps)
    return ids
