"""The demo as a user starts it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from demo.album import ALBUM_STORY, TITLES
from demo.story import STORY
from tests.e2e.conftest import DEEP
from tests.e2e.foreground import foreground
from tests.e2e.oauth_visitor import HTML, Visitor
from tests.servers.atproto import CHEAP, PdsAccount
from tests.servers.citus import CITUS

pytestmark = pytest.mark.pds

WIDTH = 80
STEPS = len(STORY) + len(ALBUM_STORY)
PRINTED = re.compile(r"^ *([a-z]+(?: [a-z]+)?)  (\S.*)$", re.MULTILINE)
SIGN_IN = re.compile(r"(\S+), password (\S+); as an admin: (\S+), the same password")
PAGE = re.compile(r"(http://\S+/tracks/(\d+)): ")


@pytest.mark.timeout(900)  # three servers start, and one of them again: two minutes on a slow machine
@pytest.mark.parametrize("kind", ["sqlite", CITUS])
def test_the_demo_agrees_and_fits_a_terminal(kind: str, request: pytest.FixtureRequest) -> None:
    other = [] if kind == "sqlite" else ["--database", request.getfixturevalue(f"migrated_{kind}")]
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--once", *other],
        env=os.environ | CHEAP | {"COLUMNS": str(WIDTH)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[-1] == f"demo: {STEPS} of {STEPS} steps agree"
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.timeout(900)
@pytest.mark.skipif(not DEEP, reason="takes a minute: ./dev test --deep")
def test_the_demo_that_stays_up_can_be_looked_at_by_an_artist_and_an_admin(tmp_path: Path) -> None:
    with foreground(tmp_path / "log", "demo", said="until Ctrl-C", seconds=300) as demo:
        printed = dict(PRINTED.findall(demo.output))
        address = printed["open"].removesuffix("/studio")
        handle, password, admin_handle = SIGN_IN.fullmatch(printed["sign in"]).groups()
        with Visitor(address) as artist, Visitor(address) as admin:
            artist.signs_in(PdsAccount("", handle, password, ""))
            admin.signs_in(
                PdsAccount("", admin_handle, password, ""),
                **dict(parse_qsl(urlsplit(printed["admin"]).query)),
            )
            tracks = artist.http.get("/me/tracks", params={"limit": 100}).json()["items"]
            assert len(tracks) == 1 + len(TITLES) + 20  # of the two stories, and twenty
            for name, visitor, state in (
                ("held", artist, "held"),
                ("refused", artist, "rejected"),
                ("parked", admin, "parked"),
                ("too long", artist, "delivered"),
            ):
                page, track_id = PAGE.match(printed[name]).groups()
                assert visitor.http.get(page, headers=HTML).status_code == 200
                assert visitor.mirror(int(track_id))["state"] == state
        assert httpx.get(printed["record"]).json()["value"]["title"] in {each["title"] for each in tracks}
        assert demo.interrupt() == 0
        assert demo.output.splitlines()[-1] == f"demo: {STEPS} of {STEPS} steps agree"
        assert "Traceback" not in demo.output
        with pytest.raises(httpx.ConnectError):
            httpx.get(address)
