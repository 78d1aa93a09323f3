"""Pages run our own files alone; programs never get a page."""

import re
from pathlib import Path

import pytest

from api.middleware.rate_limits import RateLimits
from devpds.node import FOLDER, install
from outbox.tracks.record import RecordUrls
from tests.api.world import upload
from tests.web.pages import assert_runs_only_our_files, policy_of
from web import rendering
from web.static_files import static_files

MAX_FONT_BYTES = 60_000
PUBLIC = ("/", "/auth/login", "/auth/login?handle=x", "/nowhere", "/tracks/99")


def test_a_page_runs_nothing_but_our_own_files(browser):
    for path in PUBLIC:
        assert_runs_only_our_files(browser.get(path))


def test_audio_comes_from_us_and_from_anywhere_below_the_origin_of_the_public_copies(world):
    copies = "https://cdn.example:8443/bucket/public"
    page = world.serve(urls=RecordUrls(world.services.base_url, copies)).get(
        "/", headers={"Accept": "text/html"}
    )
    assert_runs_only_our_files(page)
    assert policy_of(page)["media-src"] == "'self' https://cdn.example:8443"


def test_a_broken_page_names_its_request_and_keeps_its_status(browser, world):
    async def breaks(*_):
        raise RuntimeError

    world.app.add_route("/breaks", breaks)
    answer = browser.get("/breaks")
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in answer.text
    assert_runs_only_our_files(answer)


def test_what_a_record_says_is_text_on_every_page(browser):
    answer = browser.get("/auth/login", params={"handle": '"><script>alert(1)</script>', "page": "true"})
    assert "<script>alert" not in answer.text
    assert_runs_only_our_files(answer)


def test_styles_and_scripts_are_cached_for_ever_and_count_as_no_request(browser):
    page = browser.get("/").text
    addresses = [part.split('"')[0] for part in page.split('"/static/')[1:]]
    assert len(addresses) >= 3
    for address in addresses:
        answer = browser.get(f"/static/{address}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "ratelimit-limit" not in answer.headers
    assert browser.get("/static/000000000000/site.css").headers["cache-control"] == "no-cache"
    assert browser.get("/static/000000000000/../app.py").status_code == 404


def test_the_fonts_that_styles_name_are_small_together_and_cached_for_ever(browser):
    here = static_files()
    named = re.findall(r'url\("([^"]+)"\)', here.files["site.css"].content.decode())
    assert sorted(named) == [name for name in here.files if name.endswith(".woff2")]
    answers = [browser.get(here.address(name), headers={"Accept-Encoding": "gzip"}) for name in named]
    for answer in answers:
        assert answer.headers["content-type"] == "font/woff2"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "content-encoding" not in answer.headers, "it is compressed as it is"
    assert sum(len(answer.content) for answer in answers) < MAX_FONT_BYTES


def test_a_person_with_too_many_requests_reads_when_to_try_again(world):
    client = world.serve(rate_limits=RateLimits(clock=lambda: 0.0))
    answers = [client.get("/auth/login", headers={"Accept": "text/html"}) for _ in range(11)]
    assert [answer.status_code for answer in answers[9:]] == [200, 429]
    assert "Try again in 6 seconds." in answers[-1].text
    assert_runs_only_our_files(answers[-1])


def test_a_person_who_is_signed_in_keeps_the_menu_on_a_page_of_an_error(sign_in, alice):
    page = sign_in(alice).get("/nowhere").text
    assert "@alice.test" in page
    assert "There is no page at this address" in page


def test_a_cookie_that_is_none_breaks_no_page_of_an_error(browser):
    for cookie in ("", "x", "x.y", ".", "ä"):
        header = {"Cookie": f"mastertape_session={cookie}".encode("latin-1")}
        answer = browser.get("/nowhere", headers=header)
        assert (answer.status_code, 'href="/auth/login"' in answer.text) == (404, True), cookie


PAGES = ("/", "/@alice.test", "/@alice.test/{track}", "/studio", "/studio/tracks/{track}", "/studio/pds")
SCREENS = ("/ops", "/ops/lanes", "/ops/tracks/{track}", "/ops/accounts/{did}")


@pytest.fixture
def authenticated(world, monkeypatch):
    tokens = []
    authenticate = world.services.credentials.authenticate

    def noted(token):
        tokens.append(token)
        return authenticate(token)

    monkeypatch.setattr(world.services.credentials, "authenticate", noted)
    return tokens


def assert_each_authenticates_once(viewer, pages, authenticated, **names):
    for page in pages:
        authenticated.clear()
        assert viewer.get(page.format(**names)).status_code == 200
        assert len(authenticated) == 1, page


def test_a_page_authenticates_its_viewer_once(client, sign_in, alice, authenticated):
    track = upload(client, alice)
    assert_each_authenticates_once(sign_in(alice), PAGES, authenticated, track=track["id"])


def test_a_screen_of_the_console_authenticates_its_operator_once(admin, alice, client, authenticated):
    track = upload(client, alice)
    assert_each_authenticates_once(admin, SCREENS, authenticated, track=track["id"], did=alice.did)


VENDOR = Path(rendering.__file__).parent / "static" / "vendor"
FONT = "@fontsource-variable/{name}/files/{name}-{part}-wght-normal.woff2"
FONTS = ("funnel-display", "funnel-sans")
FILES = {
    **{f"{name}.LICENSE": f"@fontsource-variable/{name}/LICENSE" for name in FONTS},
    **{
        f"{name}-{part}-wght-normal.woff2": FONT.format(name=name, part=part)
        for name in FONTS
        for part in ("latin", "latin-ext")
    },
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "htmx.LICENSE": "htmx.org/LICENSE",
}


@pytest.mark.pds
def test_each_vendored_file_is_that_of_its_npm_package():
    install()
    assert {each.name for each in VENDOR.iterdir()} == set(FILES)
    for name, source in FILES.items():
        assert (VENDOR / name).read_bytes() == (FOLDER / "node_modules" / source).read_bytes(), name
