"""kill -9 at every named point of a command and a delivery, in many services at once.

Nothing acknowledged is lost, nothing is sent twice with effect, our own writes are never taken for another
client's, and what was under way arrives within seconds of the restart: no kill leaves anything waiting for the relay's lease of a
minute. So it is with every kind of record, and with what follows in jobs: lists that refer to it, counts, texts.
TEST_DEEP: 200 kills on each database, of tracks and of the other kinds.
"""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from operator import methodcaller
from pathlib import Path

import pytest

from devpds.server import DevPds
from tests.e2e.killable import SEVERAL, KillableService, Victim
from tests.e2e.victims import CommentVictim, FollowedVictim, PlaylistVictim, ProfileVictim
from tests.faults.failpoints import FOLLOWING, OF_RELEASES, POINTS
from tests.faults.faults import Fault, answer, hold_until, then_call
from tests.faults.proxy import FaultProxy, of_repo
from tests.servers.atproto import new_account
from tests.servers.citus import ON_CITUS, cluster_database, nodes_of
from tests.servers.databases import temporary_database
from tests.servers.firehose import Write, writes_of

pytestmark = pytest.mark.pds

DEEP = bool(os.environ.get("TEST_DEEP"))
KILLS = int(os.environ.get("TEST_KILLS", "200"))
AT_ONCE = 4
ON_THE_WAY, APPLIED = "send: on its way, not applied", "apply: applied, not answered"
BATCH_ON_THE_WAY, BATCH_APPLIED = "batch: on its way, not applied", "batch: applied, not answered"
ALL_POINTS = (
    *(point for point in POINTS if not point.startswith(OF_RELEASES)),
    *(ON_THE_WAY, APPLIED, BATCH_ON_THE_WAY, BATCH_APPLIED),
)


TRACKS = (Victim,) * AT_ONCE
OTHERS = (PlaylistVictim, CommentVictim, ProfileVictim, FollowedVictim)


def process(_: dict[str, str]) -> list[str]:
    return []


def backends(environment: dict[str, str]) -> list[str]:
    return [environment["MASTERTAPE_DATABASE_URL"]]


def workers(environment: dict[str, str]) -> list[str]:
    return nodes_of(environment["MASTERTAPE_DATABASE_URL"])


MATRIX = [
    pytest.param("sqlite", TRACKS, process, id="sqlite, tracks"),
    pytest.param("postgres", TRACKS, process, id="postgres, tracks", marks=pytest.mark.postgres),
    pytest.param("sqlite", OTHERS, process, id="sqlite, others"),
    pytest.param("citus", TRACKS, process, id="citus, tracks", marks=ON_CITUS),
    pytest.param("citus", TRACKS, backends, id="citus, tracks, backends", marks=ON_CITUS),
    pytest.param("citus", TRACKS, workers, id="citus, tracks, workers", marks=ON_CITUS),
]
if DEEP:
    MATRIX.append(
        pytest.param("postgres", OTHERS, process, id="postgres, others", marks=pytest.mark.postgres)
    )
"""What other kinds go through is what tracks do in the relay: half of it is enough."""
Step = Callable[[Victim], None]


def nothing(_: Victim) -> None:
    pass


def lands_late(victim: Victim) -> None:
    """The record is what an earlier edit made it, as after a write that was late: the next put meets InvalidSwap."""
    victim.publishes()
    older = victim.record
    victim.edits()
    victim.converges()
    late = victim.artist.pds.put_record(victim.artist.did, *victim.place, older)
    victim.others.add(late["cid"])


BAD_GATEWAY = answer(502, "BadGateway")


def host_fails(victim: Victim, fault: Fault = BAD_GATEWAY) -> None:
    """The PDS fails once: the lane is released on its own, after its host's row has changed."""
    victim.proxy.on("putRecord", fault=fault, times=1, matches=of_repo(victim.artist.did))


def several_will_wait(victim: Victim) -> None:
    for _ in range(SEVERAL):
        victim.publishes()  # a comment may wait for the record of its track while the next does not
    victim.all_are_edited.clear()
    host_fails(victim, hold_until(victim.all_are_edited, BAD_GATEWAY))


def token_expires(victim: Victim) -> None:
    victim.proxy.on(
        "putRecord", fault=answer(400, "ExpiredToken"), times=1, matches=of_repo(victim.artist.did)
    )


