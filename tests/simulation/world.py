"""Accounts, hosts, relays and a log, and everything that can happen to them. The seed decides what is random."""

import logging
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx
from pydantic import SecretStr
from sqlalchemy import insert

from aggregates.errors import TrackError
from aggregates.published import Published, Subject
from aggregates.tracks.track import Track
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import Accounts
from identity.sessions.app_password_grants import create_session
from identity.sessions.session_store import SessionKind
from outbox.conflicts.conflicts import conflict_of, keep_ours, keep_theirs
from outbox.lists.items import ListItems
from outbox.mirror.lanes import park_lane
from outbox.mirror.requeue import reverify
from outbox.mirror.states import LaneState
from outbox.mirror.tables import pds_host
from outbox.mirror.targets import MirrorTargets
from outbox.views.overview import lane_of
from outbox.views.status import Mirror, mirrors
from service.schema.tables import READ_MODELS
from tests.fake_pds.account import Status
from tests.fake_pds.pds import FakePds
from tests.fake_pds.plc import FakePlc
from tests.fake_pds.repo import Repo
from tests.outbox.rigs.relay_rig import Bytes
from tests.simulation.kinds import KINDS
from tests.simulation.memory_database import memory_database
from tests.simulation.network import Network
from tests.simulation.network_faults import FAULTS, RandomFaults
from tests.simulation.relay_patches import Errors, patched
from tests.simulation.relay_process import KINDS as RECORD_KINDS
from tests.simulation.relay_process import LEASE, RelayProcess, sessions_of
from tests.simulation.virtual_time import Life, VirtualLoop

if TYPE_CHECKING:
    from outbox.record.dag_cbor import Record

BEGIN = datetime(2026, 11, 24, 12, tzinfo=UTC)
ARTIST = Envelope(actor="artist", via="test", request_id="test")
OPERATOR = Envelope(actor="operator", via="test", request_id="test")


