"""One event of each class of each kind of subject, and of accounts."""

from collections.abc import Callable
from datetime import timedelta

from aggregates import published_events
from aggregates.accounts.account import Account
from aggregates.accounts.account_events import AccountEvent
from aggregates.lists.track_list import TrackList
from aggregates.published import Published
from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from aggregates.releases.release_events import ReleaseEvent
from aggregates.values import Downloads, SupportGate, Visibility
from tests.dsl import (
    ALICE,
    COLLECTION,
    LISTS,
    START,
    Step,
    a_comment,
    a_like,
    a_list,
    a_profile,
    a_release,
    a_track,
    an_adopted_track,
    list_fields,
    some_artwork,
    some_audio,
    some_blob,
    some_feature,
    some_file,
    some_item,
    some_time,
)


def every_event() -> list[published_events.PublishedEvent | ReleaseEvent | AccountEvent]:
    """One event of each class, in the order in which the golden events are recorded."""
    of_reactions = [*events_of_reactions(a_like), *events_of_reactions(a_comment)]
    return [
        *events_of_a_track().values(),
        *of_reactions,
        *events_of_lists(),
        *events_of_a_profile(),
        *events_of_a_release(),
        *events_of_an_account(),
    ]


def published_by(*subjects: Published) -> list[published_events.PublishedEvent]:
    events = (each for subject in subjects for each in subject.collect_events())
    return [each for each in events if isinstance(each, published_events.PublishedEvent)]


def events_of_reactions(make: Callable[..., Like | Comment]) -> list[published_events.PublishedEvent]:
    """One event of each class, of the lives of two of a kind, which have the ids of their places among the golden events."""
    first, now = 3 if make is a_like else 6, some_time(60)
    made = make(first, track_cid=None)
    made.record_subject("bafytrack", at=now)
    made.record_missing(observed_at=now)
    made.record_foreign_edit_withdrawn("bafyours", observed_at=now)
    made.record_foreign_edit("bafyforeign", observed_at=now)
    made.adopt_foreign_edit("bafyforeign", {}, at=now)
    made.restore_record(at=now)
    made.migrate_namespace(f"fm.plyr.other.{made.TOPIC}", at=now)
    made.delete(at=now)
    made.undelete(track_cid="bafyother", at=now)
    made.take_down("a claim", at=now)
    made.lift_takedown("the claim was withdrawn", at=now)
    if isinstance(made, Comment):
        made.edit({"text": "new", "timestamp_ms": 2000}, at=now)
    adopted = make(first + 1, kind="adopt", cid="bafyrecord")
    return published_by(made, adopted)


def events_of_a_profile() -> list[published_events.PublishedEvent]:
    """One event of each class, of the lives of two profiles, whose ids are their places among the golden events."""
    now, made = some_time(60), a_profile(8)
    made.edit({"bio": "new"}, at=now)
    made.set_avatar(some_artwork(), at=now)
    made.set_avatar(None, at=now)
    made.record_missing(observed_at=now)
    made.record_foreign_edit_withdrawn("bafyours", observed_at=now)
    made.record_foreign_edit("bafyforeign", observed_at=now)
    made.adopt_foreign_edit("bafyforeign", {"bio": "theirs"}, at=now)
    made.restore_record(at=now)
    made.migrate_namespace("fm.plyr.other.profile", at=now)
    made.take_down("a claim", at=now)
    made.lift_takedown("the claim was withdrawn", at=now)
    made.delete(at=now)
    made.undelete(at=now)
    adopted = a_profile(9, kind="adopt", cid="bafyrecord", bio="theirs", avatar_url="https://pictures.test/a")
    return published_by(made, adopted)


def events_of_a_release() -> list[ReleaseEvent]:
    """One event of each class, of the life of a release, whose id is its place among the golden events."""
    now, made = some_time(60), a_release(11, title="Pressings", tags=("a",), downloads=Downloads.ASK)
    made.edit({"artwork": some_artwork(), "support_gate": SupportGate("any"), "tags": ()}, at=now)
    made.add_file(some_file(1, artist="A", album="B", number=2, year=2026, artwork=some_artwork()), at=now)
    made.arrange([{"upload_id": "upload1", "title": "New", "tags": ("b",)}], at=now)
    made.schedule(some_time(90), at=now)
    made.unschedule(at=now)
    made.set_preview("9" * 64, at=now)
    made.fail(["Track 7 has this audio"], at=now)
    made.publish([1, 2], 3, at=now)
    made.delete(at=now)
    return [each for each in made.collect_events() if isinstance(each, ReleaseEvent)]


