"""What every page of the studio must be."""

import pytest

from tests.api.world import upload
from tests.web.pages import HOSTILE, assert_leads_to_sign_in, assert_safe

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


@pytest.fixture
def track(client, alice):
    return upload(client, alice, title=HOSTILE, album=HOSTILE, description=HOSTILE, tags=[HOSTILE[:20]])


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_small_and_runs_only_our_files_whatever_a_track_is_called(sign_in, alice, track, path):
    assert_safe(sign_in(alice).get(path.format(id=track["id"])))


@pytest.mark.parametrize("path", PAGES)
def test_a_visitor_is_led_to_the_sign_in_and_back(browser, track, path):
    assert_leads_to_sign_in(browser, path.format(id=track["id"]))
