"""kill -9 at every named point of a command and a delivery, in many services at once.

Nothing acknowledged is lost, nothing is sent twice with effect, our own writes are never taken for another
client's, and what was under way arrives within seconds of the restart: no kill leaves anything waiting for the relay's lease of a
minute. TEST_DEEP: 200 kills on each database.
"""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path

import pytest

from devpds.server import DevPds
from tests.e2e.killable import KillableService, Victim
from tests.e2e.killable_remarks import RemarkVictim
from tests.faults.failpoints import POINTS
from tests.faults.faults import answer, then_call
from tests.faults.proxy import FaultProxy, of_repo
from tests.servers.atproto import new_account
from tests.servers.databases import temporary_database
from tests.servers.firehose import Write, writes_of

pytestmark = pytest.mark.pds

DEEP = bool(os.environ.get("TEST_DEEP"))
KILLS = int(os.environ.get("TEST_KILLS", "200"))
AT_ONCE = 4
ON_THE_WAY, APPLIED = "send: on its way, not applied", "apply: applied, not answered"
BATCH_ON_THE_WAY, BATCH_APPLIED = "batch: on its way, not applied", "batch: applied, not answered"
ALL_POINTS = (*POINTS, ON_THE_WAY, APPLIED, BATCH_ON_THE_WAY, BATCH_APPLIED)

MATRIX = [
    pytest.param("sqlite", Victim),
    pytest.param("postgres", Victim, marks=pytest.mark.postgres),
    pytest.param("sqlite", RemarkVictim),
    *([pytest.param("postgres", RemarkVictim, marks=pytest.mark.postgres)] if DEEP else ()),
]
"""What remarks go through is what tracks do in the relay: half of it is enough."""
Step = Callable[[Victim], None]


def nothing(_: Victim) -> None:
    pass


def edits_thrice(victim: Victim) -> None:
    for _ in range(3):
        victim.edits()


def lands_late(victim: Victim) -> None:
    """The record is what an earlier edit made it, as after a write that was late: the next put meets InvalidSwap."""
    victim.publishes()
    older = victim.record
    victim.edits()
    victim.converges()
    late = victim.artist.pds.put_record(victim.artist.did, *victim.place, older)
    victim.others.add(late["cid"])


def host_fails(victim: Victim) -> None:
    """The PDS fails once: the lane is released on its own, after its host's row has changed."""
    victim.proxy.on("putRecord", fault=answer(502, "BadGateway"), times=1, matches=of_repo(victim.artist.did))


def several_will_wait(victim: Victim) -> None:
    victim.publishes_several()
    host_fails(victim)


def token_expires(victim: Victim) -> None:
    victim.proxy.on(
        "putRecord", fault=answer(400, "ExpiredToken"), times=1, matches=of_repo(victim.artist.did)
    )


@dataclass(frozen=True)
class Act:
    prepare: Step
    do: Step