@dataclass(frozen=True)
class Act:
    do: str
    prepare: Step = nothing


CREATE, EDIT = Act("creates"), Act("edits", methodcaller("is_live"))
EDITS = Act("edits_thrice", methodcaller("is_live"))
DELETE, UNDELETE = (
    Act("deletes", methodcaller("publishes")),
    Act("undeletes", methodcaller("publishes_and_deletes")),
)
WAITED_FOR = Act("edits_and_waits", methodcaller("is_live"))
UNDER_A_KEY = Act("edits_under_a_key", methodcaller("is_live"))
EDITS_OF_SEVERAL = Act("edits_several", several_will_wait)
LIKES = Act("likes", methodcaller("is_live"))
RENAMES = Act("renames", methodcaller("publishes_several"))
ANY = (CREATE, EDIT, DELETE, UNDELETE, EDITS, EDITS_OF_SEVERAL)
ONLY = {
    "command": (EDIT, WAITED_FOR, UNDER_A_KEY, CREATE, DELETE, UNDELETE, EDITS),
    "commit": (EDIT, DELETE, EDITS),
    "key": (UNDER_A_KEY,),
    "read back": (Act("edits", lands_late),),
    "release": (Act("edits", host_fails),),
    "refresh": (Act("edits", token_expires),),
    "blob": (Act("migrates", methodcaller("publishes")),),
    "batch": (EDITS_OF_SEVERAL, Act("loses_all_records", methodcaller("publishes_several")), RENAMES),
    "references": (EDIT, EDITS),
    "followers": (EDIT, EDITS),
    "followed": (CREATE,),
    "reaction": (LIKES, CREATE),
    "liked list": (LIKES,),
}


@dataclass(frozen=True)
class Kill:
    """One kill: where, and what was under way."""

    point: str
    act: Act

    def happens_to(self, victim: Victim) -> None:
        """Kill the service, see that all arrives by itself, and that the next edit finds its way."""
        try:
            self.act.prepare(victim)
            victim.dies(lambda: self._arm(victim), getattr(victim, self.act.do))
            victim.converges()
            victim.is_live()
            victim.edits()
            victim.converges()
        except Exception as error:
            error.add_note(f"{self} of {victim.artist.did}, log in {victim.service.log}")
            raise

    def _arm(self, victim: Victim) -> None:
        trigger = victim.service.trigger
        if self.point in POINTS:
            trigger.arm(self.point)
            return
        trigger.await_pull()
        fault = then_call(trigger.pull, applied=self.point in {APPLIED, BATCH_APPLIED})
        ours = of_repo(victim.artist.did)
        is_batch = self.point in {BATCH_ON_THE_WAY, BATCH_APPLIED}
        writes = ("applyWrites",) if is_batch else ("putRecord", "deleteRecord")
        victim.proxy.on(*writes, fault=fault, times=1, matches=ours)


def acts_at(point: str, victim: Victim) -> list[Act]:
    acts = ONLY.get(point.partition(":")[0], ANY)
    return [act for act in acts if act.do not in victim.CANNOT and hasattr(victim, act.do)]


def dealt(points: Sequence[str], victims: Sequence[Victim]) -> list[list[str]]:
    """Deal points out, each to a victim that passes it and has the fewest."""
    hands: list[list[str]] = [[] for _ in victims]
    for point in points:
        able = [hand for hand, victim in zip(hands, victims, strict=True) if victim.passes(point)]
        if able:
            min(able, key=len).append(point)
    return hands


def one_at_each_point(kind: str, victims: Sequence[Victim]) -> list[list[Kill]]:
    """Half of the points of the relay on each database, of other kinds a sixth, and all of jobs, each with one of its acts."""
    relay = [point for point in ALL_POINTS if not point.startswith(FOLLOWING)]
    jobs = [point for point in ALL_POINTS if point.startswith(FOLLOWING)]
    half = relay[0 if kind == "sqlite" else 1 :: 2]
    are_tracks = all(type(victim) is Victim for victim in victims)
    hands = dealt([*(half if are_tracks else half[::3]), *jobs], victims)
    return [
        [Kill(point, (acts := acts_at(point, victim))[index % len(acts)]) for index, point in enumerate(hand)]
        for hand, victim in zip(hands, victims, strict=True)
    ]


