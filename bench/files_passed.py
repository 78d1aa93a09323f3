"""`python -m bench.files_passed`: lists the files of src that a PATCH, its delivery and a page pass; run with -v to see their names.

Copied into `bench/` of another commit, it counts there: it takes the service as a process, through its public door alone.
"""

import os
import runpy
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import click

from bench.postgres import postgres_database
from bench.services import Servers, new_title, signed_in, start_servers, wait_until_delivered
from demo.media import tone
from demo.service import MASTERTAPE, Service
from devpds.ports import free_port

SOURCE: Final = str(Path(__file__).parents[1] / "src") + os.sep
PORT: Final = "FILES_PASSED_PORT"
TIMES: Final = 5
"""A file counts if each of them passed it: what ran beside one of them does not."""

Called = Callable[[], set[str]]


def trace() -> None:
    """Run the command line of sys.argv, and answer each connection to the port with the files that were called since the last."""
    passed: set[str] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            passed.add(frame.f_code.co_filename)

    def answer() -> None:
        with socket.create_server(("127.0.0.1", int(os.environ[PORT]))) as server:
            while True:
                connection, _ = server.accept()
                names = sorted(passed)
                passed.clear()
                with connection:
                    connection.sendall("\n".join(names).encode())

    threading.Thread(target=answer, daemon=True).start()
    threading.setprofile(note)
    sys.setprofile(note)
    del sys.argv[:2]
    runpy.run_path(sys.argv[0], run_name="__main__")


@contextmanager
def _traced(servers: Servers, command: str, env: Mapping[str, str]) -> Iterator[tuple[Service, Called]]:
    port, metrics = free_port(), f"127.0.0.1:{free_port()}"
    service = Service(
        servers.folder / "data",
        servers.pds,
        program=(sys.executable, "-m", "bench.files_passed", "trace", MASTERTAPE),
        command=command,
        env={**env, PORT: str(port), **({"MASTERTAPE_METRICS": metrics} if command == "relay" else {})},
    )
    if command == "relay":
        service.url = f"http://{metrics}"

    def called() -> set[str]:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            names = b"".join(iter(lambda: connection.recv(65536), b"")).decode().splitlines()
        return {name.removeprefix(SOURCE) for name in names if name.startswith(SOURCE)}

    service.start()
    try:
        yield service, called
    finally:
        service.stop()


def count() -> dict[str, set[str]]:
    """Return the files that each of the three passed every time."""
    passed: dict[str, set[str]] = {}

    def add(what: str, called: set[str]) -> None:
        passed[what] = passed.get(what, called) & called

    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = stack.enter_context(start_servers(Path(folder)))
        env = {"MASTERTAPE_DATABASE_URL": stack.enter_context(postgres_database()) or ""}
        service, by_service = stack.enter_context(
            _traced(servers, "serve", {**env, "MASTERTAPE_RELAY": "off"})
        )
        _, by_relay = stack.enter_context(_traced(servers, "relay", env))
        client = stack.enter_context(signed_in(servers, service.url, "passed"))
        track = client.upload(tone(100, 0.1), title=new_title())
        wait_until_delivered(client, track["id"])
        page = f"/@{track['artist_handle']}/{track['id']}"
        for _ in range(TIMES):
            for forget in (by_service, by_relay):
                forget()
            client.edit(track["id"], title=new_title())
            edit = by_service()
            wait_until_delivered(client, track["id"])
            delivery = by_relay()
            by_service()
            client.http.get(page, headers={"accept": "text/html"}).raise_for_status()
            add("PATCH /tracks/{id}", edit)
            add("its delivery", delivery)
            add(f"GET {page}", by_service())
    return passed


if __name__ == "__main__":
    if sys.argv[1:2] == ["trace"]:
        trace()
    for what, files in count().items():
        click.echo(f"{what}: {len(files)} files")
        if "-v" in sys.argv:
            click.echo("\n".join(sorted(files)))
