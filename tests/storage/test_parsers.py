"""Files of strangers are read in child processes: what hangs, crashes, floods or grows there harms no other file and no other account."""

import asyncio
import os
import struct
import sys
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from storage import parsers
from storage.artwork import MAX_BYTES
from storage.errors import InvalidMediaError, ParserEndedError, RefusedMediaError, TooLargeError
from storage.parsers import LIMITS, MAX_OF_REQUESTS, Child, Parsers
from storage.uploads.upload import Staged, staged_copy
from tests.media_samples import hostile, samples
from tests.waits import until_async

pytestmark = pytest.mark.anyio

ALICE, BOB = "did:plc:alice", "did:plc:bob"
Stage = Callable[[bytes], Staged]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return lambda data: staged_copy([data], tmp_path, 2**31)


@pytest.fixture
def written_in(tmp_path: Path) -> Generator[Callable[[str], Parsers]]:
    """Parsers whose program is this text."""
    made: list[Child] = []

    def written(text: str) -> Parsers:
        (path := tmp_path / "program.py").write_text(text)
        return Parsers((sys.executable, str(path)), made)

    yield written
    for child in made:
        child.end()


def limit(monkeypatch: pytest.MonkeyPatch, work: str, **limits: Any) -> None:
    monkeypatch.setitem(LIMITS, work, replace(LIMITS[work], **limits))


ANSWER = "print(json.dumps({'found': ['wav', 1], 'refusal': None, 'made': []}), flush=True)"
DEEP = bool(os.environ.get("TEST_DEEP"))


@pytest.mark.parametrize(
    "text",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "print('{', flush=True); time.sleep(600)",
        "os.close(1); time.sleep(600)",
        "time.sleep(600)",
        "while True: print('x' * 100_000)",
        "os.fork()\nwhile True: print('x' * 100_000)",
        "print('[]', flush=True)",
        "print(json.dumps({'found': math.nan, 'refusal': None, 'made': []}), flush=True)",
        "print(json.dumps({'found': 1, 'refusal': None, 'made': [1 << 40]}), flush=True)",
        "print(json.dumps({'found': 1, 'refusal': None, 'made': [-1]}), flush=True)",
        "print(json.dumps({'found': 1, 'refusal': ['SystemExit', ''], 'made': []}), flush=True)",
        "raise SystemExit(3)",
    ],
)
async def test_a_parser_that_goes_wrong_gives_no_answer_and_is_gone(
    written_in: Callable[[str], Parsers],
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
) -> None:
    monkeypatch.setattr(parsers, "_GRACE_SECONDS", 0.2)
    limit(monkeypatch, "audio", wall_seconds=0.3)
    beginning = f"import json, math, os, signal, sys, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    with stage(b"") as staged, pytest.raises(ParserEndedError):
        await written_in(beginning + text).audio(staged)
    if (pid := tmp_path / "pid").exists():  # on a busy machine it may be killed before it begins
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid.read_text()), 0)


