"""An imported log is the log that was exported, and goes on; of a changed file nothing is imported."""

import asyncio
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from eventstore.sql.schema import metadata, stored_event
from eventstore.streams.buckets import BUCKETS, bucket_of
from eventstore.streams.ids import boundary_of, bucket_of_older, next_subject_id, peer_track
from outbox.mirror.lanes import park_lane
from projections.reactions import outsider_reaction
from projections.tracks.table import tracks
from replay.dump import (
    EXPORTED,
    account_lines,
    check_dump,
    export,
    import_dump,
    read_lines,
    write_lines,
)
from replay.errors import BrokenDumpError, NotEmptyError
from service.wiring.log import open_log
from tests.api.client import TestClient
from tests.api.world import World, did_of, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

EXPORT_OF_0031 = Path(__file__).with_name("export_of_0031.jsonl")
"""The same past, as the version before ids carried buckets has exported it."""
LARGEST = 5000
"""The id that a track had elsewhere; no new one may have it."""
ROWS = [("event", {"position": n, "title": f"Ü {n}", "none": None}) for n in range(5)]


@pytest.fixture
def past(world):
    """A service where much has happened: delivered, changed since, held, deleted, with a blob and a cover, a token."""
    with TestClient(world.app) as client:
        alice, bob = world.sign_in("alice"), world.sign_in("bob")
        first = upload(client, alice, seed=1, title="Überall", tags=["a", "b"], image=samples.png())
        upload(client, bob, seed=2)
        third = upload(client, alice, seed=3)
        client.post(f"/tracks/{first['id']}/migrate-to-pds", headers={**alice.headers, "Prefer": "wait=0"})
        world.deliver()
        client.delete(f"/tracks/{third['id']}", headers=alice.headers)
        world.deliver()
        client.patch(f"/tracks/{first['id']}", json={"title": "newest"}, headers=alice.headers)
        client.post("/auth/tokens", json={"name": "ci"}, headers=alice.headers)
    with world.database.write() as connection:
        park_lane(connection, bob.did)
        row = {"peer_id": LARGEST, "did": alice.did, "track_id": first["id"]}
        connection.execute(peer_track.insert().values(row))
        said = {
            "kind": "like",
            "author": did_of("carol"),
            "host": "https://other.example.com",
            "created_at": "then",
        }
        place = {"did": alice.did, "track_id": first["id"], "collection": "c", "rkey": "r"}
        of_outsider = {"subject_id": next_subject_id(connection, alice.did), **place, **said}
        connection.execute(outsider_reaction.insert().values(of_outsider))
    return world


def rows(database, names):
    with database.read() as connection:
        tables = [metadata.tables[name] for name in names]
        return {
            table.name: sorted(map(_text, connection.execute(select(table)).mappings())) for table in tables
        }


def _text(row):
    return json.dumps(dict(row), sort_keys=True, default=repr)  # PostgreSQL orders the keys of JSON anew


def exported(world, path):
    export(world.database, path, schema="1", lines=lambda _: None)
    return path


def imported(world, url, path):
    log = open_log(world.made.settings.model_copy(update={"database_url": url}))
    try:
        import_dump(log, path, schema="1", lines=lambda _: None, progress=lambda *_: None)
    except BaseException:
        log.close()
        raise
    return log


@ON_SQLITE
def test_lists_and_who_follows_which_record_are_as_they_were(past, elsewhere, tmp_path):
    with TestClient(past.app) as client:
        [first, *_] = client.get(f"/tracks?artist={did_of('alice')}").json()["items"]
        own = {"title": "Album", "tracks": [{"track_id": first["id"]}]}
        for person, path, body in (
            ("alice", "/albums", own),
            ("bob", "/playlists", {"name": "List", "tracks": own["tracks"]}),
            ("bob", "/playlists", {"name": "Still", "tracks": own["tracks"], "follow": False}),
        ):
            answer = client.post(path, json=body, headers=past.sign_in(person).headers)
            assert answer.status_code == 201, answer.text
    past.deliver()
    past.carry()
    log = imported(past, elsewhere, exported(past, tmp_path / "dump"))
    found = rows(log.database, ["track_list", "list_item", "list_follower"])
    assert found == rows(past.database, [*found])
    assert [len(each) for each in found.values()] == [3, 3, 1]
    log.database.close()


