"""`mastertape verify media`."""

import json

from tests.service.cli.conftest import Type


def test_missing_bytes_are_reported_with_what_to_do(on_tape: Type) -> None:
    found = on_tape("verify", "media")
    assert (found.exit_code, "--repair" in found.stdout) == (3, True)
    [finding] = json.loads(on_tape("verify", "media", "--deep", "--json").stdout)["findings"]
    assert (finding["kind"], finding["track_ids"], finding["repaired"]) == ("missing", [1], False)
