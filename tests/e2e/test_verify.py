"""A lost record as the artist and the operator see it, and how it comes back."""

import json
import os
import subprocess
from typing import Any

import pytest

from demo.service import MASTERTAPE
from service.cli.output import DRIFT
from tests.e2e.artist import Artist, verified
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.eventually import eventually

pytestmark = pytest.mark.pds


def types(settings: dict[str, str], artist: Artist, *command: str) -> tuple[int, dict[str, Any]]:
    """An operator types a command on this service's database, about one account."""
    env = {
        **os.environ,
        **settings,
        "MASTERTAPE_PLC_URL": artist.pds.plc_url,
        "MASTERTAPE_BASE_URL": artist.client.url,
    }
    ended = subprocess.run(
        [MASTERTAPE, *command, "--did", artist.did, "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, json.loads(ended.stdout)


@ONE_DATABASE
def test_a_lost_record_is_found_planned_for_and_put_back(artist: Artist, settings: dict[str, str]) -> None:
    artist.uploads()
    before = artist.agreed()
    assert verified(artist) == {"records": 1, "drifts": [], "unjudged": [], "more": 0, "problem": None}

    artist.loses_the_record()
    [drift] = verified(artist)["drifts"]
    assert (drift["kind"], drift["uri"], drift["found_cid"]) == ("missing", artist.record_uri, None)
    code, found = types(settings, artist, "verify", "pds")
    assert (code, [each["kind"] for each in found["repos"][0]["drifts"]]) == (DRIFT, ["missing"])
    code, plan = types(settings, artist, "plan")
    assert (code, [step["repair"] for step in plan["steps"]], plan["points"]) == (0, ["restore"], 3)
    assert artist.record is None

    code, applied = types(settings, artist, "apply", "--yes")
    assert (code, [(each["state"], each["applied"]) for each in applied["repairs"]]) == (0, [("done", 1)])
    eventually(lambda: artist.record is not None)
    after = artist.agreed()
    assert before is not None
    assert after is not None
    assert {**after, "mastertapeGen": 0} == {**before, "mastertapeGen": 0}
    assert types(settings, artist, "verify", "pds")[0] == 0


@ONE_DATABASE
def test_verify_needs_a_sign_in(artist: Artist) -> None:
    assert artist.client.http.post("/me/verify", headers={"authorization": ""}).status_code == 401
