"""`./dev demo [--once]`: starts the servers, plays the story, and keeps them up until Ctrl-C."""

import secrets
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console

from demo.service import Client, Service, start_servers
from demo.story import COLLECTION, STORY, Stage
from demo.telling import show_story


@click.command()
@click.option("--once", is_flag=True, help="End after the story; exit 0 only if every step agreed.")
def main(*, once: bool) -> None:
    """Walk one track through everything that can happen to it, on a real PDS."""
    console = Console()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell makes its background processes ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertape-demo-")))
        with console.status("starting a PLC directory, a PDS and the service"):
            pds, service = start_servers(stack, folder)
            handle, password = "artist.test", secrets.token_urlsafe(12)
            did = pds.create_account(handle, password)
            client = Client(service.url, handle, pds.create_app_password(did))
            stack.callback(client.http.close)
        stage = Stage(client, pds, did, friend=pds.create_account("drummer.test", password))
        steps = show_story(console, stage)
        agreeing = sum(step.agrees for step in steps)
        if not once:
            _wait_for_interrupt(console, stage, service, handle)
    console.print(f"\ndemo: {agreeing} of {len(steps)} steps agree", highlight=False)
    raise SystemExit(0 if agreeing == len(STORY) else 1)


def _wait_for_interrupt(console: Console, stage: Stage, service: Service, handle: str) -> None:
    rkey = stage.record_uri.rsplit("/", 1)[1]
    where = f"repo={stage.did}&collection={COLLECTION}&rkey={rkey}"
    record = f"{stage.pds.url}/xrpc/com.atproto.repo.getRecord?{where}"
    for name, value in {
        "service": f"{service.url}/openapi.json",
        "track": f"{service.url}/tracks/{stage.track_id}",
        "record": record,
        "account": f"{handle}, {stage.did}",
        "token": f"curl -H 'Authorization: Bearer {stage.client.token}' {service.url}/me",
    }.items():
        console.print(f"{name:>8}  {value}", soft_wrap=True, highlight=False)
    console.print("Everything stays up until Ctrl-C.")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        console.print()


if __name__ == "__main__":
    main()
