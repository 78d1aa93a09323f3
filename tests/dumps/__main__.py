"""Writes what others see of us to files, to compare before and after a change: `python -m tests.dumps FOLDER`."""

import asyncio
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from service.config.settings import PREFIX
from service.schema.migrate import upgrade
from tests.api.client import TestClient
from tests.api.conftest import common_settings
from tests.api.world import World
from tests.dumps.answers import answers
from tests.dumps.names import names
from tests.dumps.peer import peer_run
from tests.dumps.seeded_world import resume_host, seed
from tests.dumps.stillness import stillness


def dumps(data: Path) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file; equal for equal code."""
    url = f"sqlite:///{data}/mastertape.db"
    os.environ.update({f"{PREFIX}DATA": str(data), f"{PREFIX}DATABASE_URL": url})  # for the commands
    with stillness() as clock:
        upgrade(url)
        own = {"data": data, "database_url": url, "media": f"disk:{data}/media"}
        world = World(common_settings().model_copy(update=own))
        with TestClient(world.app, raise_server_exceptions=False) as client:
            seeded = seed(world, client, clock.shift)
            yield from chain(answers(world, client, seeded), names(world, client, seeded.names["track_id"]))
            resume_host(client, seeded)
        yield from peer_run(world, seeded, data)
        asyncio.run(world.made.close())


def write(folder: Path) -> None:
    logging.disable()
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as data:
        for name, text in dumps(Path(data)):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(data, "DATA"))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