def events_of_an_account() -> list[AccountEvent]:
    account = Account.open(did=ALICE, at=START)
    account.sign_in(
        "s1",
        method="oauth",
        handle="alice.test",
        pds_url="https://pds.test",
        name="browser",
        scope="write",
        expires_at=START + timedelta(days=30),
        at=some_time(1),
    )
    account.issue_token("t1", name="ci", scope="read", expires_at=None, at=some_time(2))
    account.revoke_token("t1", at=some_time(3))
    account.sign_out("s1", at=some_time(4))
    account.disconnect(revoked=True, at=some_time(5))
    account.record_operator_action("pause", {"did": ALICE}, affected=1, reason="maintenance", at=some_time(6))
    account.request_leave(at=some_time(7))
    account.leave({"records": 0, "grant": "revoked"}, at=some_time(8))
    account.update_profile({"display_name": "Alice", "bio": "Words"}, at=some_time(9))
    return [each for each in account.collect_events() if isinstance(each, AccountEvent)]


def events_of_lists() -> list[published_events.PublishedEvent]:
    """One event of each class, of the lives of two lists."""
    now, references = some_time(60), {some_item("b").uri: some_item("B")}
    made = a_list(items=(some_item("A"), some_item("b")), record_requested=False)
    made.edit({"name": "new", "release_date": "2026-11-30"}, at=now)
    made.request_record(LISTS, at=now)
    made.set_artwork(some_artwork(), at=now)
    made.set_artwork(None, at=now)
    made.add(some_item("C"), before=some_item("b").uri, at=now)
    made.move(some_item("C").uri, before=None, at=now)
    made.refresh_references(references, at=now)
    made.reorder([some_item("C"), some_item("D"), some_item("A"), some_item("B")], at=now)
    made.remove(some_item("D").uri, at=now)
    theirs = [some_item("C"), some_item("E"), some_item("A")]
    made.take_over("bafytheirs", base=[item.uri for item in made.items], theirs=theirs, observed_at=now)
    made.set_visibility(Visibility.PRIVATE, at=now)
    made.record_missing(observed_at=now)
    made.restore_record(at=now)
    made.delete(at=now)
    made.undelete(at=now)
    made.record_foreign_edit("bafyforeign", observed_at=now)
    made.record_foreign_edit_withdrawn("bafyforeign", observed_at=now)
    made.adopt_foreign_edit("bafyforeign", {"name": "theirs", "items": (some_item("A"),)}, at=now)
    made.migrate_namespace("new.collection", at=now)
    made.take_down("a claim", at=now)
    made.lift_takedown("the claim was withdrawn", at=now)
    record = {"collection": LISTS, "rkey": "3kfound", "created_at": "2019-05-04T12:03:07Z"}
    made.adopt_record("bafyfound", [some_item("F"), some_item("B")], **record, at=now)
    adopted = TrackList.adopt(at=START, **list_fields(2, cid="bafyrecord"))
    return published_by(made, adopted)


def events_of_a_track() -> dict[str, published_events.PublishedEvent]:
    """One event of each class, of the lives of two tracks: one that was uploaded, one that was taken over."""
    now = some_time(60)
    steps: tuple[Step, ...] = (
        lambda t: t.edit({"title": "new", "album": None, "tags": ("b",)}, at=now),
        lambda t: t.set_artwork(some_artwork(2), at=now),
        lambda t: t.set_artwork(None, at=now),
        lambda t: t.set_unlisted(True, at=now),
        lambda t: t.replace_audio(some_audio(2), at=now),
        lambda t: t.request_blob_migration(at=now),
        lambda t: t.record_blob_failure("BlobTooLarge", final=False, at=now),
        lambda t: t.record_blob(some_blob(some_audio(2)), at=now),
        lambda t: t.record_missing(observed_at=now),
        lambda t: t.restore_record(at=now),
        lambda t: t.set_support_gate(SupportGate("any"), at=now),
        lambda t: t.set_support_gate(None, at=now),
        lambda t: t.delete(at=now),
        lambda t: t.undelete(at=now),
        lambda t: t.record_foreign_edit("bafyforeign", observed_at=now),
        lambda t: t.adopt_foreign_edit("bafyforeign", {"title": "theirs", "features": ()}, at=now),
    )
    track = a_track(
        album="old", features=(some_feature(),), tags=("a",), description="text", artwork=some_artwork()
    )
    for step in steps:
        step(track)
    adopted = an_adopted_track(blob=some_blob(some_audio(2)), image_url="https://elsewhere.test/cover")
    adopted.migrate_namespace(COLLECTION, at=now)
    adopted.take_down("a claim", at=now)
    adopted.refuse_bytes(at=now)
    adopted.lift_takedown("the claim was withdrawn", at=now)
    adopted.record_blob_lost("too_large", at=now)
    adopted.record_foreign_edit("bafyforeign", observed_at=now)
    adopted.record_foreign_edit_withdrawn("bafyforeign", observed_at=now)
    adopted.set_downloads(Downloads.OFF, at=now)
    adopted.set_comments(True, at=now)
    adopted.hide_comment(6, hidden=True, at=now)
    adopted.hide_comment(6, hidden=False, at=now)
    adopted.name_audio("new master", at=now)
    adopted.set_listening_key("a-key-that-nobody-can-guess", at=now)
    return {type(event).__name__: event for event in published_by(track, adopted)}