def test_an_accounts_own_export_has_its_rows_alone(past, elsewhere, tmp_path):
    path, alice = tmp_path / "own", did_of("alice")
    path.write_bytes(b"".join(account_lines(past.database, alice, schema="1")))
    log = imported(past, elsewhere, path)
    for table in ("history", "tracks", "mirror_target", "delivery_attempt", "account", "peer_track"):
        own = [row for row in rows(past.database, [table])[table] if alice in row]
        found = rows(log.database, [table])[table]
        assert found == own != []
        assert did_of("bob") not in "".join(found)
    assert rows(log.database, ["pds_host"])["pds_host"] == []
    assert len(rows(log.database, ["media"])["media"]) == 4
    log.database.close()


def test_no_observation_in_it_is_ahead_of_its_events(past, tmp_path):
    """Else what is written next there would pass for delivered."""
    lines = account_lines(past.database, did_of("alice"), schema="1")
    taken = [next(lines) for _ in range(4)]
    past.deliver()
    with TestClient(past.app) as client:
        [first, *_] = client.get(f"/tracks?artist={did_of('alice')}").json()["items"]
        edited = client.patch(
            f"/tracks/{first['id']}", json={"title": "later"}, headers=past.sign_in("alice").headers
        )
        assert edited.status_code == 200
    past.deliver()
    path = tmp_path / "own"
    path.write_bytes(b"".join([*taken, *lines]))
    with path.open("rb") as file:
        found = list(read_lines(file))
    newest = max(line.row["position"] for line in found if line.kind == "stored_event")
    acked = [line.row["acked_gen"] for line in found if line.kind == "mirror_target"]
    assert max(acked) <= newest
    assert newest == max(_positions(past.database))


def test_an_imported_service_goes_on_and_takes_its_records_for_its_own(past, elsewhere, tmp_path):
    log = imported(past, elsewhere, exported(past, tmp_path / "dump"))
    log.database.close()
    moved = World(past.made.settings.model_copy(update={"database_url": elsewhere}))
    moved.pds.accounts.update(past.pds.accounts)
    with TestClient(moved.app) as client:
        alice = moved.sign_in("alice")
        moved.deliver()
        [old] = [each for each in client.get("/tracks").json()["items"] if each["artist_did"] == alice.did]
        track = client.get(f"/tracks/{old['id']}").json()
        assert (track["mirror"]["state"], track["title"]) == ("delivered", "newest")
        assert moved.record(track)["title"] == "newest"
        new = upload(client, alice, seed=9)
        assert new["id"] == (LARGEST + 1) * BUCKETS + bucket_of(alice.did)
        newest, before = (max(_positions(each.database)) for each in (moved, past))
        assert newest > before
    asyncio.run(moved.made.close())


def test_older_ids_are_found_after_an_import_and_an_export_and_new_ones_are_larger(
    world, elsewhere, tmp_path
):
    import_dump(world.log, EXPORT_OF_0031, schema="1", lines=lambda _: None, progress=lambda *_: None)
    with TestClient(world.app) as client:
        alice = world.sign_in("alice")
        new = upload(client, alice, seed=9)["id"]
    assert new == (LARGEST + 1) * BUCKETS + bucket_of(alice.did)
    moved = imported(world, elsewhere, exported(world, tmp_path / "mixed"))
    for database in (world.database, moved.database):
        with database.write() as connection:
            owners = dict(connection.execute(select(tracks.c.track_id, tracks.c.did)).all())
            found = {each: bucket_of_older(connection, each) or each % BUCKETS for each in owners}
            assert next_subject_id(connection, did_of("bob")) // BUCKETS > new // BUCKETS
        assert sorted(owners) == [1, 2, 3, new]
        assert found == {each: bucket_of(did) for each, did in owners.items()}
    moved.database.close()


@ON_SQLITE
def test_new_ids_are_larger_than_those_of_an_imported_log_that_no_peer_numbered(past, elsewhere, tmp_path):
    with EXPORT_OF_0031.open("rb") as file:
        header, *lines = read_lines(file)
    kept = [(line.kind, line.row) for line in lines if line.kind != "peer_track"]
    (tmp_path / "kept").write_bytes(b"".join(write_lines(header.row, kept)))
    log = imported(past, elsewhere, tmp_path / "kept")
    with log.database.write() as connection:
        assert next_subject_id(connection, did_of("bob")) > boundary_of(connection) == 4 * BUCKETS
    log.database.close()


