"""An operator takes over the records of an account that has never signed in: what is typed, and what is answered."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from devpds.server import DevPds, DevPlc
from projections.track_queries import TrackFilter, track_page
from replay.adoption import jobs as adoptions
from service.cli.main import main
from service.config.settings import PREFIX
from service.wiring.bootstrap import Application
from tests.e2e.foreign_catalogue import a_record, catalogue, publish, rev, rkey
from tests.outbox.rig import ARTIST
from tests.servers.atproto import PdsAccount

pytestmark = pytest.mark.pds

Type = Callable[..., Result]
NOWHERE = {"error": "bytes_unavailable", "reason": "nowhere", "adopted": False}


@pytest.fixture
def typed(application: Application, pds: DevPds, plc: DevPlc, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command, on a database of this test and real servers."""
    settings = {
        "DATA": str(application.settings.data),
        "DATABASE_URL": application.settings.database_url,
        "PLC_URL": plc.url,
        "DEV_ORIGINS": pds.url,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)
    return lambda *args: CliRunner().invoke(main, args)


def answer(result: Result) -> dict[str, Any]:
    """The answer for machines."""
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def counts(report: dict[str, Any]) -> tuple[int, int, int, int]:
    return report["found"], report["known"], report["adopted"], report["refused"]


def test_records_are_looked_at_taken_over_and_verified_without_a_login(
    typed: Type, application: Application, pds: DevPds, pds_account: PdsAccount
) -> None:
    did = pds_account.did
    catalogue(pds, did, 3)
    nowhere, too_long = a_record(8, "fm.plyr.track"), a_record(9, "fm.plyr.track", title="t" * 257)
    publish(pds, did, [("fm.plyr.track", rkey(8), nowhere), ("fm.plyr.track", rkey(9), too_long)])
    before = rev(pds, did)

    looked = answer(typed("adopt", did, "--dry-run", "--json"))
    assert (counts(looked), looked["written"]) == ((5, 0, 4, 1), False)
    assert [(each["field"], each["limit"]) for each in looked["problems"]] == [
        ("title", "at most 256 bytes of UTF-8")
    ]

    report = answer(typed("adopt", did, "--json"))
    assert (counts(report), report["written"]) == ((5, 0, 3, 2), True)
    [problem] = [each for each in report["problems"] if each["error"] == "bytes_unavailable"]
    assert NOWHERE.items() <= problem.items()
    said = typed("adopt", did).stdout
    assert "5 records: 0 adopted, 3 known before, 2 not adopted" in said
    assert rkey(8) in said

    with application.database.read() as connection:
        assert len(track_page(connection, TrackFilter(artist=did)).items) == 3
    assert typed("verify", "pds", "--did", did).exit_code == 0
    assert rev(pds, did) == before


def test_an_account_that_nobody_knows_is_an_error_and_so_is_one_that_is_under_way(
    typed: Type, application: Application, pds_account: PdsAccount
) -> None:
    unknown = "did:plc:" + "a" * 24
    assert typed("adopt", unknown, "--dry-run").exit_code == 1
    failed = typed("adopt", unknown)
    assert (failed.exit_code, failed.stderr) == (1, f"it stopped: {unknown} is not known\n")

    with application.database.write() as connection:
        adoptions.request(connection, pds_account.did, ARTIST, application.database.now(connection))
    lease = adoptions.timedelta(seconds=60)
    assert adoptions.claim(application.database, owner="other", lease=lease) is not None
    busy = typed("adopt", pds_account.did)
    assert (busy.exit_code, "already being adopted" in busy.output) == (1, True)
