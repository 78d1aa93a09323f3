"""A well-signed file that no service has written is refused with a sentence, and nothing of it is imported."""

import json
from contextlib import closing

import pytest
from sqlalchemy import select

from replay.dump import EXPORTED, import_dump, read_lines, write_lines
from replay.errors import BrokenDumpError, ImpossibleDumpError
from service.wiring.log import open_log
from tests.api.world import did_of
from tests.replay.test_dump import EXPORT_OF_0031
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

WHEN = "2026-11-30T02:37:35+00:00"


def first(kind):
    return next(row for each, row in lines_of() if each == kind)


def lines_of():
    with EXPORT_OF_0031.open("rb") as file:
        _, *lines = read_lines(file)
    return [(line.kind, line.row) for line in lines]


def with_row(kind, **values):
    """Change the first row of a kind."""

    def change(rows):
        at = next(number for number, (each, _) in enumerate(rows) if each == kind)
        rows[at] = (kind, {**rows[at][1], **values})

    return change


def with_more(kind, **values):
    def change(rows):
        rows.append((kind, {**first(kind), **values}))

    return change


def of_event(position, /, **values):
    def change(rows):
        rows[position - 1][1].update(values)

    return change


def without_event(position):
    def change(rows):
        del rows[position - 1]

    return change


def job(**values):
    row = {"id": 1, "kind": "reaction", "subject": "like/1/1", "account": did_of("alice"), "host": ""}
    row |= {"state": "waiting", "due": WHEN, "attempts": 0, "actor": "", "via": "job", "request_id": ""}
    row |= dict.fromkeys(("problem", "failing_since", "first_error", "progress"))
    row |= {"requested_at": WHEN, **dict.fromkeys(("ended_at", "began_at", "began_by", "stopped_at"))}

    def change(rows):
        rows.append(("job", {**row, **values}))

    return change


upload = {"upload_id": "u", "did": did_of("alice"), "release_id": 7, "name": "n", "length": None}
upload |= {"received": 0, "parts": [], "reason": None, "begun_at": WHEN}

UNTITLED = {
    "timestamp": {"_type_": "datetime_iso", "_data_": WHEN},
    "changes": {"title": None},
}

NONSENSE = {
    "a table that is not exported": (with_more("account"), lambda rows: rows.append(("credential", {}))),
    "an unknown column": with_row("account", secret="x"),
    "a number for a text": with_row("account", handle=7),
    "a text for a number": with_row("media", size="8177"),
    "a truth value for a number": with_row("delivery_attempt", gen=True),
    "a number that is too large": with_row("mirror_lane", failures=2**31),
    "a null": with_row("mirror_target", rkey=None),
    "a list for a text": with_row("account", display_name=["x"]),
    "a text with a zero byte": with_row("account", display_name="x\0"),
    "half a character": with_row("account", display_name="\ud800"),
    "no time": with_row("account", created_at="soon"),
    "a time without its zone": with_row("account", created_at="2026-11-30T02:37:35"),
    "no base64": with_row("mirror_target", observed_body="?"),
    "an unknown state": with_row("mirror_lane", state="asleep"),
    "a job in an unknown state": job(state="asleep"),
    "the same row twice": with_more("account"),
    "two current records of a track": with_more("mirror_target", rkey="another"),
    "a record of a track that is not there": with_row("mirror_target", track_id=77),
    "a record of another account's track": with_row("mirror_target", did=did_of("bob")),
    "an upload to no release": lambda rows: rows.append(("release_upload", upload)),
    "an upload of no track": with_row("blob_job", track_id=77),
    "a peer's id of no track": with_row("peer_track", track_id=77),
    "an event that follows none": without_event(1),
    "a gap in a stream": without_event(4),
    "an event of another account's stream": of_event(4, did=did_of("bob")),
    "a stream of another account": of_event(2, did=did_of("alice")),
    "an unknown event": of_event(4, topic="track.sung.v1"),
    "a module for an event": of_event(4, topic="json.tool"),
    "an event that is no JSON": of_event(4, state="{"),
    "an event that is a list": of_event(4, state="[]"),
    "an event without its values": of_event(7, state="{}"),
    "an event whose read model has no such value": of_event(7, state=json.dumps(UNTITLED)),
    "an event before the first position": of_event(2, position=0),
}


@pytest.fixture
def refused(elsewhere_sqlite, world, tmp_path):
    """Imports a file with these lines, which is refused; returns why."""

    def of(rows, **header):
        path = tmp_path / "dump"
        path.write_bytes(b"".join(write_lines({"schema": "0031", **header}, rows)))
        settings = world.made.settings.model_copy(update={"database_url": elsewhere_sqlite})
        with closing(open_log(settings)) as log:
            with pytest.raises((BrokenDumpError, ImpossibleDumpError)) as found:
                import_dump(log, path, schema="1", lines=lambda _: None, progress=lambda *_: None)
            with log.database.read() as connection:
                for each in EXPORTED:
                    assert connection.execute(select(each.table)).first() is None, each.kind
        assert "Nothing was imported" in str(found.value)
        return str(found.value)

    return of


def test_nonsense_is_refused_and_none_of_it_imported(refused):
    for what, changes in NONSENSE.items():
        rows = json.loads(json.dumps(lines_of()))
        for change in changes if isinstance(changes, tuple) else (changes,):
            change(rows)
        assert refused([(kind, row) for kind, row in rows]), what


def test_nonsense_in_the_header_is_refused(refused):
    for header in ({"schema": ["0031"]}, {"schema": None}, {"id_boundary": "1"}, {"did": 7}):
        refused(lines_of(), **header)


def test_rows_of_another_account_in_an_accounts_own_export_are_refused(refused):
    assert "another account" in refused(lines_of(), did=did_of("alice"))
