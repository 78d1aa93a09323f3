"""Every error has its row in the table, and every error response has the same shape."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fastapi import APIRouter
from sqlalchemy.exc import InternalError, OperationalError

from aggregates.errors import ServiceError
from api.error_responses import REPLIES
from eventstore.errors import CommitFailedError, LogBusyError, OutdatedProjectionError
from storage.errors import StoreUnavailableError
from tests.api.client import TestClient
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE

if TYPE_CHECKING:
    from api.services import Services


def everything_below(kind):
    return {kind} | {each for child in kind.__subclasses__() for each in everything_below(child)}


def test_no_error_of_ours_is_forgotten():
    elsewhere = ("tests", "replay", "service", "web")
    below = {each for each in everything_below(ServiceError) if not each.__subclasses__()}
    ours = {each for each in below if not each.__module__.startswith(elsewhere)}
    assert {each.__name__ for each in ours - set(REPLIES)} == set()


REFUSED = {
    "GET /nowhere": (404, "not_found"),
    "PUT /tracks": (405, "method_not_allowed"),
    "GET /tracks/abc": (422, "unparsable"),
    "GET /tracks?limit=many": (422, "unparsable"),
    "GET /tracks?limit=0": (400, "invalid_field"),
    "GET /tracks?cursor=x": (400, "invalid_field"),
    "GET /tracks?cursor=99999999999999999999": (400, "invalid_field"),
    "GET /tracks/0": (404, "track_not_found"),
    "GET /tracks/-1": (404, "track_not_found"),
    "GET /tracks/99999999999999999999": (404, "track_not_found"),
    "DELETE /tracks/99999999999999999999": (401, "not_authenticated"),
    "GET /tracks/-1/history?cursor=x": (401, "not_authenticated"),
    "GET /audio/NOT-A-CID.mp3": (404, "media_not_found"),
    "GET /audio/%00.mp3": (404, "media_not_found"),
    "GET /artwork/NOT-A-CID": (404, "media_not_found"),
    "GET /artwork/" + "a" * 81: (404, "media_not_found"),
    "GET /audio/bafkreiaaaa.mp3": (404, "media_not_found"),
    "GET /artwork/bafkreiaaaa": (404, "media_not_found"),
}


@ON_SQLITE
def test_what_the_framework_refuses_has_the_shape_too(subtests, client):
    for request, expected in REFUSED.items():
        with subtests.test(request):
            assert refusal(client.request(*request.split(" "))) == expected


@ON_SQLITE
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("secret 123"), (500, "internal")),
        (LogBusyError(), (503, "not_ready")),
        (CommitFailedError(), (503, "not_ready")),
        (OutdatedProjectionError("tracks"), (503, "not_ready")),
        (StoreUnavailableError("secret 123"), (503, "not_ready")),
        (OperationalError("select secret 123", {}, Exception("secret 123")), (503, "not_ready")),
        (InternalError("select secret 123", {}, Exception("secret 123")), (500, "internal")),
        (
            InternalError("select 123", {}, Exception("secret"), connection_invalidated=True),
            (503, "not_ready"),
        ),
    ],
)
def test_what_breaks_tells_no_secrets_and_keeps_the_request_id(world, error, expected):
    router = APIRouter()

    @router.get("/breaks")
    def breaks():
        raise error

    world.app.include_router(router)
    client = TestClient(world.app, raise_server_exceptions=False)
    answer = client.get("/breaks", headers={"X-Request-Id": "mine"})
    assert refusal(answer) == expected
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "mine"
    assert (answer.status_code == 503) == ("retry-after" in answer.headers)


@ON_SQLITE
def test_a_request_id_goes_in_and_comes_out(client):
    assert client.get("/healthz", headers={"X-Request-Id": "a-b.c:1"}).headers["x-request-id"] == "a-b.c:1"


@ON_SQLITE
def test_a_request_id_that_is_not_sane_is_replaced(client):
    for given in ("", "x" * 129, "a b", "ä", 'a"b', "a;b"):
        answer = client.get("/healthz", headers={"X-Request-Id": given.encode()})
        assert len(answer.headers["x-request-id"]) == 32, given


@ON_SQLITE
def test_an_outdated_process_refuses_commands_but_loses_nothing(world, client, alice):
    track = upload(client, alice)
    with world.database.write() as connection:
        connection.exec_driver_sql("update projection_state set fingerprint = 'other'")
    answer = client.patch(f"/tracks/{track['id']}", json={"title": "x"}, headers=alice.headers)
    assert refusal(answer) == (503, "not_ready")
    assert client.get(f"/tracks/{track['id']}").json()["title"] == track["title"]


@ON_SQLITE
def test_readiness_says_why_not(world):
    assert world.serve(not_ready_because=lambda: None).get("/readyz").json() == {"status": "ready"}
    answer = world.serve(not_ready_because=lambda: "the schema is old: run `x`").get("/readyz")
    assert refusal(answer) == (503, "not_ready")
    assert "run `x`" in answer.json()["detail"]["message"]


def test_the_real_readiness_is_asked(world):
    parts: Services = replace(world.services, not_ready_because=world.made.services.not_ready_because)
    world.services = parts
    assert world.serve().get("/readyz").status_code == 200
    assert world.serve().get("/healthz").json() == {"status": "ok"}


@ON_SQLITE
def test_cross_origin_pages_use_the_headers_that_we_name(world):
    client = world.serve(cors_origins=("https://app.example",))
    allowed = client.get("/healthz", headers={"Origin": "https://app.example"})
    assert "ETag" in allowed.headers["access-control-expose-headers"]
    preflight = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "If-Match,If-None-Match,Idempotency-Key,Last-Event-ID",
    }
    assert client.options("/tracks/1", headers=preflight).status_code == 200
