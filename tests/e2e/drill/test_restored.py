"""The SQLite file of a service is put back to an earlier copy, by hand."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

from demo.service import Service
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.e2e.drill.drill import Drill, operator
from tests.waits import until

pytestmark = DRILL


def copied(live: Path, copy: Path) -> None:
    """Copy the database as SQLite does it, beside the service."""
    with contextlib.closing(sqlite3.connect(live)) as source, contextlib.closing(sqlite3.connect(copy)) as to:
        source.backup(to)


def put_back(live: Path, copy: Path) -> None:
    for rest in ("-wal", "-shm"):
        live.with_name(live.name + rest).unlink(missing_ok=True)
    shutil.copyfile(copy, live)


def adopts_what_is_newer(drill: Drill) -> None:
    """The artists take what their PDS has."""
    for writer in drill.writers:
        artist = writer.artist
        until(lambda artist=artist: artist.mirror["state"] == "held")
        path = f"/tracks/{artist.track_id}/mirror/resolve"
        assert artist.client.http.post(path, json={"keep": "theirs"}).is_success
        until(lambda artist=artist: artist.mirror["state"] == "delivered")


def test_what_the_pds_has_comes_back_after_a_restore_and_what_was_in_the_lost_file_alone_does_not(
    service: Service, begin: Begin, tmp_path: Path
) -> None:
    drill = begin(service)
    live = Path(service.settings["MASTERTAPE_DATA"]) / "mastertape.db"
    before = [list(writer.acknowledged) for writer in drill.writers]
    copied(live, tmp_path / "copy.db")
    after = [len(writer.acknowledged) + 1 for writer in drill.writers]  # one edit may be under way
    drill.edits_are_acknowledged()
    drill.stops()
    until(lambda: all(writer.is_delivered for writer in drill.writers))

    service.stop()
    put_back(live, tmp_path / "copy.db")
    service.start()
    drill.looks("started on the earlier copy")
    assert operator(service, "recovered").returncode == 0
    drill.looks("after `mastertape recovered`")
    verified = operator(service, "verify", "pds")
    assert verified.returncode == 3, verified
    drill.looks("after `mastertape verify pds`")

    adopts_what_is_newer(drill)
    for writer, titles, since in zip(drill.writers, before, after, strict=True):
        assert {*titles, writer.acknowledged[-1]} <= {*writer.titles}
        in_lost_file_alone = {*writer.acknowledged[since:-1]}
        assert in_lost_file_alone
        assert not in_lost_file_alone & {*writer.titles}
        assert writer.artist.client.track(writer.artist.track_id)["title"] == writer.acknowledged[-1]
    drill.is_told("restored", "The database was put back to an earlier point")
