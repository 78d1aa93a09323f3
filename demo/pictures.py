"""Takes the pictures of the README in Chromium, of a real track on a real PDS: `python -m demo.pictures`."""

import secrets
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from playwright.sync_api import ViewportSize, sync_playwright

from demo.media import cover, tone
from demo.service import Client, Service
from demo.story import Stage, wait_for_delivery
from devpds.server import DevPds, DevPlc
from tests.servers.browser import launched

FOLDER: Final = Path(__file__).parent.parent / "docs" / "images"
SIZE: Final = ViewportSize(width=1280, height=760)


def main() -> None:
    """Publish a track, wait until its record is on the PDS, and take a picture of its page."""
    FOLDER.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertape-pictures-")))
        plc = stack.enter_context(DevPlc(folder / "plc"))
        pds = stack.enter_context(DevPds(plc, folder / "pds"))
        service = Service(folder / "mastertape", pds)
        stack.callback(service.stop)
        service.start()
        password = secrets.token_urlsafe(12)
        did, friend = (pds.create_account(f"{name}.test", password) for name in ("ada", "drummer"))
        Client(service.url, friend, pds.create_app_password(friend)).http.close()  # now the friend has a page
        client = Client(service.url, did, pds.create_app_password(did))
        stack.callback(client.http.close)
        track = publish(client, friend)
        wait_for_delivery(Stage(client, pds, did, friend, track_id=track))
        browser = stack.enter_context(launched(stack.enter_context(sync_playwright())))
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(f"{service.url}/@ada.test/{track}", wait_until="networkidle")
        page.screenshot(path=FOLDER / "track.png")


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


if __name__ == "__main__":
    main()
