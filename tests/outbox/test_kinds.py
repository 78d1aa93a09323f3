"""A second kind of record goes the way of the first, beside a track with the same id."""

import io
import tokenize
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import outbox
from aggregates.published import Subject
from aggregates.reactions.comment import Comment
from aggregates.tracks.track import Track
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import Conflict, conflict_of, keep_ours, keep_theirs
from outbox.mirror.requeue import reverify
from outbox.mirror.states import MirrorState
from outbox.relay.result import Outcome
from projections.history import history_page
from service.observability.subscribers import PROJECTIONS
from tests.dsl import A_RECORD, a_comment
from tests.outbox.rigs.relay_rig import ARTIST, Rig, memory_rig_on
from tests.outbox.rigs.wire import answered
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
COMMENTS = "fm.plyr.comment"


def some_comment(comment_id: int = 1, **fields: Any) -> Comment:
    return a_comment(comment_id, track_cid=A_RECORD["cid"], **fields)


class CommentRig(Rig):
    """A track and a comment with the id 1, both on the PDS."""

    PROJECTIONS = PROJECTIONS

    async def begins(self) -> Comment:
        self.upload()
        comment = self.saves(some_comment(did=self.did))
        await self.relay_once()
        return comment

    def edits(self, text: str) -> Comment:
        return self.command(1, lambda comment: comment.edit({"text": text}, at=self.clock()), of=Comment)

    def decides(self, keep: Callable[[UnitOfWork, Comment, Conflict], object]) -> None:
        """The owner decides between a text of another client and ours."""
        with self.log.unit_of_work(self.did, ARTIST) as unit:
            conflict = conflict_of(unit.connection, self.did, self.kinds["comment"], 1)
            assert conflict is not None
            assert conflict.fields == ["text"]
            keep(unit, unit.load(Comment, Comment.create_id(1)), conflict)

    def history(self) -> list[str]:
        with self.database.read() as connection:
            page = history_page(connection, self.did, 1, kind=Comment.TOPIC, newest_first=False)
        assert {entry.track_id for entry in page.items} == {None}
        return [entry.type for entry in page.items]


@pytest.fixture
async def both(migrated_url: str) -> AsyncIterator[CommentRig]:
    """A rig with both kinds."""
    async with memory_rig_on(migrated_url, CommentRig) as made:
        yield made


def left_alone(rig: CommentRig) -> None:
    """The track is as it was."""
    assert rig.mirror().state is MirrorState.DELIVERED
    with rig.database.read() as connection:
        assert [entry.type for entry in history_page(connection, rig.did, 1).items] == ["Created"]
    assert len(rig.attempts()) == 1


async def test_a_comment_is_created_edited_and_deleted_and_the_track_is_left_alone(both: CommentRig) -> None:
    comment = await both.begins()
    record = both.remote(comment)
    assert record is not None
    assert record["subject"] == {"uri": comment.track_uri, "cid": comment.track_cid}

    both.edits("once")
    both.edits("twice")
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    record = both.remote(comment)
    assert record is not None
    assert record["text"] == "twice"

    both.command(1, lambda comment: comment.delete(at=both.clock()), of=Comment)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    assert both.remote(comment) is None
    both.command(1, lambda comment: comment.undelete(at=both.clock()), of=Comment)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}

    assert (both.remote(comment) or {})["text"] == "twice"
    assert both.history() == ["Created", "Edited", "Edited", "Deleted", "Undeleted"]
    left_alone(both)


async def test_another_client_s_edit_of_a_comment_is_held_until_its_owner_wants_ours(
    both: CommentRig,
) -> None:
    comment = await both.begins()
    both.edits_elsewhere(comment, text="theirs")
    both.edits("ours")
    assert await both.relay_once() == {Outcome.HELD: 1}
    assert both.mirror(of=Comment).state is MirrorState.HELD

    both.decides(keep_ours)
    await both.relay_once()

    assert (both.remote(comment) or {})["text"] == "ours"
    left_alone(both)


async def test_another_client_s_edit_of_a_comment_is_adopted(both: CommentRig) -> None:
    comment = await both.begins()
    both.edits_elsewhere(comment, text="theirs")
    with both.database.write() as connection:
        reverify(connection, [Subject(Comment.TOPIC, 1)], both.clock())
    assert await both.relay_once() == {Outcome.HELD: 1}

    both.decides(keep_theirs)
    await both.relay_once()

    assert both.mirror(of=Comment).state is MirrorState.DELIVERED
    assert both.history() == ["Created", "ForeignEditObserved", "ForeignEditAdopted"]
    left_alone(both)


