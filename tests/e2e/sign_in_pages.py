"""The pages of a sign-in, as a person uses them in Chromium."""

from playwright.sync_api import BrowserContext, Page, expect

from demo.service import Client
from tests.servers.atproto import PdsAccount


def signs_in(page: Page, service_url: str, account: PdsAccount, query: str = "") -> None:
    """Go from the service's page to the consent page; the browser must report no violation of the Content Security Policy."""
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(f"{service_url}/auth/login{query}")
    page.get_by_label("Handle or DID").fill(account.handle)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: not url.startswith(service_url))
    assert [text for text in complaints if "Content Security Policy" in text] == []
    types_the_password(page, account)


def types_the_password(page: Page, account: PdsAccount) -> None:
    """Go on from the sign-in page of the PDS to its consent page."""
    password = page.locator("input[type=password]")
    password.fill(account.password)
    password.press("Enter")
    expect(page.get_by_text(account.handle)).to_be_visible()


def authorizes(page: Page) -> None:
    page.get_by_role("button", name="Authorize", exact=True).click()


def are_signed_in(context: BrowserContext, service_url: str, *clients: Client) -> list[str]:
    """Put the accounts of these programs into the browser, the first as the one in use; gives their handles."""
    tokens = ".".join(client.token for client in clients)
    context.add_cookies([{"name": "mastertape_session", "value": tokens, "url": service_url}])
    return [client.http.get("/me").json()["handle"] for client in clients]
