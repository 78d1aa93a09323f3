"""`./dev demo [--once]`: starts the servers, plays the story, and keeps them up until Ctrl-C."""

import secrets
import signal
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from demo import album as album_story
from demo.album import ALBUM_STORY, Album
from demo.catalogue import UNFINISHED, Catalogue, make_catalogue
from demo.service import Client, Service
from demo.story import COLLECTION, STORY, Stage, play
from demo.telling import show_story
from demo.unfinished import work_on
from devpds.server import DevPds, DevPlc

ARTIST: Final = "artist.test"
FRIEND: Final = "drummer.test"
ADMIN: Final = "night-shift.test"
SMALL_BLOBS: Final = {"PDS_BLOB_UPLOAD_LIMIT": str(5 * 1024 * 1024)}
"""What a PDS accepts unless its operator says otherwise."""


@click.command()
@click.option("--once", is_flag=True, help="End after the story; exit 0 only if every step agreed.")
@click.option("--database", help="Play on this empty database instead of an SQLite file.")
def main(*, once: bool, database: str | None) -> None:
    """Walk one track and one album through everything that can happen to them, on a real PDS."""
    console = Console()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell makes its background processes ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertape-demo-")))
        with console.status("starting a PLC directory, a PDS and the service"):
            plc = stack.enter_context(DevPlc(folder / "plc"))
            pds = stack.enter_context(DevPds(plc, folder / "pds", env=SMALL_BLOBS))
            password = secrets.token_urlsafe(9)
            did, friend, admin = (pds.create_account(handle, password) for handle in (ARTIST, FRIEND, ADMIN))
            env = {"MASTERTAPE_ADMIN_DIDS": admin}
            if database is not None:
                env["MASTERTAPE_DATABASE_URL"] = database
            service = Service(folder / "mastertape", pds, env=env)
            stack.callback(service.stop)
            service.start()
            client = Client(service.url, ARTIST, pds.create_app_password(did))
            stack.callback(client.http.close)
        stage = Stage(client, pds, did, friend)
        steps = show_story(console, STORY, partial(play, stage))
        album = Album(stage)
        steps += show_story(console, ALBUM_STORY, partial(album_story.play, album), first=len(steps) + 1)
        agreeing = sum(step.agrees for step in steps)
        if not once:
            guest = Client(service.url, FRIEND, pds.create_app_password(friend))
            stack.callback(guest.http.close)
            with console.status("uploading twenty more tracks"):
                catalogue = make_catalogue(client, guest, pds, did)
            _wait_for_interrupt(console, stage, service, catalogue, password)
    console.print(f"\ndemo: {agreeing} of {len(steps)} steps agree", highlight=False)
    raise SystemExit(0 if agreeing == len(STORY) + len(ALBUM_STORY) else 1)


def _wait_for_interrupt(
    console: Console, stage: Stage, service: Service, catalogue: Catalogue, password: str
) -> None:
    rkey = stage.record_uri.rsplit("/", 1)[1]
    where = f"repo={stage.did}&collection={COLLECTION}&rkey={rkey}"
    record = f"{stage.pds.url}/xrpc/com.atproto.repo.getRecord?{where}"
    studio = f"{service.url}/studio"
    console.print()
    for name, value in {
        "open": studio,
        "sign in": f"{ARTIST}, password {password}; as an admin: {ADMIN}, the same password",
        "admin": f"{service.url}/auth/login?scope=admin&return_to=/ops",
        "held": f"{studio}/tracks/{catalogue.held}: another program has changed its record",
        "refused": f"{studio}/tracks/{catalogue.refused}: its record has grown too large for the PDS",
        "parked": f"{service.url}/ops/tracks/{catalogue.parked}: of {FRIEND}, who has taken the login back",
        "too long": f"{studio}/tracks/{catalogue.too_long}: its record is delivered, its audio too large for the PDS",
        "record": record,
        "token": f"curl -H 'Authorization: Bearer {stage.client.token}' {service.url}/me",
    }.items():
        console.print(f"{name:>8}  {value}", soft_wrap=True, highlight=False)
    console.print(
        f"Everything stays up until Ctrl-C. {ARTIST} still works on the album {UNFINISHED}: for an hour, one of its tracks "
        "gets a line more in its liner notes every three minutes.",
        highlight=False,
    )
    try:
        work_on(console, stage.client, catalogue)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print()


if __name__ == "__main__":
    main()