async def test_a_comment_moves_to_another_collection_and_a_track_with_its_id_does_not(
    both: CommentRig,
) -> None:
    comment = await both.begins()
    both.command(
        1, lambda comment: comment.migrate_namespace("com.example.other", at=both.clock()), of=Comment
    )
    await both.relay_once()
    await both.relay_once()

    assert both.pds.get_record(both.did, COMMENTS, comment.rkey) is None
    assert both.pds.get_record(both.did, "com.example.other", comment.rkey) is not None
    assert both.mirror(of=Comment).is_settled
    left_alone(both)


async def test_a_failing_comment_is_retried_and_no_track_with_its_id(both: CommentRig) -> None:
    await both.begins()
    both.edits("once")
    both.wire.faults += [answered(502, "BadGateway")]
    assert await both.relay_once() == {Outcome.FAILED: 1}
    assert both.mirror(of=Comment).failing_since is not None
    assert both.mirror().failing_since is None

    both.retry(1, of=Comment)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    left_alone(both)


async def test_comments_that_the_login_does_not_allow_wait_for_consent_and_tracks_go_on(
    both: CommentRig,
) -> None:
    comment = await both.begins()
    both.edits("once")
    both.wire.faults += [answered(403, "ScopeMissingError")]
    assert await both.relay_once() == {Outcome.FAILED: 1}
    mirror = both.mirror(of=Comment)
    assert (mirror.state, mirror.reason) == (MirrorState.PARKED, "needs_consent")

    both.command(1, lambda track: track.edit({"title": "goes on"}, at=both.clock()), of=Track)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    assert (both.remote(comment) or {})["text"] == "Comment 1"

    both.sign_in()
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    assert (both.remote(comment) or {})["text"] == "once"


async def test_edits_of_what_the_login_does_not_allow_are_sent_after_the_next_sign_in_alone(
    both: CommentRig,
) -> None:
    comment = await both.begins()
    both.wire.forbidden = {COMMENTS}
    for text, ends in (("once", Outcome.FAILED), ("twice", Outcome.WAITING), ("thrice", Outcome.WAITING)):
        both.edits(text)
        both.wire.sent.clear()
        assert await both.relay_once() == {ends: 1}
        assert await both.relay_once() == {}
        assert len(both.wire.sent) == (ends is Outcome.FAILED)
        assert both.mirror(of=Comment).reason == "needs_consent"
    both.retry(1, of=Comment)
    assert await both.relay_once() == {Outcome.FAILED: 1}

    both.wire.forbidden = ()
    both.sign_in()
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    assert (both.remote(comment) or {})["text"] == "thrice"
    left_alone(both)


async def test_what_was_never_written_for_want_of_consent_is_deleted_without_it(both: CommentRig) -> None:
    await both.begins()
    both.wire.forbidden = {COMMENTS}
    both.saves(some_comment(2, did=both.did))
    await both.relay_once()
    both.command(2, lambda comment: comment.delete(at=both.clock()), of=Comment)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    assert both.mirror(2, of=Comment).is_settled


async def test_several_comments_that_the_login_does_not_allow_are_refused_as_a_batch_too(
    both: CommentRig,
) -> None:
    await both.begins()
    several = [both.saves(some_comment(number, did=both.did)) for number in range(2, 6)]
    await both.relay_once()
    for each in several:
        both.command(
            each.comment_id, lambda comment: comment.edit({"text": "more"}, at=both.clock()), of=Comment
        )
    both.wire.faults += [answered(403, "ScopeMissingError") for _ in range(9)]
    await both.relay_once()
    assert {both.mirror(each.comment_id, of=Comment).reason for each in several} == {"needs_consent"}

    both.wire.faults.clear()
    both.command(1, lambda track: track.edit({"title": "goes on"}, at=both.clock()), of=Track)
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    both.sign_in()
    await both.relay_once()
    assert {both.mirror(each.comment_id, of=Comment).state for each in several} == {MirrorState.DELIVERED}


def test_nothing_in_the_outbox_names_a_track_outside_its_kind_s_folder() -> None:
    package = Path(outbox.__file__).parent
    named = {
        f"{file.relative_to(package)}:{token.start[0]} {token.string}"
        for file in package.rglob("*.py")
        if not {package / "tracks", package / "reactions", package / "lists"} & {*file.parents}
        for token in tokenize.generate_tokens(io.StringIO(file.read_text("utf-8")).readline)
        if token.type == tokenize.NAME and "track" in token.string.lower()
    }
    assert named == set()
