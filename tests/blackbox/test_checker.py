"""The checker refuses recordings that no correct service could have made."""

from dataclasses import replace

import pytest

from tests.blackbox.checker import faults
from tests.blackbox.recording import Call, Entry, Kind, Look, Recording

CREATED = Entry(1, 10, "c", "Created", "first")
EDITED = Entry(2, 20, "e", "MetadataUpdated", "second")
DELETED = Entry(3, 30, "d", "Deleted")
UNDELETED = Entry(4, 40, "u", "Undeleted")
ALL = (CREATED, EDITED, DELETED, UNDELETED)
EDIT = Call("e", Kind.EDIT, 1, 1.0, 2.0, 200, 2, "second")
DELETE = Call("d", Kind.DELETE, 1, 3.0, 4.0, 200)
UNDELETE = Call("u", Kind.UNDELETE, 1, 5.0, 6.0, 200, 4)
EARLY = Call("h1", Kind.HISTORY, 1, 2.1, 2.2, 200, entries=ALL[:2])
READ = Call("r1", Kind.READ, 1, 2.3, 2.4, 200, 2, "second")
GONE = Call("r2", Kind.READ, 1, 4.1, 4.2, 404)
LAST = Call("h2", Kind.HISTORY, 1, 7.0, 8.0, 200, entries=ALL)


def recorded(*calls, looks=(), end="second"):
    return Recording([*calls, LAST], list(looks), [Look(1, 9.0, end)])


def test_a_run_in_which_all_agrees_is_accepted():
    looks = [Look(1, 0.5, "first"), Look(1, 2.5, "second"), Look(1, 4.5, None), Look(1, 6.5, "second")]
    assert faults(recorded(EDIT, DELETE, UNDELETE, EARLY, READ, GONE, looks=looks)) == []


def test_a_write_that_was_never_answered_may_be_there_or_not():
    unanswered = Call("x", Kind.EDIT, 1, 1.0, 31.0, None, None, "third")
    assert faults(recorded(EDIT, DELETE, UNDELETE, unanswered)) == []
    assert faults(recorded(replace(EDIT, status=None, over_at=31.0), DELETE, UNDELETE)) == []


def test_a_read_during_a_write_may_show_either_side_of_it():
    during = replace(READ, sent_at=1.2, over_at=1.8)
    assert faults(recorded(EDIT, DELETE, UNDELETE, during)) == []
    assert faults(recorded(EDIT, DELETE, UNDELETE, replace(during, version=1, title="first"))) == []


def test_a_write_that_found_nothing_to_change_shows_a_state():
    again = replace(UNDELETE, request="y", sent_at=6.1, over_at=6.2, title="second")
    assert faults(recorded(EDIT, DELETE, UNDELETE, again)) == []


WRONG = {
    "an acknowledged edit is lost": recorded(Call("x", Kind.EDIT, 1, 1.0, 2.0, 200, 5, "lost")),
    "an undelete that is not in the history was answered": recorded(
        EDIT, DELETE, replace(UNDELETE, request="y", sent_at=4.1, over_at=4.2, version=2, title="second")
    ),
    "a refused edit was done": recorded(replace(EDIT, status=412, version=None)),
    "an edit is in the history with another title": recorded(replace(EDIT, title="other")),
    "an edit was told another version": recorded(replace(EDIT, version=3)),
    "a later edit comes before an earlier one": recorded(replace(EDIT, sent_at=7.0, over_at=8.0), DELETE),
    "an edit for version 3 made version 2": recorded(replace(EDIT, if_match=3)),
    "a read shows the title before an acknowledged edit": recorded(
        EDIT, replace(READ, version=1, title="first")
    ),
    "a read shows an edit that was not sent yet": recorded(EDIT, replace(READ, sent_at=0.1, over_at=0.2)),
    "a read shows a deleted track": recorded(EDIT, DELETE, replace(READ, sent_at=4.1, over_at=4.2)),
    "a read goes back behind an earlier one": recorded(
        replace(EDIT, over_at=9.0),
        replace(READ, over_at=2.35),
        replace(READ, request="r", sent_at=2.5, over_at=2.6, version=1, title="first"),
    ),
    "a history has lost an entry": recorded(replace(EARLY, entries=(CREATED, replace(EDITED, title="gone")))),
    "the PDS ends with an older title": recorded(EDIT, end="first"),
    "the PDS still has a deleted record": Recording(
        [DELETE, replace(LAST, entries=ALL[:3])], [], [Look(1, 9.0, "second")]
    ),
    "the PDS went back to an older title": recorded(
        EDIT, looks=[Look(1, 2.5, "second"), Look(1, 2.6, "first")]
    ),
    "the PDS had a title of nobody": recorded(EDIT, looks=[Look(1, 2.5, "of nobody")]),
    "a write is in the history twice": Recording(
        [EDIT, replace(LAST, entries=(CREATED, EDITED, replace(EDITED, version=3, position=25)))]
    ),
    "a version is missing": Recording([replace(LAST, entries=(CREATED, replace(EDITED, version=3)))]),
    "positions are not in the order of versions": Recording(
        [replace(LAST, entries=(CREATED, replace(EDITED, position=5)))]
    ),
}


@pytest.mark.parametrize("recording", WRONG.values(), ids=WRONG)
def test_a_recording_is_refused_where(recording: Recording):
    assert faults(recording)
