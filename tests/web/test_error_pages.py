"""Errors as pages: what happened, when to try again, and the way on."""

import pytest

from api.middleware.rate_limits import RateLimits
from tests.web.pages import assert_runs_only_our_files


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


@pytest.mark.parametrize("cookie", ["", "x", "x.y", ".", "ä"])
def test_a_cookie_that_is_none_breaks_no_page_of_an_error(browser, cookie):
    answer = browser.get("/nowhere", headers={"Cookie": f"mastertape_session={cookie}".encode("latin-1")})
    assert answer.status_code == 404
    assert 'href="/auth/login"' in answer.text
