"""`mastertape migrate`, `rebuild`, `verify projections` and `history`."""

import json
import re
from typing import Any

from sqlalchemy import text

from service.schema.migrate import newest
from service.wiring.bootstrap import Container
from tests.servers.databases import ON_SQLITE
from tests.service.cli.conftest import Type

pytestmark = ON_SQLITE


def spoil(container: Container) -> None:
    with container.database.write() as connection:
        connection.execute(text("update tracks set title = 'spoilt'"))
        connection.execute(text("delete from history where version = 1"))


def test_migrate(on_empty: Type) -> None:
    assert on_empty("migrate", "--dry-run").output == f"empty -> {newest()} (not written)\n"
    assert json.loads(on_empty("migrate", "--json").output) == {
        "before": None,
        "after": newest(),
        "written": True,
    }
    assert on_empty("migrate").output == f"the schema is at {newest()} already\n"


def test_verify_finds_no_difference_in_current_read_models(on_tape: Type, tape: Container) -> None:
    result = on_tape("verify", "projections")
    assert result.exit_code == 0
    assert result.output == f"{len(tape.log.projections)} projections agree with the log\n"
    assert json.loads(on_tape("verify", "projections", "--json").output) == {"differences": []}


def test_verify_counts_what_differs_names_it_on_demand_and_exits_with_3(
    on_tape: Type, tape: Container
) -> None:
    spoil(tape)
    with tape.database.write() as connection:
        connection.execute(text("delete from history"))
    for details, rows_of_history in (([], 1), (["--all"], 2)):
        result = on_tape("verify", "projections", *details)
        summary, *table = result.output.splitlines()
        assert (result.exit_code, summary) == (3, "3 rows differ: 2 in history, 1 in tracks")
        assert sum("history" in line for line in table) == rows_of_history
        assert "track_id=1: title is 'spoilt', not 'Second'" in result.output
    result = on_tape("verify", "projections", "--json")
    assert result.exit_code == 3
    found = {each["table"]: each["kind"] for each in json.loads(result.output)["differences"]}
    assert found == {"tracks": "changed", "history": "missing"}


def test_verify_without_a_part_verifies_all_of_them(on_tape: Type, tape: Container) -> None:
    for path in (tape.settings.data / "media").rglob("bafk*"):
        path.unlink()
    result = on_tape("verify", "--json")
    parts = [next(iter(json.loads(line))) for line in result.stdout.splitlines()]
    assert (result.exit_code, parts) == (3, ["differences", "repos", "findings"])
    assert on_tape("verify", "--json", "projections").exit_code == 2


def test_times_for_machines_are_written_as_http_writes_them(on_tape: Type) -> None:
    row = json.loads(on_tape("history", "1", "--json").output.splitlines()[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["at"])


def test_rebuild_corrects_what_differs(on_tape: Type, tape: Container) -> None:
    spoil(tape)
    assert on_tape("rebuild", "--dry-run").output == "history: 1 rows differ\ntracks: 1 rows differ\n"
    assert on_tape("verify", "projections").exit_code == 3
    result = on_tape("rebuild", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.output)
    assert answer["written"]
    assert answer["rows"] == {"tracks": 1, "history": 1}
    assert on_tape("rebuild").output == "nothing differed\n"
    assert on_tape("verify", "projections").exit_code == 0


def test_rebuild_of_one_leaves_the_others(on_tape: Type, tape: Container) -> None:
    spoil(tape)
    assert on_tape("rebuild", "history").output == "history: 1 rows corrected\n"
    found = json.loads(on_tape("verify", "projections", "--json").output)["differences"]
    assert [each["table"] for each in found] == ["tracks"]


def test_rebuild_names_what_there_is(on_tape: Type, tape: Container) -> None:
    names = ", ".join(projection.name for projection in tape.log.projections)
    refused = on_tape("rebuild", "x")
    assert (refused.exit_code, f"there is no projection 'x'; there are {names}" in refused.output) == (
        2,
        True,
    )


def test_history_shows_actor_change_time_and_delivery(on_tape: Type) -> None:
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in on_tape("history", "1", "--json").output.splitlines()
    ]
    assert [(row["version"], row["type"], row["actor"], row["via"]) for row in rows] == [
        (1, "Created", "artist", "test"),
        (2, "MetadataUpdated", "artist", "test"),
    ]
    assert rows[1]["changes"] == [{"field": "title", "before": "Track 1", "after": "Second"}]
    assert rows[1]["delivery"]["status"] == "parked"
    said = on_tape("history", "1").output
    assert (
        "MetadataUpdated by artist via test; on the PDS: parked\n    title: 'Track 1' -> 'Second'\n" in said
    )
    assert "features" not in said


def test_history_of_no_track(on_tape: Type) -> None:
    result = on_tape("history", "2")
    assert (result.exit_code, result.output) == (1, "Error: there is no track 2\n")
    assert on_tape("history", str(2**63)).exit_code == 2
