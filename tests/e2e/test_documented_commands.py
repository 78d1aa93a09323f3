"""Each block of shell commands in README and docs/ runs as a reader pastes it, or the table says what runs it instead."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devpds.server import DevPds
from tests.e2e.artist import Artist
from tests.e2e.conftest import DEEP
from tests.plyr import environment as plyrfm
from tests.servers.preloaded import Service
from tests.service.command_line import environment

pytestmark = pytest.mark.pds

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md"))),
)
BLOCK = re.compile(r"^```(?:sh|bash|shell|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = "run here, beside the service"
RUN_STOPPED = "run here, without the service"
TABLE = {
    "README.md": {
        "./dev demo": "tests/e2e/test_demo.py; of the other, this is a part",
        "MASTERTAPE_PLC_URL=": "demo/service.py, for every test of tests/e2e",
        "curl": "tests/e2e/test_readme.py",
        "PLYR_API_URL=": RUN,
        "mastertape adopt": RUN,
    },
    "docs/deploying.md": {
        "umask": RUN,
        "docker compose": "needs Docker; tests/service/test_production.py holds the file, and what restores is run from operations.md",
        "python3 -m venv": "needs root and a network; tests/service/test_wheel.py holds what is installed",
        "cp deploy/systemd": "needs systemd; tests/service/test_production.py holds the units",
        "docker build": "needs Docker; tests/service/test_image.py holds what is in it",
    },
    "docs/http.md": {"echo": "tests/e2e/generated_client.py"},
    "docs/operations.md": {
        "MASTERTAPE_RELAY=off": "needs PgBouncer; tests/e2e/test_pooler.py",
        "mastertape verify ": RUN,
        "# 1. Set the new address": RUN,
        "mastertape adopt DID --dry-run": RUN,
        "mastertape adopt DID --peer-ids": RUN,
        "# SQLite: one": RUN,
        "# PostgreSQL\npg_dump": "tests/e2e/test_restore.py",
        "# then periodically": "tests/servers/archived_postgres.py, for tests/e2e/test_restore.py",
        "# 1. Stop serve": RUN_STOPPED,
        "# 2. PostgreSQL\n": "tests/e2e/test_restore.py",
        "# 2. PostgreSQL to": "tests/servers/archived_postgres.py, for tests/e2e/test_restore.py as well",
        "# 3. Then": RUN_STOPPED,
        "mastertape recovered --nothing": "needs a promoted standby; tests/e2e/test_failover.py",
    },
    "docs/plyr.md": {"PLYR_API_URL=": RUN},
    "docs/scaling.md": {
        "mastertape partition": "needs PostgreSQL; tests/service/schema/test_partitions.py",
        "mastertape distribute": "needs Citus; tests/service/schema/test_distribution.py",
    },
    "docs/upgrading.md": {"mastertape migrate": RUN},
}  # fmt: skip
ANSWERS = b"y\n" * 3
"""To the commands that ask before they replace something."""


@pytest.fixture
def service(pds: DevPds, tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "data", pds)
    service.start()
    yield service
    service.stop()


def test_the_table_has_every_block_of_every_page() -> None:
    assert {page: ways for page in PAGES if (ways := [how for how, _ in blocks(page)])} == {
        page: list(ways.values()) for page, ways in TABLE.items()
    }


@pytest.mark.timeout(300)  # two dozen starts of Python
@pytest.mark.skipif(not DEEP, reason="takes a minute: ./dev test --deep")
def test_blocks_run_as_pasted(service: Service, artist: Artist, tmp_path: Path) -> None:
    plyrfm.install()
    artist.uploads()
    artist.agreed()
    (tmp_path / "ids.csv").write_text("id,atproto_record_uri\n")
    (tmp_path / "backup").mkdir()
    for block in blocks_that(RUN):
        pasted(block, service, artist, tmp_path)
    service.stop()
    for block in blocks_that(RUN_STOPPED):
        pasted(block, service, artist, tmp_path)
    secrets = yaml.safe_load((ROOT / "deploy/compose.production.yml").read_text())["secrets"]
    assert {file.name: file.read_text() != "" for file in (tmp_path / "secrets").iterdir()} == dict.fromkeys(
        secrets, True
    )


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Each block of the page, after what the table says of it."""
    for block in BLOCK.findall((ROOT / page).read_text()):
        ways = [how for beginning, how in TABLE.get(page, {}).items() if block.startswith(beginning)]
        yield " and ".join(ways) or f"put it into the table: {block}", block


def blocks_that(way: str) -> list[str]:
    return [block for page in TABLE for how, block in blocks(page) if how == way]


def pasted(block: str, service: Service, artist: Artist, folder: Path) -> None:
    """Paste the block into a shell at a terminal; every command of it must succeed."""
    for written, here in {
        "did:plc:...": artist.did,
        r"\bDID\b": artist.did,
        "/backup": f"{folder}/backup",
        "http://127.0.0.1:8000|https://tracks.example.org": artist.client.url,
        r"mt_\.\.\.": artist.client.token,
    }.items():
        block = re.sub(written, here, block)
    path = os.pathsep.join([str(Path(sys.executable).parent), str(plyrfm.PLYRFM.parent), os.environ["PATH"]])
    env = environment({}) | service.settings | {"PATH": path, "token": artist.client.token}
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, ANSWERS)
        done = subprocess.run(
            ["sh", "-euc", block],  # noqa: S607
            env=env,
            cwd=folder,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert done.returncode == 0, f"{block}\n{done.stdout}"
