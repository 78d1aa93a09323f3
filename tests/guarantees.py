"""The guarantees as the page docs/guarantees.md: `python -m tests.guarantees > docs/guarantees.md`."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests import resource_limits

HEAD: Final = """\
# Guarantees

What the service promises, what keeps each promise, and the tests that fail when it is broken. A new guarantee comes with a test that
has been seen to fail without it. Words such as lane and target are in the [glossary](glossary.md); [incidents.md](incidents.md) is the
same list from the side of failures.

No client of a PDS can prevent one race: a create that arrives after its record was deleted succeeds. So a delete is not acknowledged
while an unanswered put is less than a minute old, and one that follows an answered create is verified again after that minute
(`tests/simulation/test_late_creates.py`).

<!-- generated from tests/guarantees.py by `python -m tests.guarantees`; a test checks that it is current -->
"""
TABLE: Final = """\
| guarantee | kept by | proved by |
|---|---|---|
"""


@dataclass(frozen=True)
class Guarantee:
    text: str
    kept_by: str
    proofs: tuple[str, ...]
    """Each a test (`path::name`), a module of tests (`path`), or a bench (`./dev bench NAME`)."""


SUBJECTS: Final = {
    "The log and what is derived from it": (
        Guarantee(
            "Nothing acknowledged is lost",
            "events and everything derived from them commit together, and commits are durable",
            (
                "tests/eventstore/test_unit_of_work.py::test_events_and_rows_of_a_unit_are_committed_together",
                "tests/eventstore/test_commit.py::test_a_write_that_fails_at_the_commit_is_no_conflict",
            ),
        ),
        Guarantee(
            "A command is decided on the newest state, whatever its process knew of it",
            "`eventstore/prepared.py` proves under the lock what was decided on; else it is decided again there",
            (
                "tests/eventstore/test_random_units.py::test_two_processes_do_what_one_that_forgets_everything_would",
                "tests/eventstore/test_late_lock.py",
            ),
        ),
        Guarantee(
            "The owner of a track can play the audio and see the cover of each version, for at least SWEEP_GRACE_DAYS after the last track named them, and is told until when",
            "`application/tracks/as_of.py` reads what the sweep reads",
            (
                "tests/api/tracks/test_past_audio.py::test_replaced_audio_can_be_played_and_says_until_when",
                "tests/api/tracks/test_past_audio.py::test_swept_audio_is_gone_and_says_so",
                "tests/api/tracks/test_past_audio.py::test_the_audio_of_a_deleted_track_is_kept_for_its_owner_alone",
                "tests/api/tracks/test_past_cover.py::test_a_replaced_cover_is_shown_to_its_owner_in_each_size",
                "tests/web/studio/test_history.py::test_the_page_of_a_version_shows_its_cover_while_that_is_kept",
            ),
        ),
        Guarantee(
            "A command never waits for the PDS, nor fails because of it",
            "the relay runs separately; clients that ask to wait share one poll",
            ("tests/outbox/relay/test_relay.py::test_edits_made_while_the_pds_is_away_arrive_as_one_write",),
        ),
        Guarantee(
            "A client reads what it wrote, and every past version",
            "projections run inside the append; past versions are folded from the log",
            (
                "tests/projections/test_read_models.py::test_after_any_commands_the_rows_are_the_fold",
                "tests/api/tracks/test_random_histories.py::test_every_past_can_be_read_and_comes_back",
            ),
        ),
        Guarantee(
            "Everything derived can be rebuilt",
            "one fold; a rebuild runs beside live traffic and writes only the differences",
            (
                "tests/projections/rebuild/test_under_load.py::test_a_rebuild_equals_live_while_writers_go_on",
                "tests/projections/rebuild/test_under_load.py::test_work_under_the_lock_depends_on_the_events_since_and_not_on_all",
                "tests/projections/rebuild/test_rebuild.py::test_a_rebuild_repairs_the_differing_rows_and_touches_no_others",
                "tests/replay/test_rebuild_service.py::test_a_rebuild_restores_a_service_whose_read_models_were_lost",
            ),
        ),
        Guarantee(
            "Bytes are never deleted inside a request",
            "only the sweep deletes, after the grace period",
            ("tests/projections/test_media_references.py::test_bytes_stay_named_for_the_grace_period",),
        ),
    ),
    "Delivery to the PDS": (
        Guarantee(
            "The record converges to the log",
            "targets are level-triggered, not messages: the newest state is delivered until it is acknowledged",
            (
                "tests/outbox/relay/test_relay.py::test_a_lost_answer_followed_by_an_edit_is_not_taken_for_a_foreign_edit",
            ),
        ),
        Guarantee(
            "No write overwrites a newer one, and no deleted record returns",
            "swapRecord on every write, a generation in the record, the intent committed before sending",
            (
                "tests/outbox/relay/test_relay.py::test_a_relay_that_died_between_apply_and_settle_leaves_nothing_behind",
                "tests/outbox/relay/test_relay.py::test_a_create_that_may_still_land_keeps_its_delete_open",
                "tests/outbox/relay/test_relay.py::test_a_foreign_edit_of_our_fields_is_held_and_not_overwritten",
                "tests/outbox/relay/test_record_races.py::test_a_hanging_delete_does_not_remove_what_was_undeleted_since_its_generation_is_another",
            ),
        ),
        Guarantee(
            "Every change is accounted for",
            "delivery status is derived from the acknowledged generation and the journal",
            (
                "tests/outbox/relay/test_relay.py::test_a_track_deleted_before_anything_was_sent_never_reaches_the_pds",
            ),
        ),
        Guarantee(
            "No record, account or host delays another",
            "a lane and an append lock per account; a lane limit and a breaker per host; half of a relay's lanes for hosts that answered; turns",
            (
                "tests/outbox/relay/test_relay.py::test_a_bad_record_stops_only_itself",
                "tests/outbox/mirror/test_hosts.py::test_a_host_that_is_away_costs_its_other_accounts_nothing_once_it_is_known",
                "tests/outbox/blobs/test_claim.py::test_accounts_upload_in_turn_however_large_and_old_their_libraries",
                "tests/eventstore/test_frozen_writer.py::test_a_frozen_writer_holds_up_its_own_account_until_the_server_ends_it",
                "tests/neighbours/test_hanging_hosts.py::test_hosts_that_did_not_answer_the_last_time_leave_half_of_the_lanes_to_others",
                "tests/neighbours/test_trickling_hosts.py::test_hosts_that_fill_every_slot_delay_the_others_by_one_repo_at_most",
                "./dev bench hosts",
            ),
        ),
        Guarantee(
            "An owner decides a foreign edit field by field, and decides nothing unseen",
            "a side for each field; the CID that was read as swap (`application/records.py`)",
            (
                "tests/api/records/test_resolve.py::test_each_field_is_decided_by_itself_and_one_record_has_the_result",
                "tests/api/records/test_resolve.py::test_a_decision_that_does_not_fit_the_conflict_is_refused_and_says_which_field",
                "tests/api/records/test_resolve.py::test_a_decision_on_a_version_that_was_changed_again_is_refused",
                "tests/api/records/test_resolve.py::test_a_decision_by_field_does_not_overwrite_what_came_after_it",
            ),
        ),
        Guarantee(
            "An owner sees what the log wants, what the PDS confirmed and what it has now, also while the PDS cannot be asked",
            "one paced read of a record in a few seconds, however many ask (`outbox/repo/reads.py`)",
            ("tests/api/records/test_compare.py",),
        ),
        Guarantee(
            "A page that follows the event stream misses no delivery",
            "each stream begins with a hint (`api/routers/history.py`)",
            (
                "tests/api/test_events.py::test_a_stream_hints_at_changes_of_the_mirror_to_the_owner_and_operators_alone",
                "tests/api/test_events.py::test_many_changes_of_the_mirror_are_one_hint",
                "tests/api/test_events.py::test_a_stream_is_woken_with_the_requests_that_wait_for_the_pds",
            ),
        ),
        Guarantee(
            "A record is rejected for a 500 only when the record is the cause",
            "the host accepted another record between the first and the third of the same 500",
            (
                "tests/outbox/relay/test_repeated_server_errors.py::test_a_host_that_takes_nothing_else_is_an_outage_and_goes_on_for_ever",
            ),
        ),
    ),
    "Priorities, pacing and breakers": (
        Guarantee(
            "A dead host is sent nothing; one account's failures do not count against its host",
            "the breaker opens after five failures in a row of two accounts, or of the only one",
            (
                "tests/outbox/mirror/test_hosts.py::test_failures_of_two_accounts_in_a_row_open_the_breaker_and_nothing_is_sent",
                "tests/outbox/mirror/test_hosts.py::test_one_accounts_failures_never_open_it",
                "tests/outbox/mirror/test_hosts.py::test_the_failures_of_a_hosts_only_account_open_it",
            ),
        ),
        Guarantee(
            "Bad records of several accounts do not close a host for others",
            "a repeated 500 for one record neither opens the breaker nor extends its pause",
            (
                "tests/outbox/relay/test_repeated_server_errors.py::test_two_bad_records_do_not_close_a_host_that_has_little_else_to_do",
            ),
        ),
        Guarantee(
            "A full account waits alone and is still sent its deletes, and goes on once it has room",
            "the lane is parked; a delete, a retry and each day make it ready",
            (
                "tests/outbox/mirror/test_parking.py::test_a_full_account_is_no_failure_of_its_host",
                "tests/outbox/mirror/test_parking.py::test_a_full_account_is_sent_its_deletes_which_make_room_for_the_rest",
                "tests/outbox/mirror/test_parking.py::test_a_full_account_is_tried_again_each_day",
            ),
        ),
        Guarantee(
            "A host that is unreachable because of DNS or TLS is sent nothing, delays no other host, and gets everything once it is fixed",
            "failures of names, certificates and handshakes open the breaker like all others",
            ("tests/e2e/test_unreachable_pds.py",),
        ),
        Guarantee(
            "After a crash, a process on the same machine delivers within seconds, whatever the lease; one that is only silent keeps its lanes",
            "leases are released early on proof alone that their owner has ended (`eventstore/coordination/process_names.py`)",
            (
                "tests/e2e/test_scale_out.py::test_after_a_kill_the_next_relay_delivers_within_seconds_although_the_lease_is_long",
                "tests/e2e/test_scale_out.py::test_a_stopped_relay_keeps_its_lanes_for_its_lease_and_then_sends_nothing_with_effect",
                "tests/eventstore/coordination/test_process_names.py",
                "tests/outbox/relay/test_early_release.py",
            ),
        ),
        Guarantee(
            "No host has more lanes in flight than allowed",
            "a claim counts a host's leases after it has locked the host",
            (
                "tests/outbox/relay/test_claim_stress.py::test_ours_counts_once_it_has_the_lock",
                "tests/outbox/relay/test_claim_stress.py::test_a_claim_that_counts_as_it_locks_gives_a_host_too_many",
            ),
        ),
        Guarantee(
            "Many relays claim at once, each from other hosts",
            "a claim skips hosts that another claim has locked",
            ("tests/outbox/mirror/test_host_locks.py::test_two_claim_at_once_and_each_gets_lanes",),
        ),
        Guarantee(
            "A pause that a host asks of a read holds for deliveries, and the other way round",
            "all requests read and write the limits in the host's row",
            (
                "tests/outbox/mirror/test_paced_pds.py::test_a_pause_named_to_a_probe_holds_for_all_deliveries",
                "tests/api/pipeline/test_pds_preflight.py::test_the_relay_waits_for_the_reset_that_a_look_was_told",
            ),
        ),
        Guarantee(
            "Recording a pause waits for a locked row, but not for long; failing to record it fails no delivery",
            "a transaction of its own with a timeout of a second",
            (
                "tests/outbox/mirror/test_host_locks.py::test_recording_a_pause_waits_for_the_locked_row_of_its_host",
                "tests/outbox/mirror/test_host_locks.py::test_a_pause_whose_row_stays_locked_is_logged_and_dropped",
                "tests/outbox/mirror/test_paced_pds.py::test_deliveries_are_settled_though_the_pause_in_their_responses_cannot_be_recorded",
            ),
        ),
        Guarantee(
            "Thousands of verifications delay no edit",
            "half of each budget and a lane of each host are for live work",
            (
                "tests/outbox/relay/test_verify_priority.py::test_verifications_stop_at_half_of_a_hosts_budget_and_an_edit_has_the_rest",
                "tests/outbox/relay/test_verify_priority.py::test_a_lane_of_every_host_is_left_to_live_work",
            ),
        ),
        Guarantee(
            "Bulk work delays no edit",
            "the same, and the next event of a record makes it live again",
            (
                "tests/outbox/relay/test_backfill_priority.py::test_an_edit_is_the_next_thing_sent_whatever_the_backlog_of_its_account",
                "tests/outbox/relay/test_backfill_priority.py::test_a_replay_stops_at_half_of_the_points_and_an_edit_has_the_rest",
            ),
        ),
        Guarantee(
            "A replay restores, and a burst of edits changes, many records with one request, and never over another client's write",
            "batches, fenced by the newest commit (`outbox/relay/batch.py`)",
            (
                "tests/outbox/relay/test_batch_delivery.py::test_the_records_of_a_wiped_repo_come_back_in_a_few_requests",
                "tests/outbox/relay/test_batch_delivery.py::test_another_clients_write_in_between_survives_and_the_records_go_one_by_one",
                "tests/outbox/relay/test_batch_delivery.py::test_what_another_client_does_between_the_reads_of_a_batch_and_its_writes_stays",
                "tests/outbox/relay/test_batch_delivery.py::test_a_batch_that_arrives_late_overwrites_nothing",
                "tests/outbox/relay/test_batch_delivery.py::test_a_live_edit_waits_for_one_batch_at_most",
                "./dev bench replay",
            ),
        ),
        Guarantee(
            "Of an account, edits go before verifications, and these before backfill; within each, failed records go last, and deletes before edits",
            "the order of an index (`outbox/mirror/due.py`)",
            ("tests/outbox/mirror/test_priority.py",),
        ),
        Guarantee(
            "Delivery time does not depend on an account's backlog",
            "the next target is the first row of an index (`outbox/mirror/due.py`)",
            ("tests/outbox/relay/test_backlog_cost.py", "./dev bench backlog"),
        ),
    ),
    "Accounts that are inactive, move or go": (
        Guarantee(
            "A lane resumes by itself when its account is active again",
            "a probe reads the account's status, more rarely each time",
            (
                "tests/outbox/probes/test_probes.py::test_an_account_that_is_active_again_is_written_to_again",
                "tests/outbox/probes/test_probes.py::test_an_account_that_stays_away_is_asked_for_ever_more_rarely_and_at_least_daily",
            ),
        ),
        Guarantee(
            "An account that moves host is found, even if its old host is dead",
            "a lane without progress for an hour is probed",
            (
                "tests/outbox/probes/test_moved_accounts.py::test_an_account_that_moved_away_from_a_dead_host_is_found",
                "tests/e2e/test_account_moves.py",
            ),
        ),
        Guarantee(
            "No account is declared gone because of an outage on our side",
            "missing only while the directory answers, gone only 72 hours later",
            (
                "tests/outbox/probes/test_gone_accounts.py::test_no_account_is_gone_because_the_directory_is_down",
            ),
        ),
    ),
    "Changes that other clients make": (
        Guarantee(
            "Changes by other clients are noticed and never overwritten",
            "scans and the firehose mark records, and the relay reads them under its lease",
            (
                "tests/e2e/test_scan_and_firehose.py::test_each_thing_that_another_client_does_ends_as_it_is_documented",
            ),
        ),
        Guarantee(
            "What another client takes back leaves its owner nothing to decide",
            "observers mark what waits for its owner too (`outbox/relay/read_back.py`)",
            (
                "tests/replay/reconcile/test_scan.py::test_what_waits_for_its_owner_is_released_once_what_brought_it_there_is_gone",
                "tests/replay/reconcile/test_scan.py::test_a_create_that_another_clients_record_held_is_sent_once_that_record_is_gone",
                "tests/replay/test_recovered.py::test_a_delete_that_waits_for_its_owner_is_over_once_the_newer_record_is_gone",
            ),
        ),
        Guarantee(
            "After a change of address every record that was written here is counted, priced and rewritten, and no adopted one",
            "a record that would be written otherwise now is drift (`replay/reconcile/outdated.py`)",
            (
                "tests/replay/reconcile/test_outdated.py",
                "tests/service/doctor/test_doctor.py::test_a_record_that_names_an_earlier_address",
            ),
        ),
        Guarantee(
            "A repair applies exactly the plan that was shown; what has changed since is skipped and named",
            "the digest of the stored plan; a new comparison, and the generation under the append lock (`replay/repair/worker.py`)",
            (
                "tests/replay/repair/test_repairs.py::test_only_the_plan_that_was_shown_is_applied",
                "tests/replay/repair/test_repairs.py::test_what_has_changed_since_the_plan_is_skipped_and_named",
                "tests/replay/repair/test_repairs.py::test_a_record_that_was_edited_and_lost_again_is_another_one_than_the_plan_saw",
                "tests/replay/repair/test_repairs.py::test_a_plan_deletes_no_more_than_it_may",
            ),
        ),
        Guarantee(
            "A repair outlives its process, and no step of it is applied twice",
            "steps and progress commit together, under the epoch of the repair's lease",
            (
                "tests/replay/repair/test_repairs.py::test_another_process_continues_after_a_kill_and_nothing_is_applied_twice",
                "tests/replay/repair/test_repairs.py::test_two_processes_never_apply_at_once",
                "tests/replay/repair/test_repairs.py::test_a_cancelled_repair_applies_nothing_more_and_keeps_what_it_has_applied",
            ),
        ),
        Guarantee(
            "A silent stream hides nothing",
            "a scan compares the repos without any stream",
            ("tests/outbox/firehose/test_follower.py::test_a_scan_finds_what_a_stream_leaves_out",),
        ),
        Guarantee(
            "Echoes of our own writes, and late or repeated messages, change nothing",
            "the journal has the CID of each write before it is sent",
            ("tests/outbox/firehose/test_own_writes.py",),
        ),
        Guarantee(
            "Live work takes precedence over scans",
            "a scan leaves half of a host's budget",
            ("tests/replay/reconcile/test_scan.py::test_live_work_has_the_second_half_of_a_hosts_budget",),
        ),
        Guarantee(
            "A hanging host delays no other host's scan",
            "hosts are scanned side by side, the repos of one host one after the other",
            ("tests/replay/reconcile/test_scan.py::test_a_host_that_hangs_delays_no_other",),
        ),
    ),
    "Adopted records": (
        Guarantee(
            "An adopted record is not written before its track changes",
            "the target starts acknowledged, at the CID and with the whole body that was read",
            (
                "tests/e2e/test_adopt.py::test_a_whole_catalogue_comes_in_and_nothing_is_written",
                "tests/outbox/conflicts/test_adopted.py::test_foreign_fields_added_to_an_adopted_record_are_observed_and_nothing_is_written",
            ),
        ),
        Guarantee(
            "The first write of an adopted record loses no field of other clients",
            "their fields are merged from the observed body, including those nested in ours",
            (
                "tests/e2e/test_adopt.py::test_the_first_change_writes_the_record_with_all_that_others_keep_in_it",
                "tests/outbox/conflicts/test_adopted.py::test_nothing_is_sent_before_the_first_change_which_keeps_what_is_not_ours",
            ),
        ),
        Guarantee(
            "An account cannot adopt audio that it does not have",
            "a blob from the account's own PDS, or bytes from an address not ours",
            (
                "tests/replay/adoption/test_adopt.py::test_our_own_address_is_accepted_only_of_an_account_that_has_the_bytes_here",
                "tests/replay/adoption/test_adopt.py::test_no_redirect_leads_to_our_own_address",
            ),
        ),
        Guarantee(
            "Each record is adopted once, whatever crashes",
            "a unit of work per record checks whether it is known",
            (
                "tests/replay/adoption/test_adopt.py::test_two_runs_side_by_side_make_each_track_once",
                "tests/e2e/test_adopt.py::test_a_service_that_dies_meanwhile_goes_on_with_it",
            ),
        ),
    ),
    "Clients of plyr.fm": (
        Guarantee(
            "The unmodified client and command line of plyr.fm read under `/plyr` what they read there",
            "`api/plyr` answers in their shape, with the defaults that plyr.md names",
            (
                "tests/plyr/test_reading.py",
                "tests/api/plyr/test_tracks.py::test_a_track_is_shown_with_every_field_of_the_peer",
                "tests/api/plyr/test_errors.py",
            ),
        ),
        Guarantee(
            "It writes what it writes there, and the record on the PDS follows each of its commands",
            "`api/plyr` calls the use cases of our own routes",
            (
                "tests/plyr/test_writing.py",
                "tests/api/plyr/test_edits.py::test_each_documented_field_has_its_effect_and_the_answer_is_the_peers_track",
            ),
        ),
        Guarantee(
            "A client of plyr.fm never gets wider access than it asked for: what a track cannot hold is refused, and nothing is kept",
            "the words that mean something here are listed, all others are errors: [ADR 32](adr/0032-access-in-the-peers-words.md)",
            (
                "tests/api/plyr/test_uploads.py::test_what_a_track_cannot_hold_is_refused_and_nothing_is_kept",
                "tests/api/plyr/test_edits.py::test_an_edit_that_a_track_cannot_hold_changes_nothing",
                "tests/api/plyr/test_revisions.py::test_audio_does_not_cross_the_gate_by_a_restore",
            ),
        ),
        Guarantee(
            "Under `/plyr` a command that only a sign-in would let go on is refused, and nothing is recorded",
            "the unit is undone, since the peer's page takes every 2xx for done: [ADR 32](adr/0032-access-in-the-peers-words.md)",
            (
                "tests/api/plyr/test_records.py::test_without_a_login_nothing_is_recorded_while_our_own_route_records_it",
            ),
        ),
        Guarantee(
            "A number of plyr.fm names one track for ever, in links that are older than this service too",
            "`adopt --peer-ids` moves our ids past the file's, and refuses ids in use",
            (
                "tests/api/plyr/test_peer_ids.py::test_a_track_is_known_by_the_id_of_the_file_alone_and_new_ones_come_after_it",
                "tests/api/plyr/test_peer_ids.py::test_ids_that_other_tracks_have_are_refused_by_name_deleted_ones_included",
                "tests/replay/dump/test_export_and_load.py::test_an_imported_service_goes_on_and_takes_its_records_for_its_own",
            ),
        ),
        Guarantee(
            "A path under `/plyr` has the limits of the route behind it",
            "what judges a path asks `path_behind`",
            (
                "tests/api/middleware/test_rate_limits.py::test_a_path_under_plyr_counts_as_the_route_behind_it",
                "tests/api/plyr/test_audio.py::test_gated_audio_is_for_its_owner_however_it_is_asked_for",
            ),
        ),
    ),
    "Records that change namespace": (
        Guarantee(
            "A record that changes namespace, and its blob, exist in at least one collection at every moment",
            "two targets: the delete waits until the new record is acknowledged and there",
            (
                "tests/simulation/test_namespace_changes.py::test_a_moving_record_always_exists_and_ends_up_in_its_new_collection_alone",
                "tests/outbox/mirror/test_namespace_moves.py::test_its_blob_is_served_all_the_while",
                "tests/outbox/mirror/test_namespace_move_conflicts.py::test_the_old_one_stays_when_the_new_one_is_deleted_elsewhere_before_it_went",
            ),
        ),
        Guarantee(
            "Edits by others are not deleted with the former record",
            "its delete is held like an edit, unless the owner deletes the track",
            (
                "tests/outbox/mirror/test_namespace_move_conflicts.py::test_what_somebody_wrote_in_the_old_place_meanwhile_is_kept_until_its_owner_decides",
                "tests/outbox/mirror/test_namespace_move_conflicts.py::test_what_is_kept_of_the_old_place_is_not_lost_to_what_somebody_writes_in_the_new_one",
                "tests/outbox/mirror/test_namespace_move_conflicts.py::test_reading_a_held_copy_again_deletes_nothing",
            ),
        ),
        Guarantee(
            "No record is restored beside one that only the PDS knows to be in the old collection; that one moves, with other clients' fields",
            "API and relay look there first",
            (
                "tests/e2e/test_old_collection.py::test_a_record_that_the_old_collection_holds_is_moved_and_not_restored",
                "tests/outbox/mirror/test_old_collection.py::test_a_record_is_not_restored_beside_one_in_the_old_collection",
                "tests/outbox/mirror/test_old_collection.py::test_a_record_is_not_restored_before_the_look_is_answered",
                "tests/outbox/mirror/test_old_collection.py::test_what_is_left_in_the_old_collection_moves_with_its_fields",
                "tests/api/records/test_old_collection.py::test_other_values_in_the_old_collection_are_held_until_their_owner_decides",
            ),
        ),
    ),
    "Public copies": (
        Guarantee(
            "A public URL always has its bytes",
            "the copy is made before the event, or the command is refused",
            (
                "tests/api/public_audio/test_copies.py::test_the_copy_is_there_when_the_event_commits",
                "tests/storage/public/test_reservations.py::test_a_reservation_lasts_as_long_as_its_copy_takes",
                "tests/storage/public/test_reservations.py::test_a_unit_whose_reservation_is_over_does_not_commit",
                "tests/e2e/test_public_audio.py::test_the_record_names_a_copy_that_is_there_and_a_gated_one_has_none",
            ),
        ),
        Guarantee(
            "A page plays public copies, wherever in a bucket they are",
            "the policy of pages names the origin of S3_PUBLIC_URL, without its path",
            (
                "tests/web/test_page_headers.py::test_audio_comes_from_us_and_from_anywhere_below_the_origin_of_the_public_copies",
                "tests/e2e/pages/test_public.py::test_a_visitor_hears_a_track_and_sees_the_record_on_the_pds",
            ),
        ),
        Guarantee(
            "Gating a track removes its copy at once",
            "the commit wakes the worker; removals have slots of their own",
            (
                "tests/storage/public/test_publisher_threads.py::test_a_gated_copy_is_removed_at_once_although_large_copies_are_being_made",
            ),
        ),
        Guarantee(
            "A crash leaves nothing public that should not be",
            "the copy is marked uncertain before it is touched; reservations expire",
            (
                "tests/storage/public/test_publisher.py::test_after_a_crash_at_any_step_the_next_pass_heals",
                "tests/storage/public/test_reservations.py::test_a_reserved_copy_is_removed_when_the_command_fails_or_its_process_dies",
            ),
        ),
        Guarantee(
            "Artists who share bytes do not remove each other's copy",
            "a copy is removed when no row wants it",
            ("tests/storage/public/test_publisher.py::test_one_artist_does_not_take_the_copy_of_another",),
        ),
        Guarantee(
            "Publishers may overlap and be late",
            "a lease per copy; a publisher whose lease expired marks the copy for another check",
            (
                "tests/storage/public/test_publisher_threads.py::test_concurrent_publishers_and_edits_end_with_the_wanted_copies",
                "tests/storage/public/test_publisher.py::test_a_late_copy_is_noticed_although_another_publisher_has_just_deleted_it",
            ),
        ),
    ),
    "On PostgreSQL": (
        Guarantee(
            "Without a spare connection to PostgreSQL commands go on as long as their pool has one",
            "a unit of work takes no second connection",
            (
                "tests/service/wiring/test_log.py::test_commands_go_on_without_a_spare_connection_as_long_as_their_pool_has_one",
            ),
        ),
        Guarantee(
            "No setting of a server or a pooler takes a promise away silently",
            "each new connection is asked what it has; each transaction names its isolation level",
            (
                "tests/eventstore/test_session_settings.py::test_defaults_of_the_server_change_neither_isolation_nor_timeouts_nor_durability",
                "tests/eventstore/test_session_settings.py::test_a_pooler_that_drops_settings_is_refused_with_their_names",
                "tests/e2e/test_pooler.py::test_a_process_with_a_relay_refuses_to_start_through_a_pooler",
            ),
        ),
    ),
    "After a restore": (
        Guarantee(
            "A backup by the tools of the database, made beside a running service, is put back by them, and one of an older version is upgraded",
            "`vacuum into`, `pg_dump`, or a base backup with its archive; then `migrate`, `rebuild` and `recovered`",
            (
                "tests/e2e/test_restore.py::test_a_restore_loses_nothing_that_is_newer_on_the_pds",
                "tests/service/schema/test_upgrade.py::test_a_backup_of_an_older_version_is_upgraded_and_sends_nothing_before_it_is_verified",
            ),
        ),
        Guarantee(
            "An upgrade from revision 0005 loses nothing that was acknowledged, also meanwhile by the old process",
            "revisions change no event; an old process takes no edits on newer read models, and one whose columns are gone delivers nothing",
            (
                "tests/service/schema/test_upgrade.py::test_an_upgrade_loses_nothing",
                "tests/service/schema/test_upgrade.py::test_the_old_process_acknowledges_nothing_that_is_lost_and_refuses_politely",
            ),
        ),
        Guarantee(
            "Nothing is sent for an account before its records were verified",
            "claims, lane runs and uploads check for it",
            ("tests/replay/test_recovered.py::test_nothing_is_sent_between_a_restore_and_its_recovery",),
        ),
        Guarantee(
            "Nothing newer on a PDS is lost",
            "newer records are held; older deletes wait",
            (
                "tests/e2e/test_restore.py::test_a_restore_loses_nothing_that_is_newer_on_the_pds",
                "tests/replay/test_recovered.py::test_a_delete_of_then_does_not_take_what_was_undeleted_since",
            ),
        ),
        Guarantee(
            "No number is issued twice",
            "a gap larger than any log could have filled",
            (
                "tests/replay/test_recovered.py::test_no_position_and_no_track_id_is_issued_twice",
                "tests/service/cli/test_recovered.py::test_no_track_id_is_issued_again_after_a_file_was_put_back_before_its_newest_position_was_seen",
            ),
        ),
        Guarantee(
            "After a failover nothing is sent before an operator has said that nothing was lost",
            "a new timeline counts as a restore; `recovered --nothing-lost` compares",
            (
                "tests/eventstore/test_restore_detection.py::test_a_promoted_standby_is_noticed_and_numbers_go_on_far_beyond",
                "tests/service/cli/test_recovered.py::test_nothing_lost_is_refused_where_this_machine_has_seen_more_of_the_log",
                "tests/service/cli/test_recovered.py::test_one_command_ends_leases_and_resumes_where_a_promotion_lost_nothing",
                "tests/e2e/test_failover.py::test_deliveries_go_on_once_an_operator_says_that_a_failover_lost_nothing",
                "tests/e2e/test_failover.py::test_a_standby_that_lost_its_tail_is_not_taken_for_one_that_lost_nothing",
            ),
        ),
        Guarantee(
            "No login is ended by a replayed token",
            "restored refresh tokens are not used",
            ("tests/replay/test_recovered.py::test_oauth_logins_end_and_those_of_app_passwords_go_on",),
        ),
        Guarantee(
            "Lost bytes are restored only unchanged",
            "checked against their CID",
            (
                "tests/replay/test_media.py::test_what_is_lost_comes_back_from_the_blob_of_its_artist_and_only_with_its_cid",
            ),
        ),
    ),
    "Accounts, operators and takedowns": (
        Guarantee(
            "An admin ends the sessions and tokens of an account at once, all of those that were counted, or none where their number has changed, and the log says why",
            "revoked and recorded in one unit of the account's stream",
            (
                "tests/api/ops/test_accounts.py::test_an_admin_ends_one_session_of_an_account_and_then_all",
                "tests/web/test_console.py::test_the_sessions_of_an_account_are_ended_for_a_reason",
            ),
        ),
        Guarantee(
            "Operators find every record that is not delivered, tried or not, with since when, and those whose audio the PDS refused",
            "read from the state of targets and uploads",
            (
                "tests/api/ops/test_deliveries.py::test_every_record_that_is_not_delivered_is_listed_with_since_when",
                "tests/outbox/relay/test_open_targets_cost.py::test_undelivered_records_are_listed_among_very_many_without_reading_them",
                "tests/web/test_console_words.py::test_records_say_in_words_since_when_and_why_and_whose_they_are",
                "tests/web/test_console_words.py::test_a_record_that_is_delivered_without_its_audio_says_both",
            ),
        ),
        Guarantee(
            "An operator finds each account and track by what names it, a track that no list shows too, and sees its record and its timeline as its owner does",
            "the studio's own table and entries",
            ("tests/web/test_console_track.py",),
        ),
        Guarantee(
            "After a bulk action, an operator sees how many of those that it was for still wait, and how many failed again",
            "records keep the cause of their last failure until they succeed",
            (
                "tests/api/ops/test_accounts.py::test_a_redrive_says_how_many_of_its_records_wait_and_how_many_failed_again",
                "tests/api/ops/test_accounts.py::test_a_resume_says_how_many_accounts_still_have_something_to_send",
            ),
        ),
        Guarantee(
            "A failure that is expected is one log line that says what happens next, and a fault keeps its traceback",
            "the log's formatter (`service/observability/logging.py`)",
            (
                "tests/service/observability/test_expected.py",
                "tests/service/observability/test_database_away.py::test_while_the_database_is_away_the_log_says_so_without_a_traceback",
            ),
        ),
        Guarantee(
            "Whatever breaks, a restored database aside, health, alarms, doctor or the log say it within a minute, with what to do, and every acknowledged edit is there afterwards",
            "the operator's drill: each case on real servers under load, its texts kept in `tests/e2e/drill/golden/`",
            (
                "tests/e2e/drill/test_pds_away.py",
                "tests/e2e/drill/test_postgres_restarted.py",
                "tests/e2e/drill/test_full_disk.py",
                "tests/e2e/drill/test_wrong_key.py",
                "tests/e2e/drill/test_killed.py",
                "tests/e2e/drill/test_clock_set.py",
                "tests/e2e/drill/test_two_services.py",
            ),
        ),
        Guarantee(
            "A database that was put back to an earlier copy by hand is noticed at once; what the PDS has comes back, what was in the lost file alone does not",
            "nothing is sent before the accounts are verified",
            ("tests/e2e/drill/test_restored.py",),
        ),
        Guarantee(
            "What a comparison did not judge is named and never let go: after a restore no delete takes a record that could not be read",
            "a delete of an unread record waits (`replay/recovered.py`)",
            (
                "tests/replay/test_recovered.py::test_a_delete_of_then_does_not_take_what_was_undeleted_since",
                "tests/replay/test_recovered.py::test_a_delete_of_then_waits_where_the_record_could_not_be_read",
                "tests/service/cli/test_plan.py::test_a_verification_that_judged_not_everything_says_so_and_does_not_succeed",
                "tests/api/test_verify.py::test_a_record_that_cannot_be_read_is_named_as_not_judged",
            ),
        ),
        Guarantee(
            "A full disk does not make a service unready while it serves requests, and is named",
            "`/readyz` fails for what makes requests fail alone",
            ("tests/api/pipeline/test_full_disk.py::test_a_full_disk_is_named_while_requests_are_served",),
        ),
        Guarantee(
            "With OpenTelemetry a request, its commit and its delivery are one trace, in whichever process the relay runs",
            "the target keeps the `traceparent` of the commit of its generation",
            (
                "tests/service/observability/test_otel.py::test_a_request_its_commit_and_its_delivery_are_one_trace_and_a_second_attempt_is_linked",
            ),
        ),
        Guarantee(
            "A name that an owner sets here goes before the profile's until it is cleared, and no record changes for it",
            "`ProfileUpdated`; a track's artist is written once, at its upload",
            (
                "tests/api/test_profile.py::test_a_name_that_is_set_here_goes_before_the_profiles_until_it_is_cleared",
                "tests/api/test_profile.py::test_new_tracks_have_the_name_and_existing_ones_keep_theirs_also_when_they_are_edited",
            ),
        ),
        Guarantee(
            "What people and operators do is logged once, together with its effect",
            "the row and its event commit together",
            (
                "tests/identity/accounts/test_sign_in.py::test_a_sign_in_and_its_event_commit_together",
                "tests/api/auth/test_tokens.py::test_row_and_event_are_one",
                "tests/outbox/operations/test_operators.py::test_nothing_is_done_that_the_log_does_not_say",
                "tests/service/cli/test_recovered.py::test_the_log_names_the_operator_once",
            ),
        ),
        Guarantee(
            "An operator who is no admin reads of every account, and changes nothing",
            "scope `operator` for OPERATOR_DIDS and ADMIN_DIDS, which includes `read` and not `write`",
            (
                "tests/api/auth/test_every_route.py::test_an_operator_changes_nothing",
                "tests/api/auth/test_every_route.py::test_only_an_operator_with_a_token_for_it_reads_of_all",
                "tests/api/auth/test_tokens.py::test_an_operators_session_creates_tokens_that_only_read_and_they_create_none",
                "tests/web/test_console.py::test_an_operator_sees_every_screen_and_can_do_none_of_what_admins_do",
            ),
        ),
        Guarantee(
            "How each periodic job and each rebuild goes is seen from every process, also after its own has ended",
            "their progress and their last error are in the rows that lease them",
            (
                "tests/api/ops/test_work.py::test_a_job_says_how_its_last_run_ended_when_it_is_due_and_who_holds_it",
                "tests/api/ops/test_work.py::test_a_rebuild_shows_how_far_it_is_and_where_it_was_cut_off",
            ),
        ),
        Guarantee(
            "What fails says since when, and nothing is called ready beside a PDS that does not answer",
            "`failing_since`; a lane's state is shown with its host's",
            (
                "tests/outbox/views/test_since_when.py",
                "tests/api/ops/test_deliveries.py::test_a_pds_that_does_not_answer_is_away_for_its_owner_and_for_operators",
                "tests/api/ops/test_deliveries.py::test_nothing_drains_where_all_that_waits_was_rejected",
                "tests/service/doctor/test_doctor.py::test_no_account_is_at_work_beside_a_pds_that_does_not_answer",
            ),
        ),
        Guarantee(
            "Failures are counted by cause, and no PDS makes more causes than it may have",
            "an error is a name; a host has 100 causes at most (`outbox/mirror/failure_causes.py`)",
            ("tests/outbox/mirror/test_failure_causes.py",),
        ),
        Guarantee(
            "A deleted account leaves no record of ours behind",
            "records first, the login last; a job that resumes",
            (
                "tests/e2e/test_account_deletion.py::test_it_goes_on_through_an_outage_and_a_sign_out_until_the_login_is_given_back",
                "tests/api/account_deletion/test_last_steps.py::test_a_crash_at_any_step_leaves_the_rest_to_the_next",
            ),
        ),
        Guarantee(
            "Records that the service never wrote stay",
            "no delete is sent for a record without an attempt of ours",
            ("tests/e2e/test_account_deletion.py::test_an_adopted_record_that_was_never_written_stays",),
        ),
        Guarantee(
            "Nothing new starts for an account that is being deleted",
            "checked again in each command's unit of work",
            (
                "tests/api/account_deletion/test_requests_meanwhile.py::test_an_upload_that_began_before_the_deletion_is_refused",
                "tests/replay/adoption/test_jobs.py::test_an_adoption_of_an_account_that_is_leaving_makes_no_track",
            ),
        ),
        Guarantee(
            "A track that was taken down is visible only to its owner and operators, its bytes only to admins",
            "one check, used wherever a track or its bytes are served",
            (
                "tests/api/tracks/test_takedown.py::test_it_is_there_for_its_owner_and_operators_alone",
                "tests/api/tracks/test_takedown.py::test_its_bytes_are_for_admins_alone",
                "tests/api/tracks/test_takedown.py::test_an_operator_reads_what_it_is_and_gets_no_bytes",
                "tests/api/public_audio/test_copies.py::test_what_was_taken_down_is_not_public_whatever_its_owner_does",
            ),
        ),
        Guarantee(
            "Bytes that were taken down with their track come back by no upload, edit, adoption, undelete or revert of any account",
            "`storage/taken_down.py`, before bytes are stored, and in the unit",
            (
                "tests/api/tracks/test_takedown.py::test_bytes_that_were_taken_down_are_refused_to_all_whatever_brings_them",
                "tests/api/tracks/test_takedown.py::test_a_cover_whose_bytes_are_being_taken_down_meanwhile_is_refused",
                "tests/replay/adoption/test_adopt.py::test_bytes_that_were_taken_down_make_no_track_and_no_cover",
                "tests/api/public_audio/test_copies.py::test_bytes_that_were_taken_down_are_never_public_again",
            ),
        ),
        Guarantee(
            "A takedown is reversible",
            "record and blob are left alone",
            ("tests/api/tracks/test_takedown.py::test_the_record_is_left_alone_and_edits_go_on_to_reach_it",),
        ),
    ),
    "Sign-in and PDS sessions": (
        Guarantee(
            "A person signs in at their own PDS and nowhere else",
            "OAuth with PAR, PKCE and DPoP; granular scopes",
            ("tests/e2e/test_oauth_browser.py", "tests/e2e/test_oauth_production.py"),
        ),
        Guarantee(
            "Only the browser that started a sign-in can finish it, once",
            "the attempt travels encrypted in its cookie, bound to the state; the code works once",
            (
                "tests/identity/oauth/test_sign_in.py::test_a_callback_is_for_the_browser_that_started",
                "tests/e2e/test_oauth.py::test_a_callback_works_once",
            ),
        ),
        Guarantee(
            "Tokens are refreshed by one process at a time",
            "a lease on the session's generation, no lock across HTTP",
            (
                "tests/identity/sessions/test_refresh_processes.py::test_three_processes_keep_a_real_oauth_login_alive",
            ),
        ),
        Guarantee(
            "A lost login ends in a sign-in request, never in a loop",
            "invalid_grant ends the session and parks the lane in one transaction",
            (
                "tests/identity/oauth/test_grants.py::test_an_answer_lost_after_the_rotation_requires_a_sign_in_and_causes_no_loop",
            ),
        ),
        Guarantee(
            "No upload is truncated by a nonce retry",
            "bodies are rebuilt for each attempt, a stream starts with a fresh nonce",
            (
                "tests/identity/sessions/test_signed_requests.py",
                "tests/e2e/test_oauth.py::test_what_an_artist_uploads_is_written_and_its_audio_streamed_to_their_pds",
            ),
        ),
    ),
    "Stolen data": (
        Guarantee(
            "A stolen database gives no access",
            "logins are encrypted with SECRET_KEYS, our tokens are hashes",
            (
                "tests/service/config/test_stolen_copy.py::test_a_stolen_database_alone_opens_nothing",
                "tests/identity/sessions/test_encryption.py::test_a_ciphertext_copied_to_another_account_or_purpose_does_not_decrypt",
            ),
        ),
        Guarantee(
            "Stolen logs give no access",
            "they contain no token, password, code, key or query string",
            (
                "tests/service/config/test_stolen_copy.py::test_stolen_logs_alone_open_nothing",
                "tests/identity/oauth/test_grants.py::test_neither_database_nor_logs_hold_a_secret",
            ),
        ),
        Guarantee(
            "A cookie or token that was ended gives no access, immediately and in every process",
            "each request, and each stream before it says more, reads the row; a command's unit of work proves it",
            (
                "tests/service/config/test_stolen_copy.py::test_a_cookie_after_its_logout_opens_nothing",
                "tests/api/test_events.py::test_a_stream_ends_with_its_token_and_the_others_of_its_account_go_on",
                "tests/api/auth/test_tokens.py::test_a_token_that_a_process_remembers_ends_at_once",
                "tests/api/auth/test_tokens.py::test_an_upload_is_refused_where_its_token_has_ended_meanwhile",
                "tests/api/test_events.py::test_an_admins_stream_of_another_account_ends_with_the_admins_session",
            ),
        ),
    ),
    "Browsers": (
        Guarantee(
            "No response for programs runs scripts, and none can be framed, is sniffed, leaks its URL or is cached, whatever produces it: routes, errors, files, preflights, malformed HTTP",
            "one table, `api/middleware/http_layer.py`",
            (
                "tests/api/middleware/test_security_headers.py::test_every_answer_has_every_header_once",
                "tests/api/middleware/test_security_headers.py::test_no_answer_for_programs_runs_anything_or_is_framed",
                "tests/service/process/test_slow_clients.py::test_malformed_http_gets_the_usual_error_body_and_logs_nothing",
            ),
        ),
        Guarantee(
            "No cache keeps an error, and no answer leads to the host that its request names",
            "`api/middleware/http_layer.py`; paths are not redirected",
            (
                "tests/api/middleware/test_security_headers.py::test_no_error_of_any_route_is_cached",
                "tests/web/test_public_pages.py::test_no_answer_leads_to_the_host_that_a_request_names",
            ),
        ),
        Guarantee(
            "A form on a page loses nothing that was typed, and overwrites nothing that it did not show",
            "a form names its version; after 412 what was typed is merged and shown",
            (
                "tests/web/studio/test_track.py::test_an_edit_of_an_older_version_shows_both_and_overwrites_neither",
                "tests/web/studio/test_track.py::test_what_a_field_cannot_hold_is_told_beside_it_and_what_was_typed_stays",
            ),
        ),
        Guarantee(
            "Undoing one change overwrites no later change",
            "a field that changed later leads to a choice",
            (
                "tests/web/studio/test_history.py::test_a_change_that_was_overtaken_is_not_undone_before_its_owner_has_looked",
                "tests/web/studio/test_history.py::test_one_change_is_undone_and_those_after_it_stay",
            ),
        ),
        Guarantee(
            "Every page works without scripts; changes that arrive are shown without loading it again, or as soon as a hidden page is shown",
            "forms post to pages; hints make a page read its parts again",
            ("tests/e2e/pages/test_studio.py",),
        ),
        Guarantee(
            "A track is edited, tracks are selected and a conflict is decided with the keyboard alone: what has the focus shows it, nothing covers it, and it is never lost",
            "one outline; a part that is read again keeps the focus",
            (
                "tests/e2e/pages/test_keyboard.py",
                "tests/e2e/pages/test_studio.py::test_tracks_are_copied_after_they_were_counted_and_one_is_deleted_and_brought_back",
            ),
        ),
        Guarantee(
            "An operator's screen stays small and misses no host that fails, while 10,000 records of 1,000 lanes fail at 200 hosts",
            "pages of lists; the database counts",
            (
                "tests/web/test_console.py::test_each_screen_is_small_while_ten_thousand_records_fail",
                "tests/web/test_console.py::test_a_host_that_fails_is_seen_behind_very_many_that_work",
                "tests/web/test_console.py::test_as_many_statements_read_many_hosts_as_read_two",
            ),
        ),
        Guarantee(
            "A screen of the console shows what is so now, keeps what is typed and focused in it, and is not read while it is hidden",
            "the page reads itself again every 3 to 10 seconds, and replaces changed parts",
            ("tests/e2e/pages/test_console.py::test_an_outage_is_seen_understood_redriven_and_drained",),
        ),
        Guarantee(
            "The console's first screen names what fails or waits for a person, how much, since when and what to do, and stays calm while only a few artists have to sign in",
            "what waits is counted by state and reason, with its first time",
            (
                "tests/web/test_console.py::test_ended_logins_are_named_calmly_with_since_when_until_nothing_goes_through",
                "tests/web/test_console.py::test_records_that_wait_for_a_person_are_named_with_since_when",
                "tests/api/ops/test_deliveries.py::test_every_record_that_is_not_delivered_is_listed_with_since_when",
            ),
        ),
        Guarantee(
            "The console says of all that fails what to do and when it is tried next, and asks about no action that would touch none",
            "a sentence for each state and kind; each action is counted first",
            (
                "tests/web/test_console_hosts.py::test_a_host_that_fails_is_tried_again_at_once",
                "tests/web/test_console_hosts.py::test_each_screen_says_what_to_do_and_when_it_is_tried_next",
                "tests/web/test_console_hosts.py::test_what_would_touch_nothing_is_not_offered",
                "tests/web/test_console_hosts.py::test_there_is_something_to_say_of_each_state_and_each_kind_of_failure",
            ),
        ),
        Guarantee(
            "A page runs our own files alone, and shows what a record, a handle or an error says as text",
            "a policy with the path of our files; no inline script ([ADR 42](adr/0042-pages-with-scripts.md))",
            (
                "tests/web/test_page_headers.py::test_a_page_runs_nothing_but_our_own_files",
                "tests/web/test_page_headers.py::test_what_a_record_says_is_text_on_every_page",
                "tests/web/test_public_pages.py::test_what_artists_write_is_text_and_reaches_no_header",
                "tests/e2e/pages/test_public.py::test_the_public_pages_are_good_in_every_view",
            ),
        ),
        Guarantee(
            "A link to a track, an artist or a tag is a page for every client, and no address of the API is one to who takes anything",
            "`web/ask.py`",
            (
                "tests/web/test_public_pages.py::test_a_link_that_is_shared_is_a_page_for_every_client",
                "tests/web/test_public_pages.py::test_no_address_of_the_api_answers_a_page_to_who_takes_anything",
            ),
        ),
        Guarantee(
            "A track's page plays to those alone whom its gate lets hear it, and says to the others what to do",
            "the page asks what serves the audio whether the viewer may have it",
            (
                "tests/web/test_public_pages.py::test_a_gated_track_says_what_to_do_and_plays_to_no_visitor",
                "tests/web/test_public_pages.py::test_a_gated_track_plays_to_its_owner_and_to_supporters_alone",
            ),
        ),
        Guarantee(
            "The sign-in form works under that policy with every PDS",
            "it is answered with a page: Chromium applies form-action to a form's redirects",
            ("tests/e2e/test_oauth_browser.py::test_a_person_signs_in_and_out",),
        ),
        Guarantee(
            "Another site's page cannot change anything (CSRF)",
            "SameSite=Lax, and a check of Origin or Sec-Fetch-Site",
            ("tests/api/auth/test_every_route.py::test_another_sites_page_changes_nothing_with_the_cookie",),
        ),
        Guarantee(
            "Only CORS_ORIGINS may send credentials",
            "`api/middleware/http_layer.py`",
            ("tests/api/middleware/test_security_headers.py::test_no_other_origin_hears_of_credentials",),
        ),
        Guarantee(
            "A sibling domain cannot set a session cookie, and none is sent over http",
            "HttpOnly, Secure, `__Host-` where BASE_URL is https",
            (
                "tests/api/auth/test_oauth.py::test_over_https_the_cookies_go_over_https_only_and_come_from_this_host",
            ),
        ),
        Guarantee(
            "Another site's page cannot sign a browser in with an account of its author (login CSRF)",
            "only our form (SameSite=Strict), a typed address, a page of CORS_ORIGINS or a program starts a sign-in",
            (
                "tests/api/auth/test_oauth.py::test_a_link_on_any_page_starts_no_sign_in_but_fills_in_the_form",
                "tests/api/auth/test_oauth.py::test_what_our_form_carries_starts_a_sign_in_with_its_cookie_alone",
                "tests/e2e/test_oauth_browser.py::test_a_link_in_what_an_artist_writes_starts_no_sign_in_until_its_reader_does",
            ),
        ),
        Guarantee(
            "A sign-in redirects only to this service or to CORS_ORIGINS (no open redirect)",
            "`return_to` is checked before the sign-in starts",
            ("tests/api/auth/test_oauth.py::test_the_way_back_leads_nowhere_else",),
        ),
    ),
    "Authorization and tokens": (
        Guarantee(
            "Every route refuses anonymous callers, other accounts, read-only tokens and non-admins as its row says, and a refused request changes nothing",
            "one table of permissions, `tests/api/auth/route_table.py`; a route without a row fails",
            ("tests/api/auth/test_every_route.py",),
        ),
        Guarantee(
            "Only whom a track's gate and `downloads` name may download it, from its first moment on",
            "one rule in `application/authorization.py`; an upload and its limit commit together",
            (
                "tests/api/tracks/test_downloads.py::test_only_whom_the_policy_names_may_download",
                "tests/api/tracks/test_downloads.py::test_an_upload_is_never_open_for_a_moment_when_it_says_otherwise",
            ),
        ),
        Guarantee(
            "A token has no more scope than its creator",
            "scopes `read`, `write`, `admin`; admin also requires ADMIN_DIDS, at each request",
            (
                "tests/api/auth/test_tokens.py::test_a_token_opens_what_its_scope_says_and_nothing_once_it_is_ended",
                "tests/api/auth/test_tokens.py::test_only_a_session_of_scope_admin_creates_admin_tokens",
            ),
        ),
        Guarantee(
            "A stolen token cannot create one that outlives it",
            "tokens made with a token end with it, at any depth",
            (
                "tests/api/auth/test_tokens.py::test_a_token_that_a_program_makes_ends_with_the_programs_own",
                "tests/api/auth/test_tokens.py::test_what_a_token_made_ends_with_it_at_any_depth_and_the_log_says_so",
                "tests/api/ops/test_accounts.py::test_one_token_ends_with_those_that_it_made_as_they_were_counted",
            ),
        ),
        Guarantee(
            "Tokens cannot be guessed or found by timing",
            "32 random bytes, looked up by their SHA-256; 100 tries a minute",
            (
                "tests/api/middleware/test_rate_limits.py::test_tokens_cannot_be_guessed_quickly",
                "tests/api/middleware/test_rate_limits.py::test_an_error_page_names_no_account_unless_it_was_counted",
            ),
        ),
    ),
    "Incoming requests and files": (
        Guarantee(
            "A request with a field or parameter that its route does not know changes nothing, and learns which name was meant",
            "what OpenAPI declares is what a route knows: [ADR 27](adr/0027-unknown-names.md)",
            (
                "tests/api/requests/test_known_names.py::test_every_route_refuses_an_unknown_query_parameter",
                "tests/api/requests/test_known_names.py::test_every_route_with_a_body_refuses_an_unknown_field",
            ),
        ),
        Guarantee(
            "No request is larger or slower than its route allows, and no body is read before the caller is authenticated",
            "`api/middleware/http_layer.py`: [the limits](http.md)",
            (
                "tests/api/middleware/test_request_limits.py::test_no_body_without_a_file_has_more_than_its_limit",
                "tests/api/middleware/test_request_limits.py::test_no_body_is_read_before_the_caller_is_authenticated",
            ),
        ),
        Guarantee(
            "No text that comes from outside makes the service work for long: of the largest size that its limits allow, a request costs at most 0.3 s of CPU",
            "linear patterns; JSON is counted before it is parsed (`eventstore/untrusted.py`)",
            (
                "tests/test_patterns.py::test_a_pattern_is_linear",
                "tests/test_patterns.py::test_a_filter_of_templates_is_linear",
                "tests/test_patterns.py::test_a_costly_reader_is_used_only_where_its_text_has_a_bound",
                "tests/api/requests/test_largest_requests.py::test_a_body_of_the_largest_size_costs_little",
                "tests/api/requests/test_largest_requests.py::test_headers_of_the_largest_size_cost_little",
                "tests/api/requests/test_largest_requests.py::test_json_of_too_many_values_is_too_complex_on_every_route",
            ),
        ),
        Guarantee(
            "A client that is slow or disconnects holds no resources",
            "headers have 20 seconds, a silent body 30, a response that is not read 120; temporary files are removed with the"
            " request",
            (
                "tests/service/process/test_slow_clients.py::test_a_client_that_takes_nothing_of_its_response_does_not_keep_its_connection",
                "tests/service/process/test_slow_clients.py::test_a_client_that_leaves_a_part_of_its_last_small_response_does_not_keep_its_connection",
                "tests/service/process/test_slow_clients.py::test_a_byte_now_and_then_does_not_keep_an_upload",
                "tests/service/process/test_slow_clients.py::test_a_client_that_disconnects_during_an_upload_leaves_no_files",
            ),
        ),
        Guarantee(
            "No part of a request without an end takes memory, or keeps its connection",
            "every byte is of a head, of a body, or one of 64 KiB and as many as the body has (`service/process/http_connections.py`);"
            " trailers and chunk extensions are refused; after the response, 1 MiB of a body is read, for 20 seconds",
            (
                "tests/service/process/test_slow_clients.py::test_of_what_has_no_end_little_is_read_and_the_connection_is_closed",
                "tests/service/process/test_slow_clients.py::test_a_body_without_end_is_read_for_a_time_and_not_kept",
            ),
        ),
        Guarantee(
            "A media store that hangs stops no route but those that need its bytes, and these answer 503 in time",
            "threads for each kind of work on media (`service/wiring/bootstrap.py`)",
            (
                "tests/neighbours/test_hanging_store.py::test_reads_that_hang_stop_no_other_route",
                "tests/neighbours/test_hanging_store.py::test_writes_that_hang_stop_no_other_route_and_no_reads",
                "tests/neighbours/test_hanging_store.py::test_one_caller_cannot_take_the_threads_of_all_readers",
                "tests/neighbours/test_hanging_copies.py::test_a_copy_that_hangs_is_retried_after_the_others",
            ),
        ),
        Guarantee(
            "An account whose PDS or audio is slow delays the adoptions of others for one turn at most",
            "limits for the list, each record and each turn (`replay/adoption/adopt.py`)",
            (
                "tests/neighbours/test_slow_adoptions.py::test_accounts_that_list_without_end_give_their_slots_back_in_time",
                "tests/neighbours/test_slow_adoptions.py::test_a_large_catalogue_is_adopted_in_turns_and_others_come_between",
                "tests/neighbours/test_slow_adoptions.py::test_audio_that_trickles_is_given_up_for_its_record_alone",
            ),
        ),
        Guarantee(
            "Covers are shown in sizes that were made before: no reader makes the service fetch or decode an image",
            "renditions at upload, and for other covers by a worker with slots, threads and limits of its own (`replay/derived.py`);"
            " what cannot be fetched or decoded is remembered",
            (
                "tests/api/tracks/test_renditions.py::test_a_cover_from_before_is_shown_itself_until_the_worker_has_made_its_renditions",
                "tests/api/tracks/test_renditions.py::test_a_request_for_an_adopted_cover_asks_no_host_and_the_worker_does",
                "tests/replay/derived/test_covers.py::test_what_is_no_cover_is_asked_for_once",
                "tests/replay/derived/test_covers.py::test_a_host_that_is_away_is_asked_a_few_times_with_pauses",
                "tests/eventstore/jobs/test_queue.py::test_a_job_that_ends_each_process_waits_longer_each_time_and_is_given_up",
                "tests/neighbours/test_derived_media.py::test_hosts_that_hang_give_their_slots_back_in_time",
            ),
        ),
        Guarantee(
            "A decoder that hangs, crashes, grows or is killed by hostile audio harms neither the service nor other tracks",
            "a child process with limits (`storage/derived/peaks.py`); attempts are counted",
            (
                "tests/storage/derived/test_waveforms.py::test_a_decoder_that_goes_wrong_fails_and_is_gone",
                "tests/storage/derived/test_waveforms.py::test_the_decoder_limits_its_memory",
                "tests/storage/derived/test_waveforms.py::test_the_decoder_gets_no_secrets",
                "tests/api/tracks/test_waveforms.py::test_a_decoder_that_is_killed_each_time_is_given_up",
                "tests/neighbours/test_derived_media.py::test_a_decoder_that_hangs_takes_one_slot_and_no_route",
            ),
        ),
        Guarantee(
            "Malformed JSON, queries and hosts never cause a 500",
            "duplicate names, deep nesting, numbers, dates, NUL, surrogates are rejected at the edge",
            (
                "tests/api/middleware/test_request_limits.py::test_strange_json_is_never_our_fault",
                "tests/api/middleware/test_request_limits.py::test_strange_queries_are_never_our_fault",
                "tests/api/requests/test_largest_requests.py::test_a_number_of_any_length_is_never_our_fault",
            ),
        ),
        Guarantee(
            "The API matches its OpenAPI document",
            "Schemathesis, with valid and invalid requests",
            ("tests/api/responses/test_openapi.py::test_the_api_is_as_its_document_says",),
        ),
        Guarantee(
            "The OpenAPI document shows an example for each request, answer and error, and names what needs a credential",
            "made from one table, and from each route's dependencies",
            ("tests/api/responses/test_document.py",),
        ),
        Guarantee(
            "A client for any language can be generated from the OpenAPI document, and does all that the demo does",
            "the document names everything that is sent and answered",
            ("tests/e2e/test_generated_client.py",),
        ),
        Guarantee(
            "A malicious file is refused or accepted in bounded memory and time",
            "the container is detected from the bytes; bounded readers; covers are re-encoded from their pixels",
            (
                "tests/storage/test_hostile_files.py::test_damaged_samples_of_every_kind_are_taken_or_refused_in_little_memory",
                "tests/api/requests/test_hostile_uploads.py::test_every_damaged_sound_or_cover_gets_a_documented_response",
            ),
        ),
        Guarantee(
            "A file never runs",
            "Content-Type from our own table, nosniff, a sandbox without scripts",
            (
                "tests/api/middleware/test_security_headers.py::test_a_file_is_served_as_what_it_was_found_to_be_and_never_as_a_page",
            ),
        ),
    ),
    "Outgoing requests": (
        Guarantee(
            "We connect only to public https addresses, and exactly to the ones that were checked (SSRF)",
            "`identity/resolution/address_policy.py` checks the URL as written, then each address as it is connected to",
            (
                "tests/identity/resolution/test_address_policy.py::test_a_name_that_resolves_to_an_unsafe_address_is_refused_before_connecting",
                "tests/identity/resolution/test_address_policy.py::test_the_connection_goes_to_the_checked_address",
                "tests/identity/oauth/test_server_addresses.py",
            ),
        ),
        Guarantee(
            "No redirect leads into our network, or to origins reserved for us",
            "each hop is checked",
            (
                "tests/identity/resolution/test_http_responses.py::test_internal_addresses_and_redirects_to_them_are_refused",
                "tests/identity/resolution/test_http_responses.py::test_a_handle_redirect_to_an_internal_address_is_refused",
            ),
        ),
        Guarantee(
            "Responses are limited in size and time",
            "limits and deadlines on every response; nothing is decompressed",
            (
                "tests/identity/resolution/test_address_policy.py::test_a_compressed_reply_is_not_unpacked",
                "tests/identity/resolution/test_http_responses.py::test_more_than_was_wanted_is_not_read",
                "tests/outbox/repo/test_reads.py::test_a_list_of_records_without_an_end_is_left_when_it_is_too_much",
            ),
        ),
        Guarantee(
            "No reply, record or firehose frame keeps the other accounts waiting, and what cannot be read is never taken for done or missing",
            "a limit for each method (`outbox/pds/client.py`), values counted before they are parsed (`eventstore/untrusted.py`), a share of time for firehoses (`outbox/firehose/connection.py`)",
            (
                "tests/neighbours/test_huge_replies.py",
                "tests/neighbours/test_huge_lists.py",
                "tests/neighbours/test_huge_frames.py",
                "tests/neighbours/test_flooding_hosts.py",
                "tests/identity/oauth/test_malformed_tokens.py",
            ),
        ),
        Guarantee(
            "What we send to one server is useless to another",
            "no cookies, no proxies from the environment, proofs bound to method and URL",
            (
                "tests/identity/resolution/test_address_policy.py::test_the_client_really_reaches_a_development_origin_and_keeps_no_cookies",
            ),
        ),
    ),
}


def page() -> str:
    """Return the page."""
    return HEAD + "".join(_sections()) + "".join(resource_limits.section())


def guarantees() -> Iterator[Guarantee]:
    for rows in SUBJECTS.values():
        yield from rows


def _sections() -> Iterator[str]:
    for subject, rows in SUBJECTS.items():
        yield f"\n## {subject}\n\n{TABLE}"
        for each in rows:
            proofs = ", ".join(f"`{proof}`" for proof in each.proofs)
            yield f"| {each.text} | {each.kept_by} | {proofs} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