class World:
    """One run. Everything here is done at one moment; `advance` lets time pass."""

    def __init__(
        self,
        seed: int,
        *,
        accounts: int = 2,
        hosts: int = 2,
        relays: int = 2,
        lanes_of_a_host: int = 4,
        chance: float = 0.0,
        kinds: Iterable[str] = tuple(FAULTS),
        of: Sequence[type[Published]] = (Track,),
    ) -> None:
        """`kinds` are those of bad luck, `of` those of records, which accounts make in turn."""
        self.seed, self.of = seed, of
        self.dice = random.Random(seed)  # noqa: S311 - no secret
        random.seed(seed)  # of what the code itself leaves to chance
        self.loop = VirtualLoop(self._thread_delay)
        self.slow_threads = 0.0
        self.skew = timedelta()
        self.skews = [self.skew]
        """All that the clock was ever wrong by."""
        self.clock_sets: list[float] = []
        """When the clock was set: a pause that a PDS asked for cannot be measured across it."""
        self._disturbances: list[float] = []
        self.owners: dict[int, str] = {}
        self.decided: list[Record] = []
        """Values that another client wrote in our fields and the artist decided on."""
        self.kinds: dict[int, type[Published]] = {}
        self._keys: dict[int, tuple[str, str]] = {}
        self._make_hosts(accounts, hosts)
        self.network = Network(self.loop, *self.hosts, self.plc, plan=RandomFaults(self.dice, chance, kinds))
        self.audio = Bytes()
        self.database = memory_database(self.clock)
        self.follows = of != (Track,)
        """Whether anything follows records."""
        self.projections = [MirrorTargets(), *([ListItems(), *READ_MODELS] if self.follows else ())]
        self.log = EventLog(self.database, projections=self.projections)
        self._allow(lanes_of_a_host)
        self._errors = Errors()
        self.crowded: list[object] = []
        """Hosts that had more leases at once than they may."""
        self._restore = patched(self.clock, self.loop, self._errors, self.crowded)
        self.relays: list[RelayProcess] = []
        for did in self.dids:
            self._know(did)
            self.sign_in(did)
        for _ in range(relays):
            self.start_relay()

    def _make_hosts(self, accounts: int, hosts: int) -> None:
        def now() -> float:
            return BEGIN.timestamp() + self.loop.time()

        self.plc = FakePlc()
        self.hosts = [FakePds(f"https://pds{number}.example.com", now) for number in range(hosts)]
        self.dids = ["did:plc:" + chr(ord("a") + number) * 24 for number in range(accounts)]
        for number, did in enumerate(self.dids):
            host = self.hosts[number % hosts]
            host.create_account(did, f"u{number}.example.com", "secret")
            host.create_app_password(did)
            self.plc.place(did, f"u{number}.example.com", host.origin)

    def _allow(self, lanes_of_a_host: int) -> None:
        with self.database.write() as connection:
            rows = [{"host": host.origin, "max_lanes": lanes_of_a_host} for host in self.hosts]
            connection.execute(insert(pds_host), rows)

    # Time.

    def clock(self) -> datetime:
        """The database's time, which may jump."""
        return BEGIN + timedelta(seconds=self.loop.time()) + self.skew

    def jump(self, hours: float) -> None:
        self.skew += timedelta(hours=hours)
        self.skews.append(self.skew)
        self.clock_sets.append(self.loop.time())
        self.disturb()

    @property
    def strayed(self) -> timedelta:
        """How far the clock was set between two moments of the run, at the most."""
        return max(self.skews) - min(self.skews)

    def disturb(self) -> None:
        """From now on, for as long as a lease may last, two relays may believe that they hold the same lane."""
        self._disturbances.append(self.loop.time())

    def was_disturbed(self, at: float) -> bool:
        return any(begin <= at <= begin + 2 * LEASE.total_seconds() for begin in self._disturbances)

    def advance(self, seconds: float) -> None:
        self.loop.advance(seconds)

    def work(self, seconds: float) -> None:
        """Wake the first relay, and let this much time pass."""
        self.relays[0].relay.wake()
        self.advance(seconds)

    def _thread_delay(self) -> float:
        if self.dice.random() < self.slow_threads:
            self.disturb()
            return self.dice.uniform(0, 90)
        return self.dice.uniform(0, 0.004)

    # What artists and other clients do.

    def upload(self, did: str, **fields: Any) -> int:
        """The artist makes a track, or what is next of the kinds of the world."""
        kind = self.of[len(self.owners) % len(self.of)]
        with self.log.unit_of_work(did, ARTIST) as unit:
            # what others read of a subject is found by the bucket in its id
            number = len(self.owners) + 1
            subject_id = next_subject_id(unit.connection, did) if self.follows else number
            made = KINDS[kind].make(self, unit, did, subject_id, **fields)
            unit.save(made)
        self.owners[subject_id], self.kinds[subject_id] = did, kind
        self._keys[subject_id] = made.collection, made.rkey
        self.wake()
        return subject_id

    def _know(self, did: str) -> None:
        """Only what others read of an account's tracks needs its row."""
        if self.follows:
            with self.database.write() as connection:
                handle, origin = self.plc.places[did]
                Accounts(self.database).upsert(
                    connection, did=did, handle=handle, pds_url=origin, display_name=handle
                )

    def ids(self, kind: type[Published] | None = None) -> list[int]:
        return [each for each in sorted(self.owners) if kind in {None, self.kinds[each]}]

    def subjects(self, ids: Iterable[int]) -> list[Subject]:
        return [Subject(self.kinds[each].TOPIC, each) for each in ids]

    def tell(self, subject_id: int, command: Callable[[Any], None]) -> bool:
        """The artist gives the subject a command; whether it was accepted."""

        def work(unit: UnitOfWork) -> None:
            subject = self.loaded(unit, subject_id)
            command(subject)
            unit.save(subject)

        return self.in_unit(subject_id, work)

    def loaded(self, unit: UnitOfWork, subject_id: int) -> Any:
        kind = self.kinds[subject_id]
        return unit.load(kind, kind.create_id(subject_id))

    def in_unit(self, subject_id: int, work: Callable[[UnitOfWork], None]) -> bool:
        """The artist does something to the subject and what belongs to it, and whether it was not refused."""
        try:
            with self.log.unit_of_work(self.owners[subject_id], ARTIST) as unit:
                work(unit)
        except TrackError:
            return False
        self.wake()
        return True

    def decide(self, subject_id: int, *, theirs: bool) -> None:
        """The artist resolves a conflict with another client's change."""
        did, records = self.owners[subject_id], RECORD_KINDS[self.kinds[subject_id].TOPIC]
        with self.log.unit_of_work(did, ARTIST) as unit:
            conflict = conflict_of(unit.connection, did, records, subject_id)
            if conflict is None:
                return
            subject = self.loaded(unit, subject_id)
            if theirs:
                keep_theirs(unit, subject, conflict)
            else:
                keep_ours(unit, subject, conflict)
        self.decided.append(records.own_part(conflict.theirs or {}))
        self.wake()

    def verify(self, *ids: int) -> None:
        """A scan believes that the PDS holds something else."""
        with self.database.write() as connection:
            reverify(connection, self.subjects(ids), self.clock())
        self.wake()

    def verify_all(self) -> None:
        self.verify(*self.owners)

    def wake(self) -> None:
        """One relay, or none, is in the process that took the command."""
        for each in self.relays:
            if self.dice.random() < 0.8 and each.process.life is Life.RUNNING:
                each.relay.wake()
                return

    def sign_in(self, did: str) -> bool:
        """The account signs in, at the host where it is; whether it could."""
        host = self.host_of(did)
        if did not in host.accounts or host.accounts[did].status is not Status.ACTIVE:
            return False
        password = SecretStr(host.create_app_password(did))
        http = httpx.AsyncClient(transport=host)
        lane = self.lane(did)
        if lane is not None and lane.host != host.origin:
            self.disturb()  # what is under way for the old host finds the new login
        session = self.loop.run(create_session(http, host.origin, did, password))
        with self.database.write() as connection:
            sessions_of(self.log, http).signed_in(
                connection,
                did=did,
                kind=SessionKind.APP_PASSWORD,
                pds_url=host.origin,
                tokens=session,
            )
        self.wake()
        return True

    def sign_out(self, did: str) -> None:
        self.host_of(did).revoke_app_password(did)
        self.host_of(did).tokens.expire(did)
        with self.database.write() as connection:
            park_lane(connection, did)

    def move(self, did: str, to: FakePds) -> None:
        """The account moves to another host; its logins stay where they are."""
        old = self.host_of(did)
        if to is not old:
            old.move_account(did, to)
            self.plc.place(did, to.accounts[did].handle, to.origin)

    @property
    def origins(self) -> list[str]:
        return [host.origin for host in self.hosts]

    @property
    def present(self) -> list[str]:
        return [did for did in self.dids if did in self.host_of(did).accounts]

    def is_given_up(self, did: str) -> bool:
        """Whether the account was deleted, and its lane waits for a sign-in that will never come."""
        return did not in self.present and self.lane(did).state in {LaneState.AUTH_REQUIRED, LaneState.GONE}

    def host_of(self, did: str) -> FakePds:
        origin = self.plc.places[did][1]
        return next(host for host in self.hosts if host.origin == origin)

    def repo(self, did: str) -> Repo:
        return self.host_of(did).repo(did)

    def key(self, subject_id: int) -> tuple[str, str]:
        return self._keys[subject_id]

    # Relays.

    def start_relay(self) -> RelayProcess:
        name = f"relay-{len(self.relays) + 1}"
        made = RelayProcess(
            name,
            self.loop,
            self.log,
            self.network,
            self.audio,
            has_ended=self._has_ended,
            follows=self.follows,
        )
        self.relays.append(made)
        return made

    def _has_ended(self, name: str) -> bool:
        """All relays are on one machine: that one was killed is proved at once."""
        return any(each.process.name == name and each.process.life is Life.DEAD for each in self.relays)

    def living(self, life: Life = Life.RUNNING) -> list[RelayProcess]:
        """The relays that run, or that are frozen."""
        return [each for each in self.relays if each.process.life is life]

    # What is to be seen.

    def state(self, subject_id: int) -> Any:
        kind = self.kinds[subject_id]
        with self.database.read() as connection:
            recorded = self.log.stream(connection, self.owners[subject_id], kind.create_id(subject_id))
        state = self.log.fold(kind, recorded)
        assert state is not None
        return state

    def lane(self, did: str) -> Any:
        with self.database.read() as connection:
            return lane_of(connection, did)

    def mirrors(self) -> dict[int, Mirror]:
        found: dict[int, Mirror] = {}
        with self.database.read() as connection:
            for did in self.dids:
                for kind in self.of:
                    ids = [each for each in self.ids(kind) if self.owners[each] == did]
                    found |= mirrors(connection, did, kind.TOPIC, ids)
        return found

    @property
    def errors(self) -> list[str]:
        """What was logged as an error, or broke in a task."""
        return [*self._errors.lines, *(str(context) for context in self.loop.errors)]

    def close(self) -> None:
        for each in self.relays:
            each.kill()
        self._restore()
        logging.disable()  # the end of the processes logs errors
        self.loop.end()
        logging.disable(logging.NOTSET)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"seed {self.seed}, the last requests:")
            for passage in self.network.passages[-30:]:
                error.add_note(f"  {passage}")
        self.close()