async def test_a_parser_gets_no_secrets(
    written_in: Callable[[str], Parsers], stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTERTAPE_SECRET_KEYS", "secret")
    text = "import json, os; print(json.dumps({'found': 0, 'refusal': ['InvalidMediaError', str(os.environ)], 'made': []}))"
    with stage(b"") as staged, pytest.raises(InvalidMediaError) as raised:
        await written_in(text).audio(staged)
    assert "PYTHONPATH" in str(raised.value)
    assert "MASTERTAPE" not in str(raised.value)


async def test_a_file_that_takes_too_long_is_refused_and_the_next_is_read(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage(samples.tone(2)) as staged:
        limit(monkeypatch, "waveform", cpu_seconds=0.01)
        with pytest.raises(InvalidMediaError, match="takes too long to read"):
            await Parsers().waveform(staged)
        limit(monkeypatch, "waveform", cpu_seconds=60)
        assert (await Parsers().waveform(staged)).duration == 2.0


async def test_a_file_that_takes_too_much_memory_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stage(samples.png(2000, 2000)) as staged:
        limit(monkeypatch, "artwork", memory_bytes=48 * 2**20)
        with pytest.raises(InvalidMediaError):
            await Parsers().artwork(staged)
        limit(monkeypatch, "artwork", memory_bytes=2**30)
        assert (await Parsers().artwork(staged)).artwork.mime == "image/png"


async def test_an_image_over_the_limit_is_refused_before_it_is_looked_at(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError) as caught:
        await Parsers().artwork(Staged(tmp_path / "none", "bafkrei", MAX_BYTES + 1))
    assert caught.value.limit == MAX_BYTES


async def test_a_child_that_was_killed_while_idle_is_replaced(stage: Stage) -> None:
    made = list[Child]()
    reading = Parsers(idle=made)
    with stage(samples.file("tone.ogg")) as staged:
        await reading.audio(staged)
        (child,) = made
        child.kill()
        await until_async(lambda: not child.is_alive())
        assert (await reading.audio(staged)).duration == 2
    (other,) = made
    other.end()


HOSTILE = "hostile"
READS_ALL = f"""
import json, sys, time
for line in sys.stdin:
    path = json.loads(line)["file"]["path"]
    if {HOSTILE!r} in open(path).read():
        open(path + ".begun", "w")
        time.sleep(600)
    {ANSWER}
"""


async def test_files_of_one_account_and_those_of_jobs_are_read_one_at_a_time_and_delay_no_other(
    written_in: Callable[[str], Parsers], stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parsers, "MAX_WAIT_SECONDS", 1.0)
    reading = written_in(READS_ALL)
    files = [stage(HOSTILE.encode()) for _ in range(4)]
    hers = [asyncio.create_task(reading.audio(file, ALICE)) for file in files]

    def begun() -> int:
        return len([*tmp_path.glob("*.begun")])

    await until_async(begun)
    of_jobs = asyncio.create_task(reading.audio(stage(HOSTILE.encode())))
    with stage(b"harmless") as harmless:
        assert (await reading.audio(harmless, BOB)).file_type == "wav"
        await until_async(lambda: begun() == 2)
        assert (await reading.audio(harmless, BOB)).file_type == "wav"
    await until_async(lambda: sum(each.done() for each in hers) == 3)
    assert begun() == 2
    reading.close()
    found = await asyncio.gather(*hers, of_jobs, return_exceptions=True)
    assert (
        sorted(type(each).__name__ for each in found) == ["ParserEndedError"] * 2 + ["ThreadsBusyError"] * 3
    )


TAKES_TOO_LONG = f"""
import json, os, signal, sys, time
for line in sys.stdin:
    path = json.loads(line)["file"]["path"]
    if {HOSTILE!r} in open(path).read():
        os.kill(os.getpid(), signal.SIGPROF)
    {ANSWER}
"""


async def test_accounts_whose_files_took_too_long_share_one_turn(
    written_in: Callable[[str], Parsers], stage: Stage, tmp_path: Path
) -> None:
    greedy, slow = [f"did:plc:{number}" for number in range(MAX_OF_REQUESTS)], stage(HOSTILE.encode())
    reading = written_in(TAKES_TOO_LONG)
    for did in greedy:
        with pytest.raises(InvalidMediaError, match="takes too long"):
            await reading.audio(slow, did)
    (tmp_path / "program.py").write_text(READS_ALL)
    theirs = [asyncio.create_task(reading.audio(slow, did)) for did in greedy]
    await until_async(Path(f"{slow.path}.begun").exists)
    with stage(b"harmless") as harmless:
        assert (await reading.audio(harmless, BOB)).file_type == "wav"
    for each in theirs:
        each.cancel()
    reading.close()
    await asyncio.wait(theirs)


LAST_WORDS = """
import asyncio, sys
from pathlib import Path
from storage import parsers
from storage.uploads.upload import Staged

path = Path(sys.argv[1])
staged = Staged(path, "bafkrei", path.stat().st_size)
asyncio.run(parsers.Parsers().audio(staged))
print(*(child._process.pid for child in parsers._IDLE), flush=True)
sys.stdin.read()
"""


async def test_no_child_is_left_when_the_service_is_killed(stage: Stage) -> None:
    with stage(samples.file("tone.ogg")) as staged:
        service = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", f"import mastertape\n{LAST_WORDS}", str(staged.path)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert service.stdout is not None
        child = int(await service.stdout.readline())
        os.kill(child, 0)
        service.kill()
        await service.wait()
        await until_async(lambda: not Path(f"/proc/{child}").exists())


MOST_MEMORY = 32 * 2**20
MOST_CPU_SECONDS = 0.25
"""Of this process, for a file; a child is no part of it."""
MOST_SECONDS = 5.0
"""On a machine with nothing else to do."""


def peak_memory() -> int:
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def hostile_files() -> dict[str, bytes]:
    names = b"".join(b"\x08\0\0\0%06d=b" % number for number in range(200_000))
    one_tag = b"ID3\x03\0\0" + bytes((20, 0, 0, 10)) + b"TXXX" + struct.pack(">IH", 40 * 2**20, 0)
    return {
        **{
            f"many tags of {kind}": data
            for kind, data in hostile.many_tags(100_000 if DEEP else 20_000).items()
        },
        "tags with many names of ogg": hostile.ogg_of(b"\x03vorbis" + struct.pack("<II", 0, 200_000) + names),
        "a tag of 40 MB of mp3": one_tag + bytes(40 * 2**20) + samples.file("bare.mp3"),
        **{f"nested {kind}": data for kind, data in hostile.nested().items()},
        **(hostile.picture_bombs() if DEEP else hostile.continents()),
    }


async def test_hostile_files_cost_the_service_no_memory_and_no_more_time_than_is_allowed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for work in ("audio", "tags", "cover", "artwork"):
        limit(monkeypatch, work, cpu_seconds=LIMITS[work].cpu_seconds if DEEP else 0.1)
    reading, files = Parsers(), {name: stage(data) for name, data in hostile_files().items()}
    before = forget_peak()
    for name, staged in files.items():
        for read in (reading.audio, partial(reading.tags, kind=name.split()[-1]), reading.artwork):
            began, cpu = time.monotonic(), time.process_time()
            with suppress(RefusedMediaError):
                await read(staged)
            assert time.process_time() - cpu < MOST_CPU_SECONDS, name
            if DEEP:
                assert time.monotonic() - began < MOST_SECONDS, name
        assert peak_memory() - before < MOST_MEMORY, name
