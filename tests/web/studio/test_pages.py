"""What every page of the studio must be."""

import pytest

from tests.api.comments.test_comments import say, turn
from tests.api.lists.requests import create
from tests.api.releases.uploads import draft
from tests.api.world import upload
from tests.web.pages import HOSTILE, assert_safe

OF_ANY_KIND = ("", "/history", "/pds")
OF_VERSIONS = (*OF_ANY_KIND, "/versions/1", "/compare?from=0")
PAGES = (
    "",
    "?mark=held",
    "/upload",
    "/selection?id={tracks}&action=copy",
    "/copies?id={tracks}",
    *(f"/tracks/{{tracks}}{end}" for end in OF_VERSIONS),
    "/albums",
    "/albums?deleted=true",
    *(f"/albums/{{albums}}{end}" for end in OF_VERSIONS),
    "/playlists",
    "/likes",
    "/comments",
    "/comments?mine=true",
    *(f"/comments/{{comments}}{end}" for end in OF_ANY_KIND),
    "/releases",
    "/releases/{releases}",
    "/pds",
    "/pds/disconnect",
    "/pds/leave",
)


@pytest.fixture
def pages(world, client, alice):
    turn(client, alice, True)
    texts = {"title": HOSTILE, "description": HOSTILE}
    track = upload(client, alice, album=f"{HOSTILE}, too", tags=[HOSTILE[:20]], **texts)
    made = {
        "tracks": track,
        "albums": create(client, alice, track, **texts),
        "comments": say(client, alice, track, text=HOSTILE).json(),
        "releases": draft(client, alice, **texts),
    }
    world.carry()
    return [f"/studio{path}".format(**{name: each["id"] for name, each in made.items()}) for path in PAGES]


def test_a_page_is_small_and_runs_only_our_files_whatever_things_are_called(subtests, studio, pages):
    for path in pages:
        with subtests.test(path):
            assert_safe(studio.get(path))


def test_a_visitor_is_led_to_the_sign_in_and_back(subtests, browser, pages):
    for path in pages:
        with subtests.test(path):
            answer = browser.get(path, follow_redirects=False)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/auth/login?return_to=%2Fstudio")
