"""What one account, host or store may take of what all share, with the numbers of the code: `python -m tests.resource_limits` is
the end of docs/guarantees.md.
"""

import sys
from typing import Final

from api.middleware import http_layer, request_threads
from api.middleware.rate_limits import RateLimits
from api.pipeline import concurrency, list_entries, media_intake, media_request, pds
from api.requests.parameters import MAX_PAGE_LENGTH
from api.routers.ops import deliveries
from application import account
from application.comments import MAX_COMMENTS
from application.outsiders import MAX_NEW_OF_A_HOST
from eventstore import untrusted
from eventstore.jobs import worker as jobs
from eventstore.sql.database import POOL_SIZE
from identity.resolution import address_policy, resolver
from outbox import threads as outbox_threads
from outbox.blobs import claim as upload_claim
from outbox.blobs import worker as uploads
from outbox.firehose import connection, follower, outsiders
from outbox.mirror.tables import FEW_ROWS, pds_host
from outbox.operations import operators
from outbox.pds import client
from outbox.probes import jobs as probes
from outbox.relay import read_backs, slow_hosts
from outbox.repo import reads
from projections import pages
from replay import derived
from replay.adoption import adopt as adoptions
from replay.reconcile import scan, verify
from service.process import http_connections
from service.wiring import bootstrap, supporters
from service.wiring import jobs as wiring
from storage import artwork as covers
from storage import parsers
from storage.derived.renditions import DerivedKind
from storage.formats import artwork, peaks
from storage.public import publisher
from storage.stores import store
from web.pages.studio import my_tracks

LANES_OF_A_HOST: Final = getattr(pds_host.c.max_lanes.server_default, "arg", None)
_LIMITS: Final = RateLimits()
REQUESTS, UPLOADS, SIGN_INS, FILES = (
    f"{each.limit} a minute"
    for each in (_LIMITS._requests, _LIMITS._uploads, _LIMITS._sign_ins, _LIMITS._files)  # noqa: SLF001
)


def seconds(number: float) -> str:
    return f"{number:g} s"


def megabytes(number: float) -> str:
    return f"{number / 2**20:g} MB"


def _cpu(work: str) -> str:
    return f"{seconds(parsers.LIMITS[work].cpu_seconds)} of CPU"


