"""My PDS as its owner sees it: each form does what its route does, and says so."""

import re

import pytest

from tests.api.world import upload
from tests.web.pages import assert_runs_only_our_files

HERE = "/studio/pds"


@pytest.fixture
def mine(sign_in, alice):
    return sign_in(alice)


def key_of(page):
    return re.search(r'name="key" value="([0-9a-f]{32})"', page.text).group(1)


def test_a_visitor_is_led_to_the_sign_in_and_back(browser):
    answer = browser.get(HERE, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/auth/login?return_to=%2Fstudio%2Fpds")


def test_the_page_says_whether_records_reach_the_pds(mine, world, alice):
    assert "Your records reach your PDS." in mine.get(HERE).text
    upload(mine, alice)
    page = mine.get(HERE)
    assert "Changes are on their way" in page.text
    assert "1 record" in page.text
    assert_runs_only_our_files(page)
    world.deliver()
    assert "Your records reach your PDS." in mine.get(HERE).text


def test_the_page_says_since_when_the_pds_does_not_answer(mine, world, alice):
    assert "Failing since" not in mine.get(HERE).text
    upload(mine, alice)
    world.pds.write_refusals = [(502, "")] * 9
    world.deliver()
    page = mine.get(HERE).text
    assert "Your PDS does not answer." in page
    assert "Failing since</dt><dd><time" in page
    assert "Your PDS does not answer." in mine.get("/studio").text


def test_a_token_is_shown_once_and_can_be_ended(mine):
    form = {"key": key_of(mine.get(HERE)), "name": "my script", "scope": "read", "expires_in_days": "7"}
    token = re.search(r"<code>([^<]+)</code>", mine.post(f"{HERE}/tokens", data=form).text).group(1)
    again = mine.post(f"{HERE}/tokens", data=form)
    assert again.status_code == 409
    assert token not in again.text
    bearer = {"Authorization": f"Bearer {token}"}
    assert mine.get("/me", headers=bearer).status_code == 200
    page = mine.get(HERE).text
    (end,) = re.findall(r'action="(/studio/pds/tokens/[^/"]+/end)"', page)
    assert "can no longer act" in mine.post(end).text
    assert mine.get("/me", headers={**bearer, "Accept": "*/*"}).status_code == 401


def test_a_refused_form_says_why_and_keeps_the_page(mine):
    answer = mine.post(f"{HERE}/tokens", data={"name": "x", "expires_in_days": "9999"})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert "must be 1 to 365" in answer.text


def test_who_leaves_types_their_handle(mine, alice):
    upload(mine, alice)
    wrong = mine.post(f"{HERE}/leave", data={"handle": "bob.test"})
    assert wrong.status_code == 400
    assert "Nothing was changed" in wrong.text
    assert "You are leaving" in mine.post(f"{HERE}/leave", data={"handle": alice.handle}).text


def test_another_site_cannot_send_the_forms(mine, alice):
    for origin in ("https://evil.example", "null"):
        answer = mine.post(f"{HERE}/leave", data={"handle": alice.handle}, headers={"Origin": origin})
        assert answer.status_code == 403
    assert "You are leaving" not in mine.get(HERE).text


def test_the_profile_is_saved(mine):
    answer = mine.post(f"{HERE}/profile", data={"display_name": "Alice & <Co>", "bio": "plays"})
    assert "Saved." in answer.text
    assert 'value="Alice &amp; &lt;Co&gt;"' in answer.text