@pytest.mark.parametrize(("path", "fields"), [("/releases", {}), ("/playlists", {"visibility": "private"})])
@ON_SQLITE
def test_new_ids_are_larger_than_those_of_what_never_had_a_record(world, elsewhere, tmp_path, path, fields):
    with TestClient(world.app) as client:
        alice = world.sign_in("alice")
        body = {"name": "P", **fields} if fields else {}
        made = client.post(path, json=body, headers=alice.headers).json()
    moved = imported(world, elsewhere, exported(world, tmp_path / "dump"))
    with moved.database.write() as connection:
        assert next_subject_id(connection, did_of("bob")) // BUCKETS > made["id"] // BUCKETS
    moved.database.close()


def _positions(database):
    with database.read() as connection:
        return connection.scalars(select(stored_event.c.position)).all()


@ON_SQLITE
def test_a_database_that_holds_something_is_left_alone(past, tmp_path):
    path = exported(past, tmp_path / "dump")
    before = rows(past.database, [each.table.name for each in EXPORTED])
    with pytest.raises(NotEmptyError):
        import_dump(past.log, path, schema="1", lines=lambda _: None, progress=lambda *_: None)
    assert rows(past.database, [each.table.name for each in EXPORTED]) == before


@ON_SQLITE
def test_of_a_broken_file_nothing_is_imported(past, elsewhere, tmp_path):
    path = exported(past, tmp_path / "dump")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-2], lines[-1]]))
    with pytest.raises(BrokenDumpError) as refused:
        imported(past, elsewhere, path)
    assert refused.value.line == len(lines) - 1
    log = open_log(past.made.settings.model_copy(update={"database_url": elsewhere}))
    assert not any(rows(log.database, [each.table.name for each in EXPORTED]).values())
    log.database.close()


@ON_SQLITE
def test_a_dump_file_has_no_secret_and_is_refused_under_another_schema(past, tmp_path):
    path = exported(past, tmp_path / "dump")
    with pytest.raises(BrokenDumpError, match="schema"):
        check_dump(path, schema="2", lines=lambda _: None)
    assert not {"access", "refresh", "sealed", "token"} & {
        column.name for each in EXPORTED for column in each.table.columns
    }
    assert "mt_" not in path.read_text()


@pytest.fixture
def dump_lines():
    return list(write_lines({"schema": "1"}, ROWS))


def broken_at(lines):
    with pytest.raises(BrokenDumpError) as refused:
        list(read_lines(lines))
    assert f"line {refused.value.line}:" in str(refused.value)
    return refused.value.line


def test_a_dump_file_is_read_as_it_was_written(dump_lines):
    header, *lines = read_lines(dump_lines)
    assert header.row == {"format": 1, "schema": "1"}
    assert [(line.kind, line.row) for line in lines] == ROWS
    assert [line.kind for line in read_lines(write_lines({}, []))] == ["header"]


@pytest.mark.parametrize("line", [0, 3, 6])
def test_a_changed_line_is_named(dump_lines, line):
    changed = json.loads(dump_lines[line])
    changed["row"]["title"] = "another"
    dump_lines[line] = json.dumps(changed).encode() + b"\n"
    assert broken_at(dump_lines) == line + 1


@pytest.mark.parametrize("line", [0, 3, 6])
def test_half_a_line_is_named(dump_lines, line):
    dump_lines[line] = dump_lines[line][: len(dump_lines[line]) // 2]
    assert broken_at(dump_lines) == line + 1


@pytest.mark.parametrize("line", [1, 4])
def test_a_lost_line_a_copied_one_a_moved_one_and_a_truncated_file_are_noticed(dump_lines, line):
    assert broken_at(dump_lines[:line] + dump_lines[line + 1 :]) == 6
    assert broken_at(dump_lines[: line + 1] + dump_lines[line:]) == 8
    assert broken_at(dump_lines[:line]) == line + 1
    dump_lines.insert(line, dump_lines.pop(line + 1))
    assert broken_at(dump_lines) == 7


def test_nothing_may_follow_the_end(dump_lines):
    assert broken_at([*dump_lines, dump_lines[1]]) == 8
    assert broken_at([*dump_lines, *dump_lines]) == 8


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"null\n", b"[]\n", b'{"kind": 1}\n', b"\xff\n", b"[" * 100_000, b"{}\n"]
)
def test_what_is_no_line_of_a_dump_file_is_refused(line):
    assert broken_at([line]) == 1


def test_a_dump_file_of_a_later_format_or_without_a_header_is_refused(dump_lines):
    assert broken_at(write_lines({"format": 2}, ROWS)) == 1
    assert broken_at(dump_lines[1:]) == 1
    assert broken_at([dump_lines[0], *dump_lines]) == 2
