"""An operator's replay of an account: verify, plan and apply, all at one moment."""

from outbox.pds.client import RecordKey
from outbox.repo.reads import Found
from outbox.tracks.record import GENERATION
from replay.reconcile.drift import drifts_of
from replay.reconcile.verify import expected_and_sent
from replay.repair.plan import plan_for
from tests.outbox.rigs.replays import apply
from tests.simulation.world import OPERATOR, World


def replay(world: World, did: str) -> None:
    repo = world.repo(did)
    found = {
        RecordKey(did, *key): Found(stored.cid, stored.value.get(GENERATION))
        for key, stored in repo.records.items()
        if repo.visible(key) is not None
    }
    expected, ours = expected_and_sent(world.database, did, found=found)
    drifts = drifts_of(expected, found, ours=ours, blobs=None)
    apply(world.log, plan_for(drifts), OPERATOR)
    world.wake()
