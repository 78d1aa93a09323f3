"""Requests are counted by route, and connections, disks and the release are shown."""

from importlib.metadata import version

from service.cli.serve import asgi
from service.wiring.bootstrap import Container
from tests.api.client import TestClient
from tests.servers.databases import ON_SQLITE
from tests.service.observability.test_metrics import numbers

ON_LOOPBACK = "http://127.0.0.1:8000"


@ON_SQLITE
def test_requests_are_counted_by_their_route_and_status_and_never_by_their_path(container: Container) -> None:
    with TestClient(asgi(container), base_url=ON_LOOPBACK) as client:
        for path in ("/tracks", "/tracks/41", "/tracks/42", "/nowhere/did:plc:alice", "/healthz"):
            client.get(path)
        client.request("BREW", "/tracks/43")
        text = client.get("/metrics").content
    found = {name: value for name, value in numbers(text).items() if name.startswith("http_request")}
    assert found['http_requests_total{method="GET",route="/tracks",status="200"}'] == 1
    assert found['http_requests_total{method="GET",route="/tracks/{track_id}",status="404"}'] == 2
    assert found['http_requests_total{method="GET",route="other",status="404"}'] == 1
    assert found['http_requests_total{method="other",route="/tracks/{track_id}",status="405"}'] == 1
    assert found['http_request_seconds_count{method="GET",route="/tracks/{track_id}"}'] == 2
    assert not [name for name in found if "healthz" in name or "41" in name or "did:" in name]


def test_connections_disks_and_the_release_are_shown(container: Container) -> None:
    with container.database.read() as connection:
        connection.exec_driver_sql("select 1")
        found = numbers(container.metrics.text())
    assert found['database_connections{state="in_use"}'] >= 1
    assert found['database_connections{state="limit"}'] == container.database.max_connections
    assert found[f'disk_free_bytes{{folder="{container.settings.data}"}}'] > 0
    [build] = [name for name in found if name.startswith("mastertape_build_info")]
    assert f'version="{version("mastertape")}"' in build
