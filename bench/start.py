"""Compares a start of `mastertape serve`, up to its first answer, with the imports of the libraries that it stands on."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from bench.postgres import postgres_database
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from demo.service import MASTERTAPE
from devpds.ports import free_port
from devpds.process import Process

SENTENCE: Final = (
    "How long `serve` takes to its first 200 on an existing database, as a multiple of importing fastapi, sqlalchemy and"
    " eventsourcing in a new Python; and the CPU of `--help`, as a multiple of importing click and rich."
)
MAX_RATIO: Final = 2.0
STARTS_PER_ROUND: Final = 3
HELP: Final = (["--help"], ["rebuild", "--help"])
IMPORTS: Final = "import fastapi, sqlalchemy, eventsourcing"
COMPILED: Final = {"PYTHONDONTWRITEBYTECODE": ""}
"""As an installed wheel is; otherwise each start would compile the service."""
POLL_SECONDS: Final = 0.005
TIMEOUT_SECONDS: Final = 60.0


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite, and on PostgreSQL if it is available."""
    with postgres_database() as url:
        databases = {"SQLite": f"sqlite:///{folder / 'bench.db'}"} | ({"PostgreSQL": url} if url else {})
        arms = []
        for name, database_url in databases.items():
            env = {
                **COMPILED,
                "MASTERTAPE_DATA": str(folder),
                "MASTERTAPE_DATABASE_URL": database_url,
            }
            show_progress(f"the first start, {name}")
            _start(folder, env)
            arms.append(Arm(f"serve, {name}", _starts(folder, env), MAX_RATIO))
        starts = Effort(effort.rounds, 1 if effort.is_quick else STARTS_PER_ROUND)
        imports = [sys.executable, "-c", "import click, rich"]
        return [
            *compare(Arm("the imports", _imports), arms, starts, show_progress),
            *compare(
                Arm("click and rich", partial(_cpu_of, imports)),
                [
                    Arm(" ".join(["mastertape", *words]), partial(_cpu_of, [MASTERTAPE, *words]))
                    for words in HELP
                ],
                starts,
                show_progress,
            ),
        ]


def _cpu_of(command: Sequence[str | Path], operations: int) -> Seconds:
    """Return the processor time of a command, each time that it runs."""
    seconds = []
    for _ in range(operations):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **COMPILED})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return seconds


def _imports(operations: int) -> Seconds:
    return [_import() for _ in range(operations)]


def _import() -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - began


def _starts(folder: Path, env: Mapping[str, str]) -> Callable[[int], Seconds]:
    return lambda operations: [_start(folder, env) for _ in range(operations)]


def _start(folder: Path, env: Mapping[str, str]) -> float:
    """Return the seconds from the start of a process to its first answer."""
    port = free_port()
    process = Process(
        [MASTERTAPE, "serve"], log=folder / "service.log", env={**env, "MASTERTAPE_PORT": str(port)}
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT_SECONDS) as http:
        began = time.perf_counter()
        process.start(lambda: True)
        try:
            while not _answers(http):
                if not process.running or time.perf_counter() - began > TIMEOUT_SECONDS:
                    raise TimeoutError(process.log.read_text(errors="replace")[-2000:])
                time.sleep(POLL_SECONDS)
            return time.perf_counter() - began
        finally:
            process.stop()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").is_success
    except httpx.TransportError:
        return False