_WAVEFORM: Final = parsers.LIMITS["waveform"]
_store_time: Final = (
    f"{seconds(store.STORE_PATIENCE_SECONDS)} and {store.MIN_STORE_BYTES_PER_SECOND // 1024} KB/s"
)
SECTION: Final = f"""
<!-- generated from tests/resource_limits.py by `python -m tests.resource_limits`; a test checks that it is current -->

## What one account, host or store may take

What all share has a limit in a process (or over all of them, where that is said), a time after which one tenant gives it back, and a test that
fills it. What is full refuses with 503 or 429 and `Retry-After`, or leaves work in its queue, where the account or host is next that was served
the longest ago. A thread that waits for a store cannot be ended, so each kind of work has threads of its own. With `RATE_LIMITS`, an account may send
requests, and so may an address without one: {REQUESTS}. `./dev bench neighbours` shows the latencies beside each attack.

| resource | taken by | of an account | of a host | together | given back; while it is full | proved by |
|---|---|---|---|---|---|---|
| event loop | JSON and CBOR from outside | - | - | {untrusted.MAX_VALUES:,} values, depth {untrusted.MAX_DEPTH}, counted before they are parsed | one parse, about 15 ms; refused unread | `tests/neighbours/test_huge_replies.py`, `tests/neighbours/test_huge_frames.py` |
| event loop | firehoses | - | turns of 4 KB | {connection.MAX_SHARE:.0%} of its time; {follower.MAX_STREAMS} hosts; frames of {megabytes(connection.MAX_MESSAGE_BYTES)}; {connection.MAX_THREADS} threads | a turn, under 10 ms; the host waits in TCP, and the scan finds what comes too late | `tests/neighbours/test_flooding_hosts.py`, `tests/neighbours/test_claims.py` |
| event streams | `GET /events` | {concurrency.MAX_STREAMS_OF_AN_ACCOUNT} | - | {concurrency.MAX_STREAMS}; a change is read once for all of an account | 25 s, without a thread; 429 | `tests/neighbours/test_event_streams.py` |
| exports | `/me/export`, `/audit` and a track's history as lines | {concurrency.MAX_EXPORTS_OF_AN_ACCOUNT} | - | - | a thread and a connection only while a part is read; 429 | `tests/api/pipeline/test_exports.py` |
| requests that wait for a PDS | `Prefer: wait` | {REQUESTS} | - | one poll for all | 30 s, without a thread; 429 | `tests/outbox/views/test_waits.py` |
| connections of clients | requests | - | - | a head of {http_layer.HEADERS_BYTES // 1024} KiB; {http_connections.MAX_UNPARSED_BYTES // 1024} KiB, and as many as the body, that end no head and are no body; {megabytes(http_connections.MAX_UNNEEDED_BODY_BYTES)} of body after its response; {http_connections.MAX_PIPELINED_REQUESTS} pipelined requests | a head {seconds(http_connections.REQUEST_HEAD_TIMEOUT_SECONDS)}, a body's pace, a response not taken for {seconds(http_connections.STALLED_RESPONSE_TIMEOUT_SECONDS)}; closed | `tests/service/process/test_slow_clients.py` |
| threads of the database for requests | reads, commands | {request_threads.MAX_CONCURRENT_READS_OF_A_CALLER} reads, also of an address or IPv6 /48; 1 command | - | 40 of the framework, {bootstrap.MAX_APPLICATION_THREADS} of the use cases | `lock_timeout`; the request waits, a read {seconds(request_threads.MAX_TURN_WAIT_SECONDS)} for its turn: 503 | `tests/neighbours/test_full_pools.py::test_reads_of_one_address_take_a_few_threads_and_its_others_wait_or_are_refused`, `tests/neighbours/test_full_pools.py::test_commands_of_one_account_take_one_thread_however_long_they_last`, `tests/eventstore/test_frozen_writer.py` |
| bytes of events | commands, over all processes | EVENT_BYTES_PER_DAY | - | - | midnight UTC; 429, but deletions and `DELETE /me` | `tests/api/pipeline/test_event_budget.py` |
| threads of the outbox | lanes, uploads, probes | - | - | {outbox_threads.MAX_THREADS} | the database's limits; the work waits | `tests/neighbours/test_full_pools.py::test_requests_are_answered_while_all_threads_of_the_outbox_are_taken`, `tests/neighbours/test_flooding_hosts.py` |
| threads of jobs | their rows; adoptions; repairs; deletions; exports; the store of derived media | - | - | {jobs.MAX_THREADS}; {wiring.MAX_ADOPTION_THREADS} and {wiring.MAX_ADOPTION_STORE_THREADS}; {wiring.MAX_REPAIR_THREADS}; {wiring.MAX_DELETION_THREADS}; {wiring.MAX_EXPORT_THREADS}; {wiring.MAX_DERIVED_STORE_THREADS} | the database's limits; {_store_time}; the work waits | `tests/neighbours/test_slow_adoptions.py`, `tests/neighbours/test_derived_media.py` |
| threads of readiness and metrics | probes of the deployment | - | - | {bootstrap.MAX_HEALTH_THREADS} | 10 s; 503 after {seconds(bootstrap.MAX_HEALTH_WAIT_SECONDS)} | `tests/neighbours/test_hanging_store.py::test_readiness_is_answered_while_the_store_or_a_disk_hangs` |
| database connections | units of work, reads | - | - | {POOL_SIZE}, and as many for bursts | a unit of work; 503 after 15 s | `tests/neighbours/test_full_pools.py::test_a_request_that_gets_no_connection_in_time_is_refused_and_the_next_is_answered`, `tests/eventstore/test_errors.py` |
| HTTP connections of the relay | deliveries, uploads, probes, refreshes of logins | 1 lane | {LANES_OF_A_HOST} lanes | {address_policy.MAX_CONNECTIONS}, and two a lane: never full of what people type | 30 s a request; tried again after 1 s, which is no attempt and no failure of the host | `tests/neighbours/test_typed_names.py`, `tests/outbox/relay/test_local_faults.py::test_a_full_pool_is_no_attempt_backs_off_no_lane_and_counts_against_no_host` |
| sign-ins under way | sign-ins | {concurrency.MAX_SIGN_INS_OF_AN_ADDRESS} an address or IPv6 /48 | - | {concurrency.MAX_SIGN_INS} | the requests of a sign-in, 10 to 30 s each; 429 | `tests/neighbours/test_typed_names.py::test_an_address_has_few_sign_ins_under_way_and_leaves_others_theirs` |
| HTTP connections of sign-ins | sign-ins | {SIGN_INS} an address | {bootstrap.MAX_SIGN_IN_CONNECTIONS_OF_A_HOST}, but for the PLC directory | {address_policy.MAX_CONNECTIONS} | 10 to 30 s a request; 503 after {seconds(address_policy.MAX_TURN_WAIT_SECONDS)} | `tests/neighbours/test_typed_names.py`, `tests/api/middleware/test_rate_limits.py` |
| HTTP connections of requests | names, checks, comparisons, adoptions, covers | {REQUESTS} | {bootstrap.MAX_REQUEST_CONNECTIONS_OF_A_HOST}, but for the PLC directory | {address_policy.MAX_CONNECTIONS} | each has limits of its own below; no response after {seconds(address_policy.MAX_TURN_WAIT_SECONDS)} | `tests/neighbours/test_typed_names.py` |
| lookups of typed names | `features` | {resolver.MAX_LOOKUPS_OF_AN_ACCOUNT} | {resolver.MAX_REQUESTS_TO_A_HOST} | {resolver.MAX_REQUESTS}; each name once for an account | {seconds(resolver.LOOKUP_TIMEOUT_SECONDS)}; the name has no answer in time | `tests/identity/resolution/test_featured_artists.py` |
| checks before a command | restoring, copying and moving a record; up to {list_entries.MAX_RECORDS_READ} records that a list is to have | {pds.MAX_CHECKS_OF_AN_ACCOUNT} | - | - | {seconds(pds.READ_TIMEOUT_SECONDS)}, the records {seconds(list_entries.READS_TIMEOUT_SECONDS)} together; the PDS counts as silent | `tests/neighbours/test_typed_names.py::test_checks_at_a_silent_pds_take_the_turns_of_their_account`, `tests/api/lists/test_playlists.py::test_records_that_are_not_read_in_time_are_refused` |
| checks of supporters | gated audio, lists under `/plyr` | {supporters.MAX_CHECKS_OF_A_LISTENER} | - | {supporters.MAX_CHECKS}; {supporters.MAX_PAGES} pages of {megabytes(supporters.MAX_PAGE_BYTES)} of each kind of payment, {supporters.MAX_PROOFS} proofs | {seconds(supporters.CHECK_TIMEOUT_SECONDS)}; 503, since it is not known | `tests/service/wiring/test_supporters.py` |
| records that people look at | `mirror/compare` | - | {reads.MAX_CONCURRENT_READS_OF_A_HOST} | {reads.MAX_CONCURRENT_READS}; each once in {seconds(reads.FRESH_SECONDS)} | {seconds(reads.READ_TIMEOUT_SECONDS)}; the other two versions are shown, and why | `tests/api/records/test_compare.py` |
| comparisons that artists ask for | `POST /me/verify` | 1: who asks meanwhile gets its answer | {verify.MAX_CONCURRENT_REPOS_OF_A_HOST} | {verify.MAX_CONCURRENT_REPOS} | {seconds(reads.MAX_LIST_SECONDS)} a list; 429 after {seconds(bootstrap.MAX_VERIFY_WAIT_SECONDS)} | `tests/api/test_verify.py`, `tests/neighbours/test_huge_lists.py` |
| memory of a page | lists, histories, the audit, event streams | as its threads | - | {megabytes(pages.PAGE_BYTES)} of JSON, or one row | the request; a cursor | `tests/api/pipeline/test_page_budget.py`, `tests/projections/test_pages.py` |
| memory of a reply | a PDS's answer to a write, a sign-in or a refresh | - | - | 64 KB, errors {client.MAX_ERROR_BYTES // 1024} KB | the request's timeout; the outcome is unknown, the login stays | `tests/neighbours/test_huge_replies.py` |
| memory of a record | a record of a PDS | - | - | {megabytes(client.MAX_RECORD_BYTES)} | {seconds(client.READ_TIMEOUT_SECONDS)}; the record waits, the host stays well | `tests/neighbours/test_huge_replies.py` |
| memory of a list | records of a repo | - | - | pages of {megabytes(client.MAX_REPLY_BYTES[client.LIST_RECORDS])}, {megabytes(reads.MAX_LIST_BYTES)} in all; of what is not known {megabytes(reads.MAX_KEPT_BYTES)} are kept, the others in the next run | {seconds(reads.MAX_LIST_SECONDS)} of reading (300 s for an adoption); the repo is unread | `tests/neighbours/test_huge_lists.py`, `tests/neighbours/test_trickling_hosts.py` |
| memory of other clients' versions | comparisons, exports | - | - | {FEW_ROWS["yield_per"]} records at a time | a page of reading | `tests/neighbours/test_huge_lists.py::test_large_versions_of_other_clients_cost_little_memory_later` |
| lanes | deliveries, over all processes | 1 | {LANES_OF_A_HOST} | LANES a relay; half of them for hosts that did not answer the last time, a quarter for hosts that take {seconds(slow_hosts.SLOW_SECONDS)} or more to answer | {seconds(client.WRITE_TIMEOUT_SECONDS)} a request; the longest due goes next | `tests/neighbours/test_hanging_hosts.py` |
| uploads to PDSes | copies of audio, over all processes | 1 | {upload_claim.MAX_UPLOADS_PER_HOST} | {upload_claim.MAX_CONCURRENT_UPLOADS} a relay; {uploads.MAX_CONCURRENT_READS} threads that read | 60 s a chunk, {seconds(uploads.UPLOAD_TIMEOUT_SECONDS)} in all | `tests/neighbours/test_claims.py` |
| probes | accounts that may have moved | 1; {seconds(follower.PROBE_INTERVAL.total_seconds())} between two that a firehose asks for | {probes.MAX_CONCURRENT_PROBES_OF_HOST} | {probes.MAX_CONCURRENT_PROBES} | 30 s | `tests/neighbours/test_claims.py`, `tests/outbox/firehose/test_follower.py` |
| reads of what outsiders say | firehoses, one process a host | {outsiders.MAX_WAITING_OF_ACCOUNT} wait | 1, {seconds(outsiders.PAUSE_SECONDS)} after the last; {outsiders.MAX_WAITING} wait | {outsiders.MAX_CONCURRENT_READS} | {seconds(outsiders.READ_TIMEOUT_SECONDS)}, {outsiders.MAX_ATTEMPTS} attempts; what comes meanwhile does not count | `tests/outbox/firehose/test_outsiders.py` |
| rows of what outsiders say | firehoses | 1 like and {MAX_COMMENTS} comments at a track | {MAX_NEW_OF_A_HOST:,} new ones at a track on a day (UTC) | - | the next day; the rest does not count, and `outsiders_limited` names host and track once | `tests/api/likes/test_outsiders.py` |
| scan | repos | - | 1, after the other | {scan.MAX_CONCURRENT_HOSTS} hosts | a turn of {seconds(scan.HOST_TURN_SECONDS)} and its last repo | `tests/neighbours/test_trickling_hosts.py` |
| reads of acknowledged writes | deliveries | 1 in VERIFY_AFTER_SECONDS | {read_backs.MAX_ACCOUNTS_OF_HOST} in VERIFY_AFTER_SECONDS, one after the other | {read_backs.MAX_CONCURRENT_READS} | {seconds(client.READ_TIMEOUT_SECONDS)}; the host is left to the scan | `tests/outbox/relay/test_read_backs.py` |
| adoptions | `POST /me/adopt` | 1 | {adoptions.MAX_CONCURRENT_ADOPTIONS_OF_HOST} | {adoptions.MAX_CONCURRENT_ADOPTIONS} | a turn: 300 s for the list, 300 s in which records begin, 900 s for the last | `tests/neighbours/test_slow_adoptions.py`, `tests/eventstore/jobs/test_queue.py` |
| account deletions | `DELETE /me` | 1 | {account.MAX_CONCURRENT_DELETIONS_OF_A_HOST} | {account.MAX_CONCURRENT_DELETIONS} | a step's requests of up to 30 s | `tests/api/account_deletion/test_last_steps.py` |
| copies asked for in a form | `/studio/copy` | {MAX_PAGE_LENGTH} tracks a form | - | - | {seconds(my_tracks.MAX_COPY_SECONDS)}; it names the tracks that are left | `tests/web/studio/test_my_tracks.py::test_a_form_with_more_tracks_than_a_page_selects_is_refused_whole`, `tests/web/studio/test_my_tracks.py::test_a_form_whose_time_is_up_names_the_tracks_that_are_left` |
| redrives that an operator asks for | `POST /ops/failures` | - | - | {operators.RECORDS_PER_UNIT} records a unit of work | {seconds(deliveries.MAX_OPERATION_SECONDS)}; the next goes on with the rest | `tests/outbox/operations/test_operators.py::test_a_redrive_whose_time_is_up_leaves_the_rest_to_the_next` |
| reads of media | `/audio`, `/artwork` | {media_request.MAX_CONCURRENT_READS_OF_ONE_CALLER}; {FILES} | - | {media_request.MAX_CONCURRENT_READS} | the request 40 s; 503 after {seconds(media_request.MAX_READ_WAIT_SECONDS)}; 429 | `tests/neighbours/test_hanging_store.py` |
| files under way to clients | `/audio`, `/artwork` | {concurrency.MAX_DOWNLOADS_OF_A_CALLER} | - | {concurrency.MAX_DOWNLOADS}, of {megabytes(media_request.PART_BYTES)} each | a response not taken is closed; 429 | `tests/neighbours/test_hanging_store.py` |
| writes of media | uploads, edits with a file | {concurrency.MAX_CONCURRENT_UPLOADS}; {UPLOADS} | - | {media_intake.MAX_CONCURRENT_FILES} | {seconds(media_intake.MAX_INTAKE_WAIT_SECONDS)} and the store's {_store_time}; 503, 429 | `tests/neighbours/test_hanging_store.py`, `tests/neighbours/test_covers.py` |
| files that are read | uploads, covers, their jobs and adoptions, in child processes | {parsers.MAX_OF_AN_ACCOUNT} of its requests; one of all accounts of which a file took too long within {seconds(parsers.SLOW_SECONDS)} | - | {parsers.MAX_OF_REQUESTS} of requests, one of a job and a waveform; {artwork.MAX_PIXELS // 10**6} megapixels | audio {_cpu("audio")}, its tags {_cpu("tags")}, an image {_cpu("artwork")}; 503 after {seconds(parsers.MAX_WAIT_SECONDS)} | `tests/storage/test_parsers.py`, `tests/neighbours/test_covers.py`, `tests/storage/formats/test_artwork.py` |
| renditions of stored covers | jobs | 1 | - | {derived.MAX_CONCURRENT[DerivedKind.RENDITIONS]} | 60 s of the store | `tests/neighbours/test_derived_media.py`, `tests/eventstore/jobs/test_queue.py` |
| covers at other hosts | jobs | 1 | 1 | {derived.MAX_CONCURRENT[DerivedKind.COVER]}; {megabytes(covers.MAX_BYTES)}; {derived.MAX_ATTEMPTS} attempts | {seconds(derived.COVER_TIMEOUT_SECONDS)} | `tests/neighbours/test_derived_media.py` |
| waveforms | jobs, each in a child process | 1 | - | {derived.MAX_CONCURRENT[DerivedKind.WAVEFORM]}; {_WAVEFORM.memory_bytes // 2**30} GB; {peaks.MAX_SAMPLES:,} samples; {_cpu("waveform")} | {seconds(_WAVEFORM.wall_seconds)}, and the copy of the audio; the track has a plain bar | `tests/neighbours/test_derived_media.py`, `tests/storage/derived/test_waveforms.py` |
| public copies | publications; changes | {publisher.MAX_PER_ACCOUNT} jobs | - | {media_intake.MAX_CONCURRENT_COPIES}; {publisher.MAX_CONCURRENT_CHANGES} | {_store_time}; 503; later with growing pauses | `tests/neighbours/test_hanging_copies.py` |
"""

if __name__ == "__main__":
    sys.stdout.write(SECTION)
