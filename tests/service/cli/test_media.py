"""`mastertape verify media`."""

import json

from service.wiring.bootstrap import Container
from tests.dsl import a_track, some_audio
from tests.servers.databases import ON_SQLITE
from tests.service.cli.conftest import Type
from tests.service.conftest import save

pytestmark = ON_SQLITE  # what matters here is what is said

CID = "bafkreia" + "a" * 51


def test_missing_bytes_are_counted_and_listed_on_demand_with_their_whole_cid(
    on_tape: Type, tape: Container
) -> None:
    save(tape, a_track(2, audio=some_audio(cid=CID)))
    [finding, _] = json.loads(on_tape("verify", "media", "--deep", "--json").stdout)["findings"]
    assert (finding["kind"], finding["track_ids"], finding["repaired"]) == ("missing", [2], False)
    for details, rows in (([], 1), (["--all"], 2)):
        found = on_tape("verify", "media", *details)
        summary, *table = found.stdout.splitlines()
        assert (found.exit_code, summary) == (3, "2 missing")
        told = [
            line.split() for line in table if "--repair, or put it back from a backup of the media" in line
        ]
        assert (len(told), CID in told[0]) == (rows, True)
