"""What one account, host or store may take of what all share, with the numbers of the code: `python -m tests.resource_limits` is
the end of docs/guarantees.md.
"""

import sys
from dataclasses import astuple, dataclass
from typing import Final

from api.middleware import http_layer
from api.middleware.rate_limits import RateLimits
from api.pipeline import concurrency, media_intake, media_request, pds
from api.routers.ops import deliveries
from application import account
from eventstore import untrusted
from eventstore.database import POOL_SIZE
from eventstore.jobs import worker as jobs
from identity.resolution import address_policy, featured_artists
from outbox import threads as outbox_threads
from outbox.blobs import claim as upload_claim
from outbox.blobs import worker as uploads
from outbox.firehose import connection, follower
from outbox.mirror.tables import FEW_ROWS, pds_host
from outbox.operations import operators
from outbox.pds import client
from outbox.probes import jobs as probes
from outbox.repo import reads
from replay import derived
from replay.adoption import adopt as adoptions
from replay.reconcile import scan, verify
from service.process import http_connections
from service.wiring import bootstrap
from service.wiring import jobs as wiring
from storage import artwork, store
from storage.derived import peaks, waveforms
from storage.derived.renditions import DerivedKind
from storage.public import publisher
from web.pages.studio import my_tracks

NO: Final = "-"
LANES_OF_A_HOST: Final = getattr(pds_host.c.max_lanes.server_default, "arg", None)
_LIMITS: Final = RateLimits()
REQUESTS, UPLOADS, SIGN_INS, FILES = (
    f"{each.limit} a minute"
    for each in (_LIMITS._requests, _LIMITS._uploads, _LIMITS._sign_ins, _LIMITS._files)  # noqa: SLF001
)
NEIGHBOURS: Final = "tests/neighbours/"


def seconds(number: float) -> str:
    return f"{number:g} s"


def megabytes(number: float) -> str:
    return f"{number / 2**20:g} MB"


@dataclass(frozen=True)
class Resource:
    name: str
    taken_by: str
    of_an_account: str
    of_a_host: str
    in_all: str
    given_back: str
    """After what time, and what happens while it is full."""
    proofs: tuple[str, ...]

    @property
    def row(self) -> str:
        cells = [*astuple(self)[:-1], ", ".join(f"`{proof}`" for proof in self.proofs)]
        return f"| {' | '.join(cells)} |\n"


TEXT: Final = f"""
<!-- generated from tests/resource_limits.py by `python -m tests.resource_limits`; a test checks that it is current -->

## What one account, host or store may take

What all share has a limit in a process (or over all of them, where that is said), a time after which one tenant gives it back, and a test that
fills it. What is full refuses with 503 or 429 and `Retry-After`, or leaves work in its queue. A thread that waits for a store cannot be
ended from outside, which is why each kind of work has threads of its own. With `RATE_LIMITS`, an account may send requests, and so may an address
without one: {REQUESTS}. `./dev bench neighbours` shows the latencies beside each attack.

| resource | taken by | of an account | of a host | together | given back; while it is full | proved by |
|---|---|---|---|---|---|---|
"""

_store_time: Final = (
    f"{seconds(store.STORE_PATIENCE_SECONDS)} and {store.MIN_STORE_BYTES_PER_SECOND // 1024} KB/s"
)

