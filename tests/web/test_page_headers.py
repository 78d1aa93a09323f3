"""Pages run our own files alone; programs never get a page."""

import pytest

from outbox.tracks.record import RecordUrls
from tests.web.pages import assert_runs_only_our_files, policy_of

PUBLIC = ("/", "/auth/login", "/auth/login?handle=x", "/nowhere", "/tracks/99")


@pytest.mark.parametrize("path", PUBLIC)
def test_a_page_runs_nothing_but_our_own_files(browser, path):
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
