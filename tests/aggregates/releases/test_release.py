"""A release keeps its files in order, and what its owner sets of each."""

import pytest

from aggregates.errors import DeletedError, InvalidFieldError
from aggregates.releases.release import Release
from aggregates.values import Downloads
from tests.dsl import a_release, replayed, some_artwork, some_file, some_time

NOW = some_time(60)


def names(release: Release) -> list[str]:
    return [type(event).__name__ for event in release.pending_events][1:]


def files(release: Release) -> list[str]:
    return [each.upload_id for each in release.files]


def test_a_file_comes_before_those_with_a_higher_number() -> None:
    release = a_release()
    for number in (2, None, 1, 3, None):
        file = some_file(len(release.files) + 1, number=number)
        release.add_file(file, at=NOW)
    assert [each.number for each in release.files] == [1, 2, 3, None, None]


def test_the_files_of_each_disc_come_in_their_order_and_those_that_name_no_disc_are_of_the_first() -> None:
    release = a_release()
    for place in ((2, 2), (1, 2), (None, 1), (2, 1), (None, None), (1, 3)):
        disc, number = place
        release.add_file(some_file(len(release.files) + 1, disc=disc, number=number), at=NOW)
    found = [(each.disc, each.number) for each in release.files]
    assert found == [(None, 1), (1, 2), (1, 3), (2, 1), (2, 2), (None, None)]


def test_a_file_that_is_not_there_is_not_removed() -> None:
    release = a_release()
    release.add_file(some_file(), at=NOW)
    release.remove_file("other", at=NOW)
    assert names(release) == ["FileAdded"]
    release.remove_file("upload1", at=NOW)
    assert (names(release), release.files) == (["FileAdded", "FilesArranged"], ())


def test_an_order_names_each_file_once() -> None:
    release = a_release()
    for number in (1, 2):
        release.add_file(some_file(number), at=NOW)
    for wanted in (["upload1"], ["upload1", "upload1"], ["upload1", "upload2", "upload3"]):
        with pytest.raises(InvalidFieldError):
            release.arrange([{"upload_id": each} for each in wanted], at=NOW)
    release.arrange([{"upload_id": each} for each in files(release)], at=NOW)
    assert names(release) == ["FileAdded", "FileAdded"]
    release.arrange([{"upload_id": "upload2", "title": "New"}, {"upload_id": "upload1"}], at=NOW)
    assert [(each.upload_id, each.title) for each in release.files] == [
        ("upload2", "New"),
        ("upload1", "Track 1"),
    ]


def test_an_order_stores_what_differs_of_each_file() -> None:
    release, text = a_release(), "see the notes " * 150
    for number in range(1, 4):
        release.add_file(some_file(number), at=NOW)
    for notes in (f"{text}old{text}", f"{text}new{text}", text):
        files = [{"upload_id": f"upload{each}", "title": "One", "description": notes} for each in (1, 2)]
        release.arrange([*files, {"upload_id": "upload3"}], at=NOW)
    release.arrange([{"upload_id": f"upload{each}"} for each in (3, 1, 2)], at=NOW)
    of_all = [vars(event)["files"] for event in release.pending_events[-4:]]
    assert [files[0] for files in of_all[:2]] == [
        {"upload_id": "upload1", "title": "One", "description": f"{text}old{text}"},
        {"upload_id": "upload1", "description": [len(text), len(text), "new"]},
    ]
    assert of_all[1][2] == {"upload_id": "upload3"}
    assert of_all[3] == [{"upload_id": f"upload{each}"} for each in (3, 1, 2)]
    again = replayed(release.collect_events())
    assert [each.description for each in again.files] == [None, text, text]


def test_the_same_values_are_no_edit() -> None:
    release = a_release(title="A", downloads=Downloads.ASK)
    release.edit({"title": "A", "downloads": Downloads.ASK, "artwork": None, "tags": ()}, at=NOW)
    assert names(release) == []
    release.edit({"title": None, "artwork": some_artwork()}, at=NOW)
    assert (names(release), release.title, release.changed_at) == (["Edited"], None, NOW)


def test_a_replay_makes_the_same_release() -> None:
    release = a_release(title="A", tags=("a",), downloads=Downloads.OFF)
    release.add_file(some_file(artwork=some_artwork()), at=NOW)
    release.arrange([{"upload_id": "upload1", "tags": ("b",)}], at=NOW)
    state = vars(release) | {"_pending_events": []}
    assert vars(replayed(release.collect_events())) == state


def test_a_deleted_release_changes_no_more() -> None:
    release = a_release()
    for _ in range(2):
        release.delete(at=NOW)
    with pytest.raises(DeletedError):
        release.edit({"title": "A"}, at=NOW)
    assert len(names(release)) == 1


def test_an_edit_makes_a_draft_of_a_release_that_failed() -> None:
    release = a_release()
    release.schedule(some_time(90), at=NOW)
    release.fail(["Track 7 has this audio"], at=NOW)
    assert (release.state, release.publish_at) == ("failed", None)
    release.set_preview("hash", at=NOW)
    assert (release.state, release.reasons) == ("failed", ("Track 7 has this audio",))
    release.edit({"title": "A"}, at=NOW)
    assert (release.state, release.reasons) == ("draft", ())
