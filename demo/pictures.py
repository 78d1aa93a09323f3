"""Takes the pictures of the README and of docs/operations.md in Chromium, of the demo's tracks on real PDSes: `python -m demo.pictures`."""

import secrets
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from demo.__main__ import ADMIN, FRIEND, SMALL_BLOBS
from demo.catalogue import make_catalogue
from demo.media import cover, tone
from demo.service import Client, Service
from demo.story import Stage, wait_for_delivery
from devpds.server import DevPds, DevPlc
from tests.e2e.sign_in_pages import authorizes, signs_in
from tests.servers.atproto import PdsAccount
from tests.servers.browser import launched

FOLDER: Final = Path(__file__).parent.parent / "docs" / "images"
WIDTH: Final = 1280
QUALITY_PERCENT: Final = 85
ARTIST: Final = "ada.test"
GUESTS: Final = ("bea.test", "carol.test", "dan.test", "erin.test", "frank.test", "grace.test")
TIMEOUT_SECONDS: Final = 60.0


@dataclass
class Studio:
    """The service, the PDS of most, and the browser; `away` is the PDS that will not answer, `folder` that of the pictures."""

    service: Service
    pds: DevPds
    away: DevPds
    password: str
    browser: Browser
    stack: ExitStack
    folder: Path

    def account(self, pds: DevPds, handle: str) -> PdsAccount:
        did = pds.create_account(handle, self.password)
        return PdsAccount(did, handle, self.password, pds.create_app_password(did))

    def client(self, account: PdsAccount) -> Client:
        client = Client(self.service.url, account.did, account.app_password)
        self.stack.callback(client.http.close)
        return client

    def page(self, account: PdsAccount | None = None, *, query: str = "", height: int = 760) -> Page:
        """Return a page, signed in as this account."""
        page = self.browser.new_page(viewport=ViewportSize(width=WIDTH, height=height), color_scheme="light")
        if account is not None:
            signs_in(page, self.service.url, account, query)
            authorizes(page)
            page.wait_for_url(f"{self.service.url}/**")
        return page

    def picture(self, page: Page, path: str, name: str, height: int = 760, *, shows: str = "main") -> None:
        page.set_viewport_size(ViewportSize(width=WIDTH, height=height))
        page.goto(f"{self.service.url}{path}", wait_until="load")
        page.locator(shows).wait_for()
        page.evaluate("document.fonts.ready")
        asked = {"format": "webp", "quality": QUALITY_PERCENT}
        taken = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
        (self.folder / f"{name}.webp").write_bytes(b64decode(taken["data"]))


def main(pictures: Path = FOLDER) -> None:
    """Publish tracks, take a PDS away from some artists, and take the pictures."""
    pictures.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertape-pictures-")))
        plc = stack.enter_context(DevPlc(folder / "plc"))
        pds = stack.enter_context(DevPds(plc, folder / "pds", env=SMALL_BLOBS))
        away = stack.enter_context(DevPds(plc, folder / "away"))
        password = secrets.token_urlsafe(12)
        admin = PdsAccount(pds.create_account(ADMIN, password), ADMIN, password, "")
        service = Service(
            folder / "mastertape",
            pds,
            env={
                "MASTERTAPE_ADMIN_DIDS": admin.did,
                "MASTERTAPE_DEV_ORIGINS": f"{pds.url},{away.url}",
            },
        )
        stack.callback(service.stop)
        service.start()
        browser = stack.enter_context(launched(stack.enter_context(sync_playwright())))
        studio = Studio(service, pds, away, password, browser, stack, pictures)
        of_artist(studio)
        of_console(studio, admin)


def of_artist(studio: Studio) -> None:
    """The page of a track; my tracks with all their marks."""
    artist, friend = (studio.account(studio.pds, handle) for handle in (ARTIST, FRIEND))
    guest = studio.client(friend)  # now the friend has a page
    client = studio.client(artist)
    track = publish(client, friend.did)
    wait_for_delivery(Stage(client, studio.pds, artist.did, friend.did, track_id=track))
    wait_for(lambda: client.http.get(f"/tracks/{track}/waveform").is_success)
    studio.picture(studio.page(), f"/@{ARTIST}/{track}", "track", shows="svg.wave")
    make_catalogue(client, guest, studio.pds, artist.did)
    wait_for(lambda: "pending" not in client.http.get("/me/mirror").json()["waiting"])
    studio.picture(studio.page(artist), "/studio", "studio")


def of_console(studio: Studio, admin: PdsAccount) -> None:
    """The console while a PDS is away: now, why requests fail, and the lanes of that host."""
    service, host = studio.service.url, studio.away.url
    page = studio.page(admin, query="?scope=admin&return_to=/ops")

    def hosts() -> dict[str, dict[str, object]]:
        items = page.request.get(f"{service}/ops/hosts", headers={"Accept": "*/*"}).json()["items"]
        return {each["host"]: each for each in items}

    guests = [studio.client(studio.account(studio.away, handle)) for handle in GUESTS]
    tracks = [
        int(guest.upload(tone(200 + number), title="Harbour Lights")["id"])
        for number, guest in enumerate(guests)
    ]
    wait_for(lambda: hosts()[host]["waiting"] == 0)
    redrive = {
        "action": "redrive",
        "host": studio.pds.url,
        "reason": "they take files up to 100 MB since today",
    }
    page.request.post(f"{service}/ops/failures", data=redrive, headers={"Origin": service})
    studio.away.stop()
    for number, (guest, track) in enumerate(zip(guests, tracks, strict=True)):
        guest.edit(track, title="Harbour Lights (second take)")
        for extra in range(number):
            guest.upload(tone(300 + 10 * number + extra), title=f"Small Hours, {extra + 1}")
    wait_for(lambda: hosts()[host]["breaker"] != "closed")
    studio.picture(page, "/ops", "console-now", 900)
    studio.picture(page, "/ops/failures", "console-causes", 520)
    studio.picture(page, f"/ops/lanes?host={host}", "console-lanes", 820)


def publish(client: Client, friend: str) -> int:
    """Upload a track with all that a page can show; return its id."""
    client.http.patch("/me", json={"display_name": "Ada Lovelace"}).raise_for_status()
    track = client.upload(
        tone(220, 8),
        title="Second Thoughts",
        album="Pressings",
        tags='["tape loops", "cello", "night"]',
        features=f'["{friend}"]',
        description="Recorded in one go on a Tuesday, with the window open.\nThe tape machine is out of tune; so am I.",
    )
    client.set_artwork(track["id"], cover("#23415c", "#e6b04c"))
    return int(track["id"])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)


if __name__ == "__main__":
    main()
