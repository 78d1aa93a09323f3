"""Accounts, hosts, relays and a log, and everything that can happen to them. The seed decides what is random."""

import logging
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx
from pydantic import SecretStr
from sqlalchemy import insert

from aggregates.errors import TrackError
from aggregates.track import Track
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from identity.sessions.app_password_grants import create_session
from identity.sessions.session_store import SessionKind
from outbox.conflicts.conflicts import conflict_of, keep_ours, keep_theirs
from outbox.mirror.lanes import park_lane
from outbox.mirror.requeue import reverify
from outbox.mirror.states import LaneState
from outbox.mirror.tables import pds_host
from outbox.mirror.targets import MirrorTargets
from outbox.views.overview import lane_of
from outbox.views.status import Mirror, mirrors
from tests.dsl import a_track
from tests.fake_pds.account import Status
from tests.fake_pds.pds import SERVICE, FakePds
from tests.fake_pds.plc import FakePlc
from tests.fake_pds.repo import Repo
from tests.simulation.memory_database import memory_database
from tests.simulation.network import Network
from tests.simulation.network_faults import FAULTS, RandomFaults
from tests.simulation.relay_patches import Errors, patched
from tests.simulation.relay_process import LEASE, RECORDS, Bytes, RelayProcess, sessions_of
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
    ) -> None:
        self.seed = seed
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
        self.tracks: dict[int, str] = {}
        self.decided: list[Record] = []
        """Values that another client wrote in our fields and the artist decided on."""
        self._keys: dict[int, tuple[str, str]] = {}
        self._make_hosts(accounts, hosts)
        self.network = Network(self.loop, *self.hosts, self.plc, plan=RandomFaults(self.dice, chance, kinds))
        self.audio = Bytes()
        self.database = memory_database(self.clock)
        self.log = EventLog(self.database, projections=[MirrorTargets()])
        self._allow(lanes_of_a_host)
        self._errors = Errors()
        self.crowded: list[object] = []
        """Hosts that had more leases at once than they may."""
        self._restore = patched(self.clock, self.loop, self._errors, self.crowded)
        self.relays: list[RelayProcess] = []
        for did in self.dids:
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

    def _thread_delay(self) -> float:
        if self.dice.random() < self.slow_threads:
            self.disturb()
            return self.dice.uniform(0, 90)
        return self.dice.uniform(0, 0.004)

    # What artists and other clients do.

    def upload(self, did: str, **fields: Any) -> int:
        track_id = len(self.tracks) + 1
        self.tracks[track_id] = did
        audio = self.audio.keep(f"ID3 {self.seed} {track_id}".encode())
        track = a_track(track_id, did=did, audio=audio, at=self.clock(), **fields)
        with self.log.unit_of_work(did, ARTIST) as unit:
            unit.save(track)
        self._keys[track_id] = track.collection, track.rkey
        self.wake()
        return track_id

    def tell(self, track_id: int, command: Callable[[Track], None]) -> bool:
        """The artist gives the track a command; whether it was accepted."""

        def work(unit: UnitOfWork) -> None:
            track = unit.load(Track, Track.create_id(track_id))
            command(track)
            unit.save(track)

        return self.in_unit(track_id, work)

    def in_unit(self, track_id: int, work: Callable[[UnitOfWork], None]) -> bool:
        """The artist does something to the track and what belongs to it, and whether it was not refused."""
        try:
            with self.log.unit_of_work(self.tracks[track_id], ARTIST) as unit:
                work(unit)
        except TrackError:
            return False
        self.wake()
        return True

    def decide(self, track_id: int, *, theirs: bool) -> None:
        """The artist resolves a conflict with another client's change."""
        with self.log.unit_of_work(self.tracks[track_id], ARTIST) as unit:
            conflict = conflict_of(unit.connection, self.tracks[track_id], RECORDS, track_id)
            if conflict is None:
                return
            track = unit.load(Track, Track.create_id(track_id))
            if theirs:
                keep_theirs(unit, track, conflict)
            else:
                keep_ours(unit, track, conflict)
        self.decided.append(RECORDS.own_part(conflict.theirs or {}))
        self.wake()

    def verify(self, track_id: int) -> None:
        """A scan believes that the PDS holds something else."""
        with self.database.write() as connection:
            reverify(connection, Track.subjects([track_id]), self.clock())
        self.wake()

    def verify_all(self) -> None:
        with self.database.write() as connection:
            reverify(connection, Track.subjects(self.tracks), self.clock())
        self.wake()

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

    def is_signed_in(self, did: str) -> bool:
        """Whether the lane is active, and the PDS accepts its tokens as far as is known."""
        with self.database.read() as connection:
            lane = lane_of(connection, did)
        is_active = lane is not None and lane.state == LaneState.READY and not lane.paused
        return is_active and self.host_of(did).tokens.has_session(did, SERVICE)

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

    def key(self, track_id: int) -> tuple[str, str]:
        return self._keys[track_id]

    # Relays.

    def start_relay(self) -> RelayProcess:
        name = f"relay-{len(self.relays) + 1}"
        made = RelayProcess(name, self.loop, self.log, self.network, self.audio, has_ended=self._has_ended)
        self.relays.append(made)
        return made

    def _has_ended(self, name: str) -> bool:
        """All relays are on one machine: that one was killed is proved at once."""
        return any(each.process.name == name and each.process.life is Life.DEAD for each in self.relays)

    def living(self, life: Life = Life.RUNNING) -> list[RelayProcess]:
        """The relays that run, or that are frozen."""
        return [each for each in self.relays if each.process.life is life]

    # What is to be seen.

    def track(self, track_id: int) -> Track:
        with self.database.read() as connection:
            recorded = self.log.stream(connection, self.tracks[track_id], Track.create_id(track_id))
        track = self.log.fold(Track, recorded)
        assert track is not None
        return track

    def lane(self, did: str) -> Any:
        with self.database.read() as connection:
            return lane_of(connection, did)

    def mirrors(self) -> dict[int, Mirror]:
        with self.database.read() as connection:
            of_accounts = [
                mirrors(connection, did, "track", [each for each, of in self.tracks.items() if of == did])
                for did in self.dids
            ]
        return {track_id: mirror for found in of_accounts for track_id, mirror in found.items()}

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
