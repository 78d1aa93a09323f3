"""The account menu: who is signed in here, switching, signing out."""

import pytest


@pytest.fixture
def both(browser, alice, bob):
    browser.cookies.set("mastertape_session", f"{alice.token}.{bob.token}")
    return browser


def test_the_menu_leads_to_the_pds_and_that_to_leaving(both):
    menu = both.get("/").text.split('class="menu-body"')[1].split("</details>")[0]
    assert 'href="/studio/pds"' in menu
    assert "leave" not in menu, "nothing so final stands beside signing out"
    assert 'href="/studio/pds/leave"' in both.get("/studio/pds").text
    assert both.get("/studio/pds/leave").status_code == 200


def test_a_person_switches_to_another_account(both, bob):
    answer = both.post("/accounts/switch", data={"did": bob.did}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/studio")
    assert "Switch to @alice.test" in both.get("/").text


def test_a_person_signs_out_everywhere_in_this_browser(both):
    both.post("/accounts/sign-out")
    page = both.get("/").text
    assert "@alice.test" not in page
    assert "@bob.test" not in page


def test_a_person_signs_out_one_account_and_stays_with_the_other(both, alice):
    both.post("/accounts/sign-out", data={"did": alice.did})
    page = both.get("/").text
    assert "@alice.test" not in page
    assert "@bob.test" in page


def test_another_site_cannot_sign_anybody_out(both):
    answer = both.post("/accounts/sign-out", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "@alice.test" in both.get("/").text