CREATE, EDIT = Act(nothing, methodcaller("creates")), Act(methodcaller("is_live"), methodcaller("edits"))
EDITS = Act(methodcaller("is_live"), edits_thrice)
DELETE, UNDELETE = (
    Act(methodcaller("publishes"), methodcaller("deletes")),
    Act(methodcaller("publishes_and_deletes"), methodcaller("undeletes")),
)
WAITED_FOR = Act(methodcaller("is_live"), methodcaller("edits_and_waits"))
UNDER_A_KEY = Act(methodcaller("is_live"), methodcaller("edits_under_a_key"))
EDITS_OF_SEVERAL = Act(several_will_wait, methodcaller("edits_several"))
ANY = (CREATE, EDIT, DELETE, UNDELETE, EDITS, EDITS_OF_SEVERAL)
ONLY = {
    "command": (EDIT, WAITED_FOR, UNDER_A_KEY, CREATE, DELETE, UNDELETE, EDITS),
    "commit": (EDIT, DELETE, EDITS),
    "key": (UNDER_A_KEY,),
    "read back": (Act(lands_late, methodcaller("edits")),),
    "release": (Act(host_fails, methodcaller("edits")),),
    "refresh": (Act(token_expires, methodcaller("edits")),),
    "blob": (Act(methodcaller("publishes"), methodcaller("migrates")),),
    "batch": (EDITS_OF_SEVERAL, Act(methodcaller("publishes_several"), methodcaller("loses_all_records"))),
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
            victim.dies(lambda: self._arm(victim), lambda: self.act.do(victim))
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


NOT_OF_REMARKS = ("command", "append", "commit", "key", "blob", "batch")
"""Where only requests of the API come by, which knows no remarks, and records with blobs or of a plan by the command line."""


def acts_at(point: str) -> tuple[Act, ...]:
    return ONLY.get(point.partition(":")[0], ANY)


def one_at_each_point(kind: str, among: Sequence[str]) -> list[Kill]:
    """Half of the points on each database, each with one of its acts."""
    acts = {point: acts_at(point) for point in among}
    kills = [Kill(point, acts[point][index % len(acts[point])]) for index, point in enumerate(among)]
    return kills[0 if kind == "sqlite" else 1 :: 2]


def many(kind: str, among: Sequence[str]) -> list[Kill]:
    """All points again and again, each time with any of its acts."""
    chance = random.Random(f"kills on {kind}")  # noqa: S311 - the same ones every time
    points = [*among, *chance.choices(among, k=max(0, KILLS - len(among)))]
    return [Kill(point, chance.choice(acts_at(point))) for point in points]


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def environments(kind: str, request: pytest.FixtureRequest) -> Iterator[list[dict[str, str]]]:
    """The environment of each service: a database of its own."""
    found = [{"MASTERTAPE_RATE_LIMITS": "off"} for _ in range(AT_ONCE)]
    with ExitStack() as stack:
        if kind == "postgres":
            server, template = map(request.getfixturevalue, ("postgres_url", "postgres_template"))
            for each in found:
                each["MASTERTAPE_DATABASE_URL"] = stack.enter_context(temporary_database(server, template))
        yield found


@pytest.fixture
def victims(
    environments: list[dict[str, str]],
    proxied_pds: DevPds,
    proxy: FaultProxy,
    tmp_path: Path,
    victim: type[Victim],
) -> Iterator[list[Victim]]:
    """Some services with an artist each, of tracks or of a kind of record that lives in the tests alone."""
    made = []
    for number, environment in enumerate(environments):
        service = KillableService(tmp_path / f"service-{number}", proxied_pds, environment)
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
@pytest.mark.parametrize(("kind", "victim"), MATRIX, indirect=["kind"])
def test_a_kill_anywhere_loses_nothing_and_repeats_nothing(
    kind: str, victims: list[Victim], proxied_pds: DevPds
) -> None:
    points: Sequence[str] = ALL_POINTS
    if isinstance(victims[0], RemarkVictim):
        points = [point for point in ALL_POINTS if not point.startswith(NOT_OF_REMARKS)]
    kills = many(kind, points) if DEEP else one_at_each_point(kind, points)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        ends = [
            threads.submit(suffers, victim, kills[number::AT_ONCE]) for number, victim in enumerate(victims)
        ]
    for end in ends:
        end.result()
    writes = writes_of(proxied_pds, [victim.artist.did for victim in victims])
    for victim in victims:
        nothing_was_done_twice(victim, writes[victim.artist.did])


def nothing_was_done_twice(victim: Victim, writes: list[Write]) -> None:
    """Each record's generation rises with every write of ours, and records come and go only by command."""
    gens = defaultdict(list)
    for write in writes:
        if write.record is not None and write.cid not in victim.others:
            gens[write.path].append(write.record["mastertapeGen"])
    for path, seen in gens.items():
        assert seen == sorted(set(seen)), (path, seen)
    done, told = Counter(write.action for write in writes), victim.told()
    assert done["create"] <= told["Created"] + told["Undeleted"] + told["RecordRestored"], (done, told)
    assert done["delete"] <= told["Deleted"] + victim.lost_records, (done, told)
