"""Claims of probes, uploads and firehoses, when one tenant's hosts could fill all that a process runs at once."""

from datetime import timedelta

from sqlalchemy import insert

from eventstore.jobs import queue
from eventstore.jobs.kinds import Outcome
from outbox.blobs.claim import MAX_CONCURRENT_UPLOADS
from outbox.firehose.cursors import claim_streams
from outbox.mirror.states import LaneState
from outbox.mirror.tables import PAST, blob_job
from outbox.pds.client import AccountStatus
from outbox.probes.jobs import MAX_CONCURRENT_PROBES, settle_probe
from tests.outbox.rigs.account_status import claim_probes
from tests.outbox.rigs.rows import add_lane
from tests.outbox.rigs.uploads import KIND, claim_uploads

LEASE = timedelta(seconds=60)


def hanging(number):
    return f"https://hangs-{number}.example"


def test_probes_that_get_no_answer_leave_their_slots_to_accounts_that_wait(loop, database):
    columns = {"state": LaneState.INACTIVE, "probe_at": PAST}
    for number in range(2 * MAX_CONCURRENT_PROBES):
        add_lane(database, number, host=hanging(number), **columns)
    loop.advance(1)
    other = add_lane(database, 1000, host="https://other.example", **columns)

    rounds = []
    while other not in [probe.did for _, probe in (rounds[-1] if rounds else [])]:
        rounds.append(claim_probes(database, limit=MAX_CONCURRENT_PROBES))
        assert len(rounds[-1]) > 0
        loop.advance(LEASE.total_seconds() / 2)
        for probe in rounds[-1]:
            settle_probe(database, *probe, AccountStatus.UNKNOWN)
            queue.settle(database, KIND, probe[0], Outcome.DONE)

    assert len(rounds) <= 3


def test_uploads_that_hang_leave_their_slots_to_accounts_that_wait(loop, database):
    def want_upload(number, host):
        did = add_lane(database, number, host=host)
        rows = [
            {"did": did, "subject_id": number * 10 + track, "audio_cid": "c", "requested": True}
            for track in range(5)
        ]
        with database.write() as connection:
            connection.execute(insert(blob_job), rows)
        return did

    for number in range(MAX_CONCURRENT_UPLOADS):
        want_upload(number, hanging(number))
    first = claim_uploads(database, limit=MAX_CONCURRENT_UPLOADS)
    assert len(first) == MAX_CONCURRENT_UPLOADS

    loop.advance(30)
    other = want_upload(1000, "https://other.example")
    # the first slot to be free, though its account has more to upload
    queue.settle(database, KIND, first[0].job, Outcome.DONE)
    [following] = claim_uploads(database, limit=1)

    assert following.did == other


def test_hosts_beyond_the_streams_of_one_process_are_followed_by_another(database):
    for number in range(5):
        add_lane(database, number, host=hanging(number))
    add_lane(database, 1000, host="https://other.example")

    first = claim_streams(database, owner="first", lease=LEASE, limit=5)
    second = claim_streams(database, owner="second", lease=LEASE, limit=5)

    assert (len(first), second) == (5, ["https://other.example"])


def test_many_host_names_of_few_accounts_keep_no_larger_host_from_being_followed(database):
    for number in range(5):
        add_lane(database, number, host=hanging(number))
    assert len(claim_streams(database, owner="process", lease=LEASE, limit=5)) == 5
    for number in range(1000, 1002):
        add_lane(database, number, host="https://other.example")

    held = claim_streams(database, owner="process", lease=LEASE, limit=5)

    assert "https://other.example" in held
