"""The pages of a sign-in, as a person uses them in Chromium."""

from playwright.sync_api import expect


def signs_in(page, service_url, account):
    """Go from the service's page to the consent page; the browser must report no violation of the Content Security Policy."""
    complaints = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(f"{service_url}/auth/login")
    page.get_by_label("Handle or DID").fill(account.handle)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: not url.startswith(service_url))
    assert [text for text in complaints if "Content Security Policy" in text] == []
    password = page.locator("input[type=password]")
    password.fill(account.password)
    password.press("Enter")
    expect(page.get_by_text(account.handle)).to_be_visible()


def authorizes(page):
    page.get_by_role("button", name="Authorize", exact=True).click()
