"""`./dev demo [--once]`: sets up, plays the story, shows it, and stays up."""

import secrets
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from demo.service import Client, Service
from demo.story import STORY, Stage, Step, play
from devpds.server import DevPds, DevPlc

SHOWN: Final = {
    "title": "title",
    "album": "album",
    "description": "description",
    "imageUrl": "image",
    "audioBlob": "blob",
    "labels": "labels",
}


@click.command()
@click.option("--once", is_flag=True, help="End after the story; exit 0 only if every step agreed.")
def main(*, once: bool) -> None:
    """Walk one track through everything that can happen to it, on a real PDS."""
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mastertape-demo-")))
        with console.status("starting a PLC directory, a PDS and the service"):
            plc = stack.enter_context(DevPlc(folder / "plc"))
            pds = stack.enter_context(DevPds(plc, folder / "pds"))
            service = Service(folder / "mastertape", pds)
            stack.callback(service.stop)
            service.start()
            handle, password = "artist.test", secrets.token_urlsafe(12)
            did = pds.create_account(handle, password)
            client = Client(service.url, handle, pds.create_app_password(did))
        stage = Stage(client, pds, did)
        steps = _tell(console, stage)
        good = sum(step.agrees for step in steps)
        if not once:
            _stay(console, stage, service, handle)
    console.print(f"demo: {good} of {len(steps)} steps agree", highlight=False)
    raise SystemExit(0 if good == len(STORY) else 1)


def _tell(console: Console, stage: Stage) -> list[Step]:
    table = Table(title="One track, its log and its PDS", expand=False, show_lines=True)
    for name, style in (
        ("step", "bold"),
        ("events in the log", "cyan"),
        ("record on the PDS", ""),
        ("agree", ""),
    ):
        table.add_column(name, style=style, overflow="fold")
    steps = []
    with Live(table, console=console, refresh_per_second=4):
        for act in STORY:
            step = play(stage, act)
            steps.append(step)
            verdict = "[green]yes" if step.agrees else "[red]no: " + ", ".join(step.differences)
            table.add_row(step.said, "\n".join(step.events), _brief(step.record), verdict)
    return steps


def _brief(record: dict[str, Any] | None) -> str:
    if record is None:
        return "(none)"
    lines = [f"{label}: {_shown(record[name])}" for name, label in SHOWN.items() if name in record]
    return "\n".join([*lines, f"gen {record['mastertapeGen']}, {record['createdAt']}"])


def _shown(value: Any) -> str:
    match value:
        case {"ref": {"$link": str(cid)}}:
            return f"{cid[:12]}..."
        case {"values": list(values)}:
            return ", ".join(label["val"] for label in values)
    text = str(value).replace("\n", " / ")
    return text if len(text) <= 36 else f"{text[:16]}...{text[-17:]}"  # noqa: PLR2004


def _stay(console: Console, stage: Stage, service: Service, handle: str) -> None:
    rkey = stage.record_uri.rsplit("/", 1)[1]
    record = f"{stage.pds.url}/xrpc/com.atproto.repo.getRecord?repo={stage.did}&collection=fm.plyr.track&rkey={rkey}"
    for name, value in {
        "service": f"{service.url}/docs",
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
