"""A snapshot of a world: what the log says and what the PDSes hold."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import select

from aggregates.published import Published, PublishedEvent
from eventstore.change import RecordedEvent
from outbox.mirror.tables import delivery_attempt
from outbox.pds.verdict import Kind
from outbox.record.dag_cbor import Record as Value
from outbox.record.kind import GENERATION, RecordKind
from outbox.views.deliveries import EventDelivery, deliveries
from outbox.views.status import Mirror
from tests.fake_pds.pds import SERVICE
from tests.fake_pds.repo import Commit, Stored
from tests.simulation.convergence import is_at_work
from tests.simulation.relay_process import KINDS
from tests.simulation.world import World

EVERYTHING = 2**53
attempt = delivery_attempt.c
_ACKED = select(attempt.collection, attempt.rkey, attempt.gen).where(attempt.outcome == Kind.DONE.value)


def is_ours(commit: Commit) -> bool:
    return commit.client == SERVICE


def generation(commit: Commit) -> int:
    return 0 if commit.value is None else int(commit.value[GENERATION])


@dataclass(frozen=True)
class Record:
    subject_id: int
    kind: type[Published]
    events: list[RecordedEvent]
    commits: list[Commit]
    stored: Stored | None
    mirror: Mirror
    acked: list[int]
    """The generations that the relay knew the PDS had, at one time or another."""

    def __str__(self) -> str:
        return f"{self.kind.TOPIC} {self.subject_id}, {self.mirror}"

    @cached_property
    def state(self) -> Any:
        return self.at(EVERYTHING)

    @property
    def records(self) -> RecordKind:
        return KINDS[self.kind.TOPIC]

    def at(self, position: int) -> Any:
        state: Any = None
        for each in self.events:
            if each.position <= position:
                state = each.event.mutate(state)
        assert state is not None
        return state

    def own_part_at(self, generation: int) -> Value:
        """What the log said then, without the generation."""
        return self.records.own_part(self.records.record_of(self.at(generation), generation))

    @property
    def facts(self) -> list[tuple[int, bool]]:
        """The positions of its events, and whether they touch the record."""
        return [
            (each.position, each.event.touches_record())
            for each in self.events
            if isinstance(each.event, PublishedEvent)
        ]


class Snapshot:
    def __init__(self, world: World) -> None:
        self.world = world
        self.is_at_rest = not world.network.under_way and not is_at_work(world)
        events: dict[object, list[RecordedEvent]] = defaultdict(list)
        for each in world.log.read(after=0, until=EVERYTHING, limit=EVERYTHING):
            events[each.aggregate_id].append(each)
        found = world.mirrors()
        acked = self._acked()
        self.records = [
            Record(
                subject_id,
                world.kinds[subject_id],
                events[world.kinds[subject_id].create_id(subject_id)],
                [commit for commit in world.repo(did).commits if commit.key == world.key(subject_id)],
                world.repo(did).records.get(world.key(subject_id)),
                found[subject_id],
                acked[world.key(subject_id)],
            )
            for subject_id, did in world.owners.items()
        ]

    def _acked(self) -> dict[tuple[str, str], list[int]]:
        acked = defaultdict(list)
        with self.world.database.read() as connection:
            for row in connection.execute(_ACKED):
                acked[row.collection, row.rkey].append(row.gen)
        return acked

    def deliveries(self, record: Record) -> dict[int, EventDelivery]:
        with self.world.database.read() as connection:
            of = (self.world.owners[record.subject_id], record.kind.TOPIC, record.subject_id)
            return dict(deliveries(connection, *of, record.facts, mirror=record.mirror))
