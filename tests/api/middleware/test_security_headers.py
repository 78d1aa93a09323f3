"""Security headers on every kind of response: routes, errors, files, preflights. Those of pages: tests/web/test_page_headers.py."""

import pytest

from api.error_responses import error_response
from api.middleware.http_layer import EVERYWHERE
from tests.api.auth.route_table import ROUTES, THINGS
from tests.api.world import did_of, upload
from tests.media_samples import hostile, samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

APP, OTHER = "https://app.example", "https://other.example"
PREFLIGHT = {"Access-Control-Request-Method": "PATCH"}


@pytest.fixture
def client(world):
    with world.serve(cors_origins=(APP,)) as client:
        yield client


def path_of(url):
    return url.removeprefix("http://127.0.0.1:8000")


@pytest.fixture
def answers(client, world, alice):
    async def breaks(*_):
        raise RuntimeError

    world.app.add_route("/breaks", breaks)
    track = upload(client, alice, image=samples.png())
    gated = upload(client, alice, seed=2, support_gate={"type": "any"})

    mine = {"headers": alice.headers}
    return {
        "track": client.get(f"/tracks/{track['id']}"),
        "page of tracks": client.get("/tracks"),
        "own account": client.get("/me", **mine),
        "ndjson": client.get("/audit", headers={**alice.headers, "Accept": "application/x-ndjson"}),
        "document": client.get("/openapi.json"),
        "nobody": client.get("/me"),
        "not found": client.get("/nowhere"),
        "wrong method": client.put("/tracks"),
        "unparsable": client.get("/tracks/x"),
        "broken": client.get("/breaks"),
        "preflight": client.options("/tracks/1", headers={"Origin": APP, **PREFLIGHT}),
        "refused preflight": client.options("/tracks/1", headers={"Origin": OTHER, **PREFLIGHT}),
        "audio": client.get(path_of(track["audio_url"])),
        "part of audio": client.get(path_of(track["audio_url"]), headers={"Range": "bytes=0-9"}),
        "known audio": client.get(path_of(track["audio_url"]), headers={"If-None-Match": "*"}),
        "outside audio": client.get(path_of(track["audio_url"]), headers={"Range": "bytes=99999999-"}),
        "gated audio": client.get(path_of(gated["audio_url"]), **mine),
        "refused audio": client.get(path_of(gated["audio_url"])),
        "cover": client.get(path_of(track["image_url"])),
    }


def test_every_answer_has_every_header_once(subtests, answers):
    assert answers["broken"].status_code == 500
    for what, answer in answers.items():
        for name in EVERYWHERE:
            with subtests.test(f"{what}: {name}"):
                assert len(answer.headers.get_list(name)) == 1


def test_no_answer_for_programs_runs_anything_or_is_framed(subtests, answers):
    for what, answer in answers.items():
        with subtests.test(what):
            policy = [part.strip() for part in answer.headers["content-security-policy"].split(";")]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"


def test_only_files_are_cached_and_shown_by_others_and_only_public_ones_by_all(subtests, answers):
    for what, answer in answers.items():
        caching, policy = (answer.headers[name] for name in ("cache-control", "cross-origin-resource-policy"))
        with subtests.test(what):
            if what in {"audio", "part of audio", "known audio", "cover"}:
                assert (caching.split(",")[0], policy) == ("public", "cross-origin")
            elif what == "gated audio":
                assert (caching, policy) == ("private, no-cache", "same-site")
            else:
                assert (caching, policy) == ("no-store", "same-origin")


@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_no_error_of_any_route_is_cached(subtests, client, world, alice, accept):
    async def forever(_request):
        return error_response(404, "not_found", "x", {"Cache-Control": "public, max-age=31536000, immutable"})

    world.app.add_route("/forever", forever)
    track = upload(client, alice, image=samples.png())
    names = {**THINGS, "artist": "unknown", "did": did_of("unknown")}
    asked = [route.format(**names).split(" ") for route in ROUTES]
    asked += [("PUT", path) for path in ("/tracks", "/", "/nowhere", "/static/x/site.css")]
    asked += [("GET", path) for path in ("/forever", "/nowhere", "/@unknown", "/@unknown/1", "/plyr/nothing")]
    asked += [("GET", path_of(track[name])) for name in ("audio_url", "image_url")]
    asked += [("GET", f"/plyr/audio/{track['file_id']}")]
    for method, path in asked:
        with subtests.test(f"{method} {path}"):
            answer = client.request(method, path, headers={"Range": "bytes=99999999-", "Accept": accept})
            assert answer.status_code < 400 or answer.headers["cache-control"] == "no-store"
            assert answer.status_code < 400 or "etag" not in answer.headers


@pytest.mark.parametrize("kind", [samples.mp3, samples.m4a, samples.flac, samples.ogg, samples.webm])
def test_a_file_is_served_as_what_it_was_found_to_be_and_never_as_a_page(client, alice, kind):
    """A name and a type that lie, and a page behind the sound, change nothing."""
    content, cover = kind(3) + hostile.PAGE, samples.png() + hostile.PAGE
    files = {"file": ("page.html", content, "text/html"), "image": ("a.svg", cover, "image/svg+xml")}
    track = client.post("/tracks", data={"title": "t"}, files=files, headers=alice.headers).json()
    answer = client.get(path_of(track["audio_url"]))
    assert answer.content == content
    assert answer.headers["content-type"].startswith("audio/")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    renamed = path_of(track["audio_url"]).rpartition(".")[0] + ".html"
    assert client.get(renamed).status_code == 404
    seen = client.get(path_of(track["image_url"]))
    assert seen.headers["content-type"] == "image/png"
    assert hostile.PAGE not in seen.content, "a cover is made anew from its pixels"


def test_only_over_https_is_https_asked_for(world, client):
    assert "strict-transport-security" not in client.get("/healthz").headers
    secure = world.serve(base_url="https://tape.example")
    assert "max-age=31536000" in secure.get("/nowhere").headers["strict-transport-security"]


def test_no_other_origin_hears_of_credentials(client, alice):
    for answer in (
        client.get("/me", headers={**alice.headers, "Origin": OTHER}),
        client.get("/me", headers={"Origin": OTHER}),
        client.get("/me", headers={"Origin": "null"}),
        client.options("/me", headers={"Origin": OTHER, **PREFLIGHT}),
        client.get("/me", headers=alice.headers),
    ):
        told = [name for name in answer.headers if name.startswith("access-control-allow-")]
        assert "access-control-allow-origin" not in told
        assert "access-control-allow-credentials" not in told
    ours = client.get("/me", headers={**alice.headers, "Origin": APP})
    assert ours.headers["access-control-allow-origin"] == APP
    assert ours.headers["access-control-allow-credentials"] == "true"
    assert ours.json()["did"] == did_of("alice")


def test_a_refused_preflight_has_the_shape_of_an_error(client):
    answer = client.options("/me", headers={"Origin": OTHER, **PREFLIGHT})
    assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "cross_site")
    assert not [name for name in answer.headers if name.startswith("access-control")]
