"""The end of a schedule: faults stop, and the relays work until only persons have something left to do."""

from typing import Any

from sqlalchemy import CompoundSelect, Select, bindparam, or_, select, union_all

from eventstore.jobs.table import job
from outbox.lists.references import ELSEWHERE, FOLLOWERS, OWN
from outbox.mirror.pausing import resume
from outbox.mirror.states import PROBED, LaneState, MirrorReason
from outbox.mirror.tables import NEVER, blob_job, mirror_lane, mirror_target
from outbox.views.status import Mirror
from projections.reactions import REACTION
from tests.fake_pds.account import Status
from tests.simulation.network_faults import NO_FAULT
from tests.simulation.virtual_time import Life
from tests.simulation.world import World

WAITING = frozenset({"held", "detached", "rejected"})


def heal(world: World) -> None:
    """End all faults and activate every account; nothing else."""
    world.network.plan = lambda: NO_FAULT
    world.network.down.clear()
    world.network.silent.clear()
    world.slow_threads = 0.0
    for each in world.living(Life.FROZEN):
        each.process.thaw()
    with world.database.write() as connection:
        for name in (*world.dids, *world.origins):
            resume(connection, name, world.clock())
    for did in world.present:
        world.host_of(did).set_status(did, Status.ACTIVE)
    if not world.living():
        world.start_relay()


def settle_down(world: World, *, hours: float = 72.0) -> None:
    step, end = 5.0, world.loop.time() + hours * 3600
    while not is_quiet(world):
        assert world.loop.time() < end, f"not quiet after {hours} hours: {unsettled(world)}"
        _sign_in_where_asked(world)
        world.advance(step)
        step = min(step * 1.5, 600.0)


def _sign_in_where_asked(world: World) -> None:
    """Sign in where a lane asks for it; every other wait ends by itself."""
    for did in _rows(world, _ASKED):
        world.sign_in(did)


def is_quiet(world: World) -> bool:
    """Whether each record is as desired or waits for a person, and no work runs or is due."""
    if is_at_work(world) or any(not world.is_given_up(did) for did in _rows(world, _LATER)):
        return False
    return not (unsettled(world) or any(world.lane(did).state in PROBED for did in world.dids))


def is_at_work(world: World) -> bool:
    """Whether a relay holds something, or waits for a thread or an answer."""
    if world.network.is_in_use or world.loop.has_threads:
        return True
    return bool(_rows(world, _HELD, now=world.clock()))


def _rows(world: World, dids: CompoundSelect[Any] | Select[Any], **given: Any) -> list[str]:
    with world.database.read() as connection:
        return list(connection.scalars(dids, given))


# Made once: making these takes longer than running them.

_ASKED = (
    select(mirror_lane.c.did)
    .where(mirror_lane.c.state == LaneState.AUTH_REQUIRED)
    .order_by(mirror_lane.c.did)
)
_LATER = union_all(
    select(mirror_target.c.did).where(mirror_target.c.look_at < NEVER),
    select(blob_job.c.did).where(or_(blob_job.c.requested, blob_job.c.again)),
    select(job.c.account).where(job.c.kind.in_([OWN.kind, ELSEWHERE.kind, FOLLOWERS])),
    select(job.c.account).where(job.c.kind == REACTION, job.c.progress.is_(None)),
)
_HELD = union_all(
    select(mirror_lane.c.did).where(mirror_lane.c.lease_until > bindparam("now")),
    select(job.c.account).where(job.c.lease_until > bindparam("now"), job.c.lease_owner.is_not(None)),
)


def unsettled(world: World) -> list[Mirror]:
    found = world.mirrors()

    def is_settled(subject_id: int, mirror: Mirror) -> bool:
        if mirror.reason == MirrorReason.SUBJECT:  # a job looks for its track's record now and then
            return found[world.state(subject_id).track_id].record_cid is None
        return mirror.state in {"delivered", *WAITING}

    return [
        each
        for subject_id, each in found.items()
        if not is_settled(subject_id, each) and not world.is_given_up(world.owners[subject_id])
    ]
