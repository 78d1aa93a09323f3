"""What every page of the studio must be."""

import pytest

from tests.api.world import upload
from tests.web.pages import assert_runs_only_our_files, assert_small

PAGES = (
    "/studio",
    "/studio?mark=held",
    "/studio/upload",
    "/studio/selection?id={id}&action=copy",
    "/studio/copies?id={id}",
    "/studio/tracks/{id}",
    "/studio/tracks/{id}/history",
    "/studio/tracks/{id}/versions/1",
    "/studio/tracks/{id}/compare?from=0",
    "/studio/tracks/{id}/pds",
    "/studio/pds",
    "/studio/pds/disconnect",
    "/studio/pds/leave",
)
HOSTILE = '"><script>alert(1)</script>'


@pytest.fixture
def track(client, alice):
    return upload(client, alice, title=HOSTILE, album=HOSTILE, description=HOSTILE, tags=[HOSTILE[:20]])


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_small_and_runs_only_our_files_whatever_a_track_is_called(sign_in, alice, track, path):
    page = sign_in(alice).get(path.format(id=track["id"]))
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert_runs_only_our_files(page)
    assert_small(page)


@pytest.mark.parametrize("path", PAGES)
def test_a_visitor_is_led_to_the_sign_in_and_back(browser, track, path):
    answer = browser.get(path.format(id=track["id"]), follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/auth/login?return_to=%2Fstudio")