RESOURCES: Final = (
    Resource(
        "event loop", "JSON and CBOR from outside", NO, NO,
        f"{untrusted.MAX_VALUES:,} values, depth {untrusted.MAX_DEPTH}, counted before they are parsed",
        "one parse, about 15 ms; refused unread",
        (f"{NEIGHBOURS}test_huge_replies.py", f"{NEIGHBOURS}test_huge_frames.py"),
    ),
    Resource(
        "event loop", "firehoses", NO, "turns of 4 KB",
        f"{connection.MAX_SHARE:.0%} of its time; {follower.MAX_STREAMS} hosts; frames of {megabytes(connection.MAX_MESSAGE_BYTES)}; {connection.MAX_THREADS} threads",
        "a turn, under 10 ms; the host waits in TCP, and the scan finds what comes too late",
        (f"{NEIGHBOURS}test_flooding_hosts.py", f"{NEIGHBOURS}test_claims.py"),
    ),
    Resource(
        "event streams", "`GET /events`", f"{concurrency.MAX_STREAMS_OF_AN_ACCOUNT}", NO, f"{concurrency.MAX_STREAMS}; a change is read once for all of an account",
        "25 s, without a thread; 429", (f"{NEIGHBOURS}test_event_streams.py",),
    ),
    Resource(
        "exports", "`/me/export`, `/audit` and a track's history as lines", f"{concurrency.MAX_EXPORTS_OF_AN_ACCOUNT}", NO, NO,
        "a thread and a connection only while a part is read; 429", ("tests/api/pipeline/test_exports.py",),
    ),
    Resource(
        "requests that wait for a PDS", "`Prefer: wait`", f"{REQUESTS}", NO, "one poll for all", "30 s, without a thread; 429",
        ("tests/outbox/views/test_waits.py",),
    ),
    Resource(
        "connections of clients", "requests", NO, NO,
        f"a head of {http_layer.HEADERS_BYTES // 1024} KiB; {http_connections.MAX_UNPARSED_BYTES // 1024} KiB, and as many as the body, that end no head and are no body; {megabytes(http_connections.MAX_UNNEEDED_BODY_BYTES)} of body after its response; {http_connections.MAX_PIPELINED_REQUESTS} pipelined requests",
        f"a head {seconds(http_connections.REQUEST_HEAD_TIMEOUT_SECONDS)}, a body's pace, a response not taken for {seconds(http_connections.STALLED_RESPONSE_TIMEOUT_SECONDS)}; closed",
        ("tests/service/process/test_slow_clients.py",),
    ),
    Resource(
        "threads of the database for requests", "reads, commands", "1 command", NO,
        f"40 of the framework, {bootstrap.MAX_APPLICATION_THREADS} of the use cases", "`lock_timeout`; the request waits",
        (f"{NEIGHBOURS}test_full_pools.py::test_commands_of_one_account_take_one_thread_however_long_they_last", "tests/eventstore/test_frozen_writer.py"),
    ),
    Resource(
        "threads of the outbox", "lanes, uploads, probes", NO, NO, f"{outbox_threads.MAX_THREADS}",
        "the database's limits; the work waits", (f"{NEIGHBOURS}test_full_pools.py::test_requests_are_answered_while_all_threads_of_the_outbox_are_taken", f"{NEIGHBOURS}test_flooding_hosts.py"),
    ),
    Resource(
        "threads of jobs", "their rows; adoptions; repairs; deletions; the store of derived media", NO, NO,
        f"{jobs.MAX_THREADS}; {wiring.MAX_ADOPTION_THREADS} and {wiring.MAX_ADOPTION_STORE_THREADS}; {wiring.MAX_REPAIR_THREADS}; {wiring.MAX_DELETION_THREADS}; {wiring.MAX_DERIVED_STORE_THREADS}",
        f"the database's limits; {_store_time}; the work waits", (f"{NEIGHBOURS}test_slow_adoptions.py", f"{NEIGHBOURS}test_derived_media.py"),
    ),
    Resource(
        "threads of readiness and metrics", "probes of the deployment", NO, NO, f"{bootstrap.MAX_HEALTH_THREADS}",
        f"10 s; 503 after {seconds(bootstrap.MAX_HEALTH_WAIT_SECONDS)}",
        (f"{NEIGHBOURS}test_hanging_store.py::test_readiness_is_answered_while_the_store_or_a_disk_hangs",),
    ),
    Resource(
        "database connections", "units of work, reads", NO, NO, f"{POOL_SIZE}, and as many for bursts", "a unit of work; 503 after 15 s",
        (f"{NEIGHBOURS}test_full_pools.py::test_a_request_that_gets_no_connection_in_time_is_refused_and_the_next_is_answered", "tests/eventstore/test_errors.py"),
    ),
    Resource(
        "HTTP connections of the relay", "deliveries, uploads, probes, refreshes of logins", "1 lane", f"{LANES_OF_A_HOST} lanes",
        f"{address_policy.MAX_CONNECTIONS}, and two a lane: never full of what people type", "30 s a request; tried again after 1 s, which is no attempt and no failure of the host",
        (f"{NEIGHBOURS}test_typed_names.py", "tests/outbox/relay/test_local_faults.py::test_a_full_pool_is_no_attempt_backs_off_no_lane_and_counts_against_no_host"),
    ),
    Resource(
        "sign-ins under way", "sign-ins", f"{concurrency.MAX_SIGN_INS_OF_AN_ADDRESS} an address or IPv6 /48", NO, f"{concurrency.MAX_SIGN_INS}",
        "the requests of a sign-in, 10 to 30 s each; 429", (f"{NEIGHBOURS}test_typed_names.py::test_an_address_has_few_sign_ins_under_way_and_leaves_others_theirs",),
    ),
    Resource(
        "HTTP connections of sign-ins", "sign-ins", f"{SIGN_INS} an address", f"{bootstrap.MAX_SIGN_IN_CONNECTIONS_OF_A_HOST}, but for the PLC directory", f"{address_policy.MAX_CONNECTIONS}",
        f"10 to 30 s a request; 503 after {seconds(address_policy.MAX_TURN_WAIT_SECONDS)}", (f"{NEIGHBOURS}test_typed_names.py", "tests/api/middleware/test_rate_limits.py"),
    ),
    Resource(
        "HTTP connections of requests", "names, checks, comparisons, adoptions, covers", REQUESTS, f"{bootstrap.MAX_REQUEST_CONNECTIONS_OF_A_HOST}, but for the PLC directory", f"{address_policy.MAX_CONNECTIONS}",
        f"each has limits of its own below; no response after {seconds(address_policy.MAX_TURN_WAIT_SECONDS)}", (f"{NEIGHBOURS}test_typed_names.py",),
    ),
    Resource(
        "lookups of typed names", "`features`", f"{featured_artists.MAX_LOOKUPS_OF_AN_ACCOUNT}", f"{featured_artists.MAX_REQUESTS_TO_A_HOST}", f"{featured_artists.MAX_REQUESTS}; each name once for an account",
        f"{seconds(featured_artists.TIMEOUT_SECONDS)}; the name has no answer in time", ("tests/identity/resolution/test_featured_artists.py",),
    ),
    Resource(
        "checks before a command", "restoring, copying and moving a record", f"{pds.MAX_CHECKS_OF_AN_ACCOUNT}", NO, NO,
        f"{seconds(pds.READ_TIMEOUT_SECONDS)}; the PDS counts as silent", (f"{NEIGHBOURS}test_typed_names.py::test_checks_at_a_silent_pds_take_the_turns_of_their_account",),
    ),
    Resource(
        "records that people look at", "`mirror/compare`", NO, f"{reads.MAX_CONCURRENT_READS_OF_A_HOST}", f"{reads.MAX_CONCURRENT_READS}; each once in {seconds(reads.FRESH_SECONDS)}",
        f"{seconds(reads.READ_TIMEOUT_SECONDS)}; the other two versions are shown, and why", ("tests/api/records/test_compare.py",),
    ),
    Resource(
        "comparisons that artists ask for", "`POST /me/verify`", "1: who asks meanwhile gets its answer", f"{verify.MAX_CONCURRENT_REPOS_OF_A_HOST}", f"{verify.MAX_CONCURRENT_REPOS}",
        f"{seconds(reads.MAX_LIST_SECONDS)} a list; 429 after {seconds(bootstrap.MAX_VERIFY_WAIT_SECONDS)}", ("tests/api/test_verify.py", f"{NEIGHBOURS}test_huge_lists.py"),
    ),
    Resource(
        "memory of a reply", "a PDS's answer to a write, a sign-in or a refresh", NO, NO, f"64 KB, errors {client.MAX_ERROR_BYTES // 1024} KB",
        "the request's timeout; the outcome is unknown, the login stays", (f"{NEIGHBOURS}test_huge_replies.py",),
    ),
    Resource(
        "memory of a record", "a record of a PDS", NO, NO, megabytes(client.MAX_RECORD_BYTES),
        f"{seconds(client.READ_TIMEOUT_SECONDS)}; the record waits, the host stays well", (f"{NEIGHBOURS}test_huge_replies.py",),
    ),
    Resource(
        "memory of a list", "records of a repo", NO, NO, f"pages of {megabytes(client.MAX_REPLY_BYTES[client.LIST_RECORDS])}, {megabytes(reads.MAX_LIST_BYTES)} in all; of what is not known {megabytes(reads.MAX_KEPT_BYTES)} are kept, the others in the next run",
        f"{seconds(reads.MAX_LIST_SECONDS)} of reading (300 s for an adoption); the repo is unread", (f"{NEIGHBOURS}test_huge_lists.py", f"{NEIGHBOURS}test_trickling_hosts.py"),
    ),
    Resource(
        "memory of other clients' versions", "comparisons, exports", NO, NO, f"{FEW_ROWS['yield_per']} records at a time",
        "a page of reading", (f"{NEIGHBOURS}test_huge_lists.py::test_large_versions_of_other_clients_cost_little_memory_later",),
    ),
    Resource(
        "lanes", "deliveries, over all processes", "1", f"{LANES_OF_A_HOST}", "LANES a relay; half of them for hosts that did not answer the last time",
        f"{seconds(client.WRITE_TIMEOUT_SECONDS)} a request; the longest due goes next", (f"{NEIGHBOURS}test_hanging_hosts.py",),
    ),
    Resource(
        "uploads to PDSes", "copies of audio, over all processes", "1", f"{upload_claim.MAX_UPLOADS_PER_HOST}", f"{upload_claim.MAX_CONCURRENT_UPLOADS} a relay; {uploads.MAX_CONCURRENT_READS} threads that read",
        f"60 s a chunk, {seconds(uploads.UPLOAD_TIMEOUT_SECONDS)} in all; the longest since an upload goes next", (f"{NEIGHBOURS}test_claims.py",),
    ),
    Resource(
        "probes", "accounts that may have moved", f"1; {seconds(follower.PROBE_INTERVAL.total_seconds())} between two that a firehose asks for", f"{probes.MAX_CONCURRENT_PROBES_OF_HOST}", f"{probes.MAX_CONCURRENT_PROBES}", "30 s; the longest since a probe goes next", (f"{NEIGHBOURS}test_claims.py", "tests/outbox/firehose/test_follower.py"),
    ),
    Resource(
        "scan", "repos", NO, "1, after the other", f"{scan.MAX_CONCURRENT_HOSTS} hosts", f"a turn of {seconds(scan.HOST_TURN_SECONDS)} and its last repo; the host scanned the longest ago goes first",
        (f"{NEIGHBOURS}test_trickling_hosts.py",),
    ),
    Resource(
        "adoptions", "`POST /me/adopt`", "1", f"{adoptions.MAX_CONCURRENT_ADOPTIONS_OF_HOST}", f"{adoptions.MAX_CONCURRENT_ADOPTIONS}",
        "a turn: 300 s for the list, 300 s in which records begin, 900 s for the last; the account served the longest ago goes next", (f"{NEIGHBOURS}test_slow_adoptions.py", "tests/eventstore/jobs/test_queue.py"),
    ),
    Resource(
        "account deletions", "`DELETE /me`", "1", f"{account.MAX_CONCURRENT_DELETIONS_OF_A_HOST}", f"{account.MAX_CONCURRENT_DELETIONS}",
        "a step's requests of up to 30 s; the account served the longest ago goes next", ("tests/api/account_deletion/test_last_steps.py",),
    ),
    Resource(
        "copies asked for in a form", "`/studio/copy`", f"{my_tracks.MOST_ROWS} tracks a form", NO, NO, f"{seconds(my_tracks.MAX_COPY_SECONDS)}; it names the tracks that are left",
        ("tests/web/studio/test_my_tracks.py::test_a_form_with_more_tracks_than_a_page_selects_is_refused_whole", "tests/web/studio/test_my_tracks.py::test_a_form_whose_time_is_up_names_the_tracks_that_are_left"),
    ),
    Resource(
        "redrives that an operator asks for", "`POST /ops/failures`", NO, NO, f"{operators.RECORDS_PER_UNIT} records a unit of work", f"{seconds(deliveries.MAX_OPERATION_SECONDS)}; the next goes on with the rest",
        ("tests/outbox/operations/test_operators.py::test_a_redrive_whose_time_is_up_leaves_the_rest_to_the_next",),
    ),
    Resource(
        "reads of media", "`/audio`, `/artwork`", f"{media_request.MAX_CONCURRENT_READS_OF_ONE_CALLER}; {FILES}", NO, f"{media_request.MAX_CONCURRENT_READS}",
        f"the request 40 s; 503 after {seconds(media_request.MAX_READ_WAIT_SECONDS)}; 429", (f"{NEIGHBOURS}test_hanging_store.py",),
    ),
    Resource(
        "files under way to clients", "`/audio`, `/artwork`", f"{concurrency.MAX_DOWNLOADS_OF_A_CALLER}", NO, f"{concurrency.MAX_DOWNLOADS}, of {megabytes(media_request.PART_BYTES)} each",
        "a response not taken is closed; 429", (f"{NEIGHBOURS}test_hanging_store.py",),
    ),
    Resource(
        "writes of media", "uploads, edits with a file", f"{concurrency.MAX_CONCURRENT_UPLOADS}; {UPLOADS}", NO, f"{media_intake.MAX_CONCURRENT_FILES}",
        f"{seconds(media_intake.MAX_INTAKE_WAIT_SECONDS)} and the store's {_store_time}; 503, 429", (f"{NEIGHBOURS}test_hanging_store.py", f"{NEIGHBOURS}test_covers.py"),
    ),
    Resource(
        "images that are decoded", "covers, of uploads and in the background", f"{media_intake.MAX_IMAGES_OF_AN_ACCOUNT} of its requests", NO, f"{artwork.MAX_CONCURRENT_DECODES}, 1 of them for jobs; {artwork.MAX_PIXELS // 10**6} megapixels",
        f"2 s of CPU; 503 after {seconds(media_intake.MAX_INTAKE_WAIT_SECONDS)}", (f"{NEIGHBOURS}test_covers.py", f"{NEIGHBOURS}test_derived_media.py", "tests/storage/test_artwork.py"),
    ),
    Resource(
        "renditions of stored covers", "jobs", "1", NO, f"{derived.MAX_CONCURRENT[DerivedKind.RENDITIONS]}", "60 s of the store; the account served the longest ago goes next", (f"{NEIGHBOURS}test_derived_media.py", "tests/eventstore/jobs/test_queue.py"),
    ),
    Resource(
        "covers at other hosts", "jobs", "1", "1", f"{derived.MAX_CONCURRENT[DerivedKind.COVER]}; {megabytes(artwork.MAX_BYTES)}; {derived.MAX_ATTEMPTS} attempts", f"{seconds(derived.COVER_TIMEOUT_SECONDS)}; the account served the longest ago goes next", (f"{NEIGHBOURS}test_derived_media.py",),
    ),
    Resource(
        "waveforms", "jobs, each in a child process", "1", NO, f"{derived.MAX_CONCURRENT[DerivedKind.WAVEFORM]}; {peaks.MEMORY_BYTES // 2**30} GB; {peaks.MAX_SAMPLES:,} samples; {seconds(peaks.CPU_SECONDS)} of CPU",
        f"{seconds(waveforms.PEAKS_TIMEOUT_SECONDS)}, and the copy of the audio; the account served the longest ago goes next; the track has a plain bar", (f"{NEIGHBOURS}test_derived_media.py", "tests/storage/derived/test_waveforms.py"),
    ),
    Resource(
        "public copies", "publications; changes", f"{publisher.MAX_PER_ACCOUNT} jobs", NO, f"{media_intake.MAX_CONCURRENT_COPIES}; {publisher.MAX_CONCURRENT_CHANGES}", f"{_store_time}; 503; later with growing pauses", (f"{NEIGHBOURS}test_hanging_copies.py",),
    ),
)  # fmt: skip


def section() -> str:
    return TEXT + "".join(each.row for each in RESOURCES)


if __name__ == "__main__":
    sys.stdout.write(section())
