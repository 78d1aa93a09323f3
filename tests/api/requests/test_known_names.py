"""What a route does not know is refused: fields of a body, query parameters, values of an enum."""

import pytest

from tests.api.auth.route_table import THINGS
from tests.api.world import ids_of, refusal, upload, upload_with_all
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

BY_STANDARD = {"GET /auth/callback", "GET /oauth-client-metadata.json", "GET /jwks.json"}
"""Authorization servers call these, and clients ignore parameters that they do not know (RFC 6749)."""
MEDIA = {"GET /audio/{cid}.{extension}", "GET /audio/{cid}.{extension}/download", "GET /artwork/{cid}"}
METHODS = ("get", "post", "put", "patch", "delete")
UNKNOWN = {"surely_unknown": "x"}
BODIES = {
    "json": {"json": UNKNOWN},
    "urlencoded": {"data": UNKNOWN},
    "multipart text": {"files": {"surely_unknown": (None, "x")}},
    "multipart file": {"files": {"surely_unknown": b"x"}},
}


@pytest.fixture
def names(client, admin):
    """Those of things that are there, and of others."""
    return {**THINGS, **ids_of(upload_with_all(client, admin)), "did": admin.did}


@pytest.fixture
def path(client, admin):
    return f"/tracks/{upload(client, admin)['id']}"


def routes_of(world):
    paths = world.app.openapi()["paths"]
    return [(m.upper(), path) for path, found in paths.items() for m in found if m in METHODS]


def detail(answer):
    return answer.json()["detail"]


def test_every_route_refuses_an_unknown_query_parameter(subtests, client, world, admin, names):
    before = world.state()
    for method, path in routes_of(world):
        if f"{method} {path}" in BY_STANDARD | MEDIA:
            continue
        with subtests.test(f"{method} {path}"):
            answer = client.request(method, path.format(**names), params=UNKNOWN, headers=admin.headers)
            assert refusal(answer) == (422, "unknown_parameter")
            assert (detail(answer)["field"], detail(answer)["did_you_mean"]) == ("surely_unknown", None)
    assert world.state() == before


def test_every_route_with_a_body_refuses_an_unknown_field(subtests, client, world, admin, names):
    before = world.state()
    for method, path in routes_of(world):
        if method == "GET":
            continue
        for kind, body in BODIES.items():
            with subtests.test(f"{method} {path} {kind}"):
                answer = client.request(method, path.format(**names), headers=admin.headers, **body)
                assert refusal(answer) == (400, "unknown_field")
                assert (detail(answer)["field"], detail(answer)["did_you_mean"]) == ("surely_unknown", None)
    assert world.state() == before


def test_what_a_standard_or_a_link_adds_is_ignored(client):
    for route in BY_STANDARD | MEDIA:
        answer = client.request(*route.format(**THINGS).split(" "), params=UNKNOWN)
        assert refusal(answer)[1] != "unknown_parameter", route


FIELDS = {"titel": "title", "Title": "title", "self_label": "self_labels", "visibility": None, "": None}
PARAMETERS = {"artist_did": "artist", "tags": "tag", "sort": None}


def test_a_field_or_a_parameter_is_refused_with_the_name_that_was_meant(subtests, client, admin, path):
    for name, meant in FIELDS.items():
        with subtests.test(f"field {name}"):
            answer = client.patch(path, json={name: "x"}, headers=admin.headers)
            assert refusal(answer) == (400, "unknown_field")
            assert (detail(answer)["field"], detail(answer)["did_you_mean"]) == (name, meant)
    for name, meant in PARAMETERS.items():
        with subtests.test(f"parameter {name}"):
            answer = client.get("/tracks", params={name: "x"})
            assert refusal(answer) == (422, "unknown_parameter")
            assert (detail(answer)["field"], detail(answer)["did_you_mean"]) == (name, meant)


def test_a_name_inside_a_field_is_refused_too(client, world, admin, path):
    before = world.state()
    gate = {"support_gate": {"type": "any", "typ": "none"}}
    answer = client.patch(path, json=gate, headers=admin.headers)
    assert refusal(answer) == (400, "unknown_field")
    assert (detail(answer)["field"], detail(answer)["did_you_mean"]) == (
        "support_gate.typ",
        "support_gate.type",
    )
    assert world.state() == before


def test_a_text_that_is_sent_as_a_file_is_refused(client, world, admin, path):
    before = world.state()
    answer = client.patch(path, files={"title": b"New"}, headers=admin.headers)
    assert refusal(answer) == (400, "invalid_field")
    assert detail(answer)["field"] == "title"
    assert world.state() == before


def test_a_parameter_that_is_there_twice_is_refused(client):
    assert refusal(client.get("/tracks?tag=a&tag=b")) == (422, "unparsable")


def test_a_long_name_is_not_repeated_whole(client, admin, path):
    answer = client.patch(path, json={"x" * 60_000: 1}, headers=admin.headers)
    assert refusal(answer) == (400, "unknown_field")
    assert len(answer.content) < 1000


VALUES = {
    "/tracks?limit=500": "must be 1 to 100",
    "/audit?limit=101": "must be 1 to 100",
    "/ops/lanes?limit=101": "must be 1 to 100",
    "/ops/lanes?state=Typo": "must be one of: ready, auth_required",
    "/ops/failures?state=Typo": "must be one of: delivered, pending",
    "/me/tracks?mirror=lost": "must be one of: delivered, pending",
}


def test_a_value_that_a_parameter_cannot_have_is_refused_with_those_it_can(subtests, client, admin):
    for address, limit in VALUES.items():
        with subtests.test(address):
            answer = client.get(address, headers=admin.headers)
            assert refusal(answer) == (400, "invalid_field")
            assert detail(answer)["limit"].startswith(limit)
