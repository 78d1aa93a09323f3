"""`mastertape adopt` for an account that has never signed in."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from devpds.server import DevPds, DevPlc
from projections.tracks.queries import TrackFilter, track_page
from replay.adoption import adopt as adoptions
from service.wiring.bootstrap import Container
from tests.api.client import TestClient
from tests.e2e.foreign_catalogue import a_record, catalogue, publish, rev, rkey
from tests.outbox.rigs.relay_rig import ARTIST
from tests.replay.adoption.claims import claimed
from tests.servers.atproto import PdsAccount
from tests.servers.databases import ON_SQLITE
from tests.service.cli.conftest import Type, type_with
from web.app import create_app

pytestmark = [pytest.mark.pds, ON_SQLITE]

NOWHERE = {"error": "bytes_unavailable", "reason": "nowhere", "adopted": False}


@pytest.fixture
def typed(container: Container, pds: DevPds, plc: DevPlc, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command, on a database of this test and real servers."""
    own = {"DATA": container.settings.data, "DATABASE_URL": container.settings.database_url}
    return type_with(monkeypatch, **own, PLC_URL=plc.url, DEV_ORIGINS=pds.url)


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def counts(report: dict[str, Any]) -> tuple[int, int, int, int]:
    return report["found"], report["known"], report["adopted"], report["refused"]


def test_records_are_previewed_adopted_and_verified_without_a_login(
    typed: Type, container: Container, pds: DevPds, pds_account: PdsAccount
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

    with container.database.read() as connection:
        assert len(track_page(connection, TrackFilter(artist=did)).items) == 3
    assert typed("verify", "pds", "--did", did).exit_code == 0
    assert rev(pds, did) == before


def test_adopted_tracks_keep_the_ids_of_a_file_for_the_clients_of_the_service_they_come_from(
    typed: Type, container: Container, pds: DevPds, pds_account: PdsAccount, tmp_path: Path
) -> None:
    did = pds_account.did
    uris = [f"at://{did}/{collection}/{key}" for collection, key, _ in catalogue(pds, did, 2)]
    file = tmp_path / "ids.csv"
    file.write_text("\n".join(["id,atproto_record_uri", f"41,{uris[0]}", f"2147483648,{uris[1]}", "43,"]))

    assert typed("adopt", did, "--peer-ids", str(file), "--dry-run").exit_code == 0
    report = answer(typed("adopt", did, "--peer-ids", str(file), "--json"))
    assert (report["adopted"], report["peer_ids"]) == (2, {"tracks": 2, "missing": 0})
    with TestClient(create_app(container.services)) as client:
        for peer_id, uri in ((41, uris[0]), (2147483648, uris[1])):
            shown = client.get(f"/plyr/tracks/{peer_id}").json()
            assert (shown["id"], shown["atproto_record_uri"]) == (peer_id, uri)

    file.write_text(f"id,atproto_record_uri\n42,{uris[0]}")
    refused = typed("adopt", did, "--peer-ids", str(file))
    assert (refused.exit_code, "42. Nothing was adopted" in refused.stderr) == (1, True)


def test_an_unknown_account_and_a_running_adoption_are_errors(
    typed: Type, container: Container, pds_account: PdsAccount
) -> None:
    unknown = "did:plc:" + "a" * 24
    assert typed("adopt", unknown, "--dry-run").exit_code == 1
    failed = typed("adopt", unknown)
    assert (failed.exit_code, failed.stderr) == (1, f"it stopped: {unknown} is not known\n")

    with container.database.write() as connection:
        adoptions.request(connection, pds_account.did, ARTIST, container.database.now(connection))
    claimed(container.database, owner="other")
    busy = typed("adopt", pds_account.did)
    assert (busy.exit_code, "already being adopted" in busy.output) == (1, True)