def many(kind: str, victims: Sequence[Victim]) -> list[list[Kill]]:
    """All points again and again, each time with any of its acts."""
    chance = random.Random(f"kills on {kind}")  # noqa: S311 - the same ones every time
    kills = []
    for hand, victim in zip(dealt(ALL_POINTS, victims), victims, strict=True):
        passed = [point for point in ALL_POINTS if victim.passes(point)]
        points = [*hand, *chance.choices(passed, k=max(0, KILLS // AT_ONCE - len(hand)))]
        kills.append([Kill(point, chance.choice(acts_at(point, victim))) for point in points])
    return kills


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def environments(
    kind: str, among: Sequence[type[Victim]], request: pytest.FixtureRequest
) -> Iterator[list[dict[str, str]]]:
    """The environment of each service: a database of its own."""
    found = [{"MASTERTAPE_RATE_LIMITS": "off"} for _ in among]
    with ExitStack() as stack:
        if kind == "postgres":
            server, template = map(request.getfixturevalue, ("postgres_url", "postgres_template"))
            for each in found:
                each["MASTERTAPE_DATABASE_URL"] = stack.enter_context(temporary_database(server, template))
        if kind == "citus":
            nodes, template = map(request.getfixturevalue, ("citus_nodes", "citus_template"))
            for each in found:
                each["MASTERTAPE_DATABASE_URL"] = stack.enter_context(cluster_database(nodes, template))
        yield found


@pytest.fixture
def victims(
    *,
    environments: list[dict[str, str]],
    proxied_pds: DevPds,
    proxy: FaultProxy,
    tmp_path: Path,
    among: Sequence[type[Victim]],
    killed: Callable[[dict[str, str]], list[str]],
) -> Iterator[list[Victim]]:
    """Some services with an artist each, of these kinds."""
    made = []
    for number, (environment, victim) in enumerate(zip(environments, among, strict=True)):
        service = KillableService(
            tmp_path / f"service-{number}", proxied_pds, environment, killed(environment)
        )
        made.append(victim(service, proxied_pds, new_account(proxied_pds, proxied_pds.plc), proxy))
    yield made
    for each in made:
        each.ends()


def suffers(victim: Victim, kills: Sequence[Kill]) -> None:
    victim.begins()
    for kill in kills:
        kill.happens_to(victim)
    victim.is_whole()


@pytest.mark.timeout(3600 if DEEP else 900)  # up to forty starts of a service: minutes on a slow machine
@pytest.mark.parametrize(("kind", "among", "killed"), MATRIX, indirect=["kind"])
def test_a_kill_anywhere_loses_nothing_and_repeats_nothing(
    kind: str, victims: list[Victim], proxied_pds: DevPds
) -> None:
    kills = many(kind, victims) if DEEP else one_at_each_point(kind, victims)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        ends = [
            threads.submit(suffers, victim, of_victim)
            for victim, of_victim in zip(victims, kills, strict=True)
        ]
    for end in ends:
        end.result()
    writes = writes_of(proxied_pds, [victim.artist.did for victim in victims])
    for victim in victims:
        nothing_was_done_twice(victim, writes[victim.artist.did])


def nothing_was_done_twice(victim: Victim, writes: list[Write]) -> None:
    """Each record's generation rises with every write of ours, and records come and go only by command.

    A list that goes with an edited track names the track's; at one generation it refers to no older record again.
    """
    ours = [write for write in writes if write.record is not None and write.cid not in victim.others]
    of_path, of_item = defaultdict(list), defaultdict(list)
    for path, record in ((write.path, write.record or {}) for write in ours):
        of_path[path].append((record["mastertapeGen"], str(record.get("items"))))
        for item in record.get("items", ()):
            of_item[path, record["mastertapeGen"], item["subject"]["uri"]].append(item["subject"]["cid"])
    for path, seen in of_path.items():
        gens = [gen for gen, _ in seen]
        assert gens == sorted(gens), (path, gens)
        assert len({*seen}) == len(seen), (path, seen)
    for item, cids in of_item.items():
        each = [cid for cid, _ in groupby(cids)]
        assert len({*each}) == len(each), (item, each)
    of_kind = (write for write in writes if write.path.startswith(f"{victim.COLLECTION}/"))
    done, told = Counter(write.action for write in of_kind), victim.told()
    assert done["create"] <= told["Created"] + told["Undeleted"] + told["RecordRestored"], (done, told)
    assert done["delete"] <= told["Deleted"] + victim.lost_records, (done, told)
