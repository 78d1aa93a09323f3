"""The console in a large outage: its screens stay small, and miss none of what fails."""

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert

from bench.console import SCREENS
from bench.outage import Outage, fill
from identity.accounts.credentials import Scope
from outbox.mirror.tables import pds_host
from tests.api.world import upload
from tests.statements import recorded_statements

MAX_SCREEN_BYTES = 150_000
NAV = re.compile(r'<nav class="console-nav".*?</nav>', re.DOTALL)


@pytest.fixture
def admin(world, sign_in):
    return sign_in(world.sign_in("admin", scope=Scope.ADMIN))


def test_each_screen_is_small_while_ten_thousand_records_fail(world, admin):
    fill(world.log, Outage())
    (nav,) = NAV.findall(admin.get("/ops").text)
    screens = {page for page, _ in SCREENS.values()} | set(re.findall(r'href="(/ops[^"]*)"', nav))
    sizes = {}
    for screen in sorted(screens):
        answer = admin.get(screen)
        assert answer.status_code == 200, screen
        sizes[screen] = len(answer.content)
    assert {screen: size for screen, size in sizes.items() if size >= MAX_SCREEN_BYTES} == {}
    failing = admin.get("/ops/overview", headers={"Accept": "*/*"}).json()["failing_hosts"]
    assert failing > 100
    assert f"and {failing - 1} more" in admin.get("/ops").text
    cause, _ = SCREENS["a cause"]
    assert admin.get(cause).text.count('<th scope="row">') > 1


def test_a_host_that_fails_is_seen_behind_very_many_that_work(world, admin):
    failing = {"host": "https://zzz.example", "failing_since": datetime.now(UTC), "first_error": "e"}
    with world.database.write() as connection:
        well = [{"host": f"https://a-{number:03}.example"} for number in range(150)]
        connection.execute(insert(pds_host), well)
        connection.execute(insert(pds_host).values(failing))
    assert "https://zzz.example does not answer as it should." in admin.get("/ops").text
    assert "https://zzz.example</a>" in admin.get("/ops/hosts?failing=true").text
    assert "a-000" not in admin.get("/ops/hosts?failing=true").text


def test_as_many_statements_read_many_hosts_as_read_two(world, admin):
    fill(world.log, Outage(records=100, lanes=50, hosts=50))

    def statements(limit):
        with recorded_statements(world.database.engine) as seen:
            answer = admin.get("/ops/hosts", params={"limit": limit}, headers={"Accept": "*/*"})
        assert len(answer.json()["items"]) == limit
        return len(seen)

    statements(2)  # records the first use of the token
    assert statements(2) == statements(50)


def test_the_screen_of_a_track_is_small_however_much_its_changes_say(admin, alice):
    track = upload(admin, alice)
    for letter in "abcdefghijklmnopqrstu":
        changed = admin.patch(
            f"/tracks/{track['id']}", json={"description": letter * 5000}, headers=alice.headers
        )
        assert changed.status_code == 200
    page = admin.get(f"/ops/tracks/{track['id']}")
    assert "uuuuu" in page.text
    assert len(page.content) < MAX_SCREEN_BYTES
