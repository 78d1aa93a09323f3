"""A like keeps the version of the track that it was made for, and waits while there is none."""

import pytest

from tests.dsl import a_like, some_time

NOW = some_time(60)


def names(like):
    return [type(event).__name__ for event in like.collect_events()]


def test_a_like_of_a_track_without_a_record_is_no_record_before_that_one_is_known():
    like = a_like(track_cid=None)
    like.delete(at=NOW)
    like.like_again(None, at=NOW)
    like.record_subject("bafytrack", at=NOW)
    like.record_subject("bafyother", at=NOW)
    assert like.track_cid == "bafytrack"
    events = like.collect_events()
    assert [type(each).__name__ for each in events] == ["Created", "Deleted", "Undeleted", "SubjectKnown"]
    assert [each.sets_generation() for each in events] == [False, True, False, True]


@pytest.mark.parametrize(("first", "kept"), [("bafytrack", "bafytrack"), (None, "bafynewer")])
def test_a_like_that_comes_back_keeps_its_version_if_it_had_one(first, kept):
    like = a_like(track_cid=first)
    like.delete(at=NOW)
    like.like_again("bafynewer", at=NOW)
    assert (like.track_cid, like.deleted_at) == (kept, None)
    assert names(like) == ["Created", "Deleted", "Undeleted"]


def test_liking_again_changes_nothing_but_a_record_that_another_client_deleted():
    like = a_like()
    like.like_again("bafynewer", at=NOW)
    assert names(like) == ["Created"]
    like.record_missing(observed_at=NOW)
    like.like_again("bafynewer", at=NOW)
    assert (like.track_cid, like.record_missing_since) == ("bafytrack", None)
    assert names(like) == ["RecordMissing", "RecordRestored"]


def test_a_deleted_like_learns_nothing_of_its_track():
    like = a_like(track_cid=None)
    like.delete(at=NOW)
    like.record_subject("bafytrack", at=NOW)
    assert like.track_cid is None
