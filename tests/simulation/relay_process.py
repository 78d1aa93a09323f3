"""One relay as a process of its own: what bootstrap makes, on the simulation's network and time."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial

import httpx

from application.reactions import reaction_kind
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs.kinds import Kind
from identity.resolution.resolver import Resolver
from identity.sessions.encryption import Cipher
from identity.sessions.pds_sessions import PdsSessions
from outbox.blobs.worker import Uploads
from outbox.lists.record import ListRecords
from outbox.lists.references import references_kinds
from outbox.mirror.hosts import Hosts, PacedPds
from outbox.mirror.lanes import park_lane
from outbox.pds.client import Pds
from outbox.probes.jobs import Probes
from outbox.profiles.record import ProfileRecords
from outbox.reactions.record import CommentRecords, LikeRecords
from outbox.record.kind import RecordKinds
from outbox.relay.delivery import Delivery
from outbox.relay.relay import RelayLimits
from outbox.tracks.record import RecordUrls, TrackRecords
from service.wiring.adapters import IdentityDirectory, lane_signed_in
from tests.dsl import COLLECTION, LISTS, OLD_COLLECTION
from tests.outbox.rigs.relay_rig import Bytes
from tests.outbox.rigs.working_relay import WorkingRelay
from tests.simulation.network import Network
from tests.simulation.virtual_time import Process, VirtualLoop

URLS = RecordUrls("https://tape.example.com")
RECORDS = TrackRecords(URLS, COLLECTION, OLD_COLLECTION)
KINDS = RecordKinds(
    RECORDS, LikeRecords(), CommentRecords(), ProfileRecords(URLS.artwork), ListRecords(LISTS)
)
SECRET = "a secret of at least 32 characters"
LEASE = timedelta(seconds=60)

cipher = cache(lambda: Cipher([SECRET]))


def sessions_of(log: EventLog, http: httpx.AsyncClient) -> PdsSessions:
    signed_in = partial(lane_signed_in, log.database)
    return PdsSessions(log, cipher(), http, on_reauth=park_lane, on_signed_in=signed_in)


def following(log: EventLog) -> list[Kind]:
    return [
        *references_kinds(log, Threads("references", 1)),
        reaction_kind(log, Threads("reactions", 1)),
    ]


class RelayProcess:
    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        log: EventLog,
        network: Network,
        audio: Bytes,
        *,
        has_ended: Callable[[str], bool],
        follows: bool,
    ) -> None:
        """With jobs that follow deliveries and commands, if there is anything to follow."""
        self.process = Process(name)
        self._loop = loop
        self._stop = asyncio.Event()
        http = httpx.AsyncClient(transport=network)
        sessions, hosts = sessions_of(log, http), Hosts(log.database)
        paced = PacedPds(sessions, http, hosts)
        self.relay = WorkingRelay(
            log,
            Delivery(log, hosts, Pds(sessions, http)),
            Uploads(log, hosts, paced, audio),
            Probes(log.database, paced, IdentityDirectory(Resolver(None, [], http))),
            KINDS,
            owner=name,
            limits=RelayLimits(4, LEASE),
            has_ended=has_ended,
            also=following(log) if follows else (),
        )
        self.task = self.process.start(loop, self.relay.run(self._stop))

    def stop(self) -> None:
        """End it in order: what is under way lands."""
        self._stop.set()

    def kill(self) -> None:
        self.process.kill(self._loop.time())
