"""A service under load, and what an operator sees of it while something is done to it."""

import json
import logging
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx

from demo.service import MASTERTAPE, Service
from outbox.pds.verdict import Kind
from service.observability.expected import Expected
from tests.e2e.drill.alarms import Measured, alarms
from tests.e2e.drill.golden_text import block, is_golden, steady
from tests.e2e.writer import Writer
from tests.waits import until

if TYPE_CHECKING:
    from pathlib import Path

MINUTE_SECONDS = 60.0
MEASURED_SECONDS = 12.0
"""Gauges are read every five, and a refused edit may take as long on a busy machine."""
SEEN_ELSEWHERE = {
    "at", "level", "logger", "message", "request_id", "epoch", "method", "path", "milliseconds", "owners",
    "gen", "track_id", "uri",
}  # fmt: skip
"""Fields of a log line that say nothing of what has happened."""
JOBS = ("apscheduler.scheduler",)
"""It notices when a clock is set: two runs of a job are due at once."""
CUT_DELIVERIES = {Kind.AMBIGUOUS, Kind.READ_BACK}
"""Of `not_delivered`, when a delivery was under way: it is made again, and `ends` proves that it arrives."""


class Drill:
    """One case. The artists go on whatever happens, and `ends` counts what was acknowledged."""

    def __init__(self, writers: Sequence[Writer], services: Sequence[Service], names: Mapping[str, str]):
        self.writers = writers
        self._services = services
        self._names = {service.url: "http://SERVICE" for service in services} | names
        self._scenes: list[str] = []
        self._healthy: list[Measured] = []
        self._read_until: Counter[Path] = Counter()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(len(writers))
        self._working = [self._pool.submit(writer.edits_until, self._stop) for writer in writers]

    def is_well(self) -> None:
        """Wait until all artists have edited, and measure the service while it is healthy."""
        self.edits_are_acknowledged()
        self._healthy = self._measured()
        self.skips_the_log()

    def skips_the_log(self) -> None:
        """Leave out of the next look what the log has got so far."""
        self._new_lines()

    def edits_are_acknowledged(self, *, more: int = 3) -> None:
        """Wait until each artist has had so many more edits acknowledged."""
        wanted = [len(writer.acknowledged) + more for writer in self.writers]

        def are_acknowledged() -> bool:
            self._fails_with_an_artist()
            return all(len(w.acknowledged) >= n for w, n in zip(self.writers, wanted, strict=True))

        until(are_acknowledged, within=MINUTE_SECONDS)

    def looks(
        self,
        scene: str = "",
        *,
        says: Collection[str] = (),
        passing: Collection[Expected] = (),
        at_times: Collection[str] = (),
    ) -> None:
        """See what there is to see within a minute, when the log has what it `says`.

        What the service was just doing decides which lines a failure leaves. So of errors of the `passing` kinds only
        the messages in `says` are in the text, each once, and no line, alarm or check that comes `at_times`. All else that is worth a warning is in it.
        """
        heard: list[Any] = []

        def has_said() -> bool:
            self._fails_with_an_artist()
            heard.extend(self._new_lines())
            return {line["message"] for line in heard if isinstance(line, dict)} >= {*says}

        until(has_said, within=MINUTE_SECONDS)
        now = self._measured()
        health = [line for service in self._services for line in _health(service)]
        doctor = _doctor(self._services[0], at_times)
        assert has_said()
        told = sorted(
            {steady(line, self._names) for each in heard for line in _told(each, says, passing, at_times)}
        )
        text = "\n".join(
            (
                block("health", dict.fromkeys(steady(line, self._names) for line in health)),
                block("alerts", alarms(self._healthy, now, at_times)),
                block("doctor", [steady(line, self._names) for line in doctor]),
                block("log", told or ["nothing worth a warning"]),
            )
        )
        self._scenes.append(f"== {scene} ==\n\n{text}" if scene else text)

    def ends(self, case: str, title: str) -> None:
        """Every acknowledged edit is there once, the PDS has the last one, the service is well; the text is the golden one."""
        self.stops()
        until(lambda: all(writer.is_delivered for writer in self.writers), within=MINUTE_SECONDS)
        for writer in self.writers:
            assert sorted(writer.titles) == sorted(["First Take", *writer.acknowledged])
        self.is_told(case, title)

    def is_told(self, case: str, title: str) -> None:
        """The service is well again, and the text of what was seen is the golden one."""
        for service in self._services:
            until(lambda service=service: _is_ready(service), within=MINUTE_SECONDS)
            assert operator(service, "doctor").returncode == 0
        is_golden(case, title, self._scenes)

    def stops(self) -> None:
        """Let the artists finish the edit that they are at."""
        self._stop.set()
        for each in self._working:
            each.result(MINUTE_SECONDS)

    def hangs_up(self) -> None:
        """End the artists' work, whatever they were at."""
        self._stop.set()
        for writer in self.writers:
            writer.artist.client.http.close()
        self._pool.shutdown()

    def _fails_with_an_artist(self) -> None:
        """Raise what ended an artist's work, where that was no order to stop."""
        for each in self._working:
            if each.done():
                each.result()

    def _measured(self) -> list[Measured]:
        began = time.monotonic()
        first = [_metrics(service) for service in self._services]
        until(lambda: time.monotonic() >= began + MEASURED_SECONDS)
        pairs = zip(first, [_metrics(service) for service in self._services], strict=True)
        return [Measured(*pair, time.monotonic() - began) for pair in pairs]

    def _new_lines(self) -> list[Any]:
        """What the logs have got since they were read last: JSON, or a sentence of a command that ended."""
        found: list[Any] = []
        for log in {service.log for service in self._services}:
            text = log.read_text()[self._read_until[log] :]
            whole = text[: text.rfind("\n") + 1]
            self._read_until[log] += len(whole)
            found += [json.loads(each) if each.startswith("{") else each for each in whole.splitlines()]
        return found


def operator(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MASTERTAPE_")}
    return subprocess.run(
        [MASTERTAPE, *words], env=ours | service.settings, capture_output=True, text=True, check=False
    )


def _health(service: Service) -> Iterator[str]:
    for path in ("/healthz", "/readyz"):
        try:
            reply = httpx.get(service.url + path, timeout=30)
        except httpx.TransportError:
            yield f"GET {path}: no answer"
        else:
            yield f"GET {path}: {reply.status_code} {reply.text}"


def _is_ready(service: Service) -> bool:
    """Whether it is, and says nothing beside: of a disk it may look seconds later."""
    return bool(httpx.get(f"{service.url}/readyz").json() == {"status": "ready"})


def _metrics(service: Service) -> str | None:
    try:
        return httpx.get(f"{service.url}/metrics", timeout=30).raise_for_status().text
    except httpx.HTTPError:
        return None


def _doctor(service: Service, at_times: Collection[str]) -> list[str]:
    """What doctor finds that is not well, apart from checks that fail only `at_times`, and its exit code."""
    ran = operator(service, "doctor")
    left_out = ("ok ", *(f"warn  {check}:" for check in at_times))
    unwell = [line for line in ran.stdout.splitlines() if not line.startswith(left_out)]
    return [*(unwell or ["all is ok"]), f"exit {ran.returncode}"]


def _told(
    line: Any, says: Collection[str], passing: Collection[Expected], at_times: Collection[str]
) -> Iterator[str]:
    if not isinstance(line, dict):
        if line and not line.startswith("mastertape answers on"):
            yield line
        return
    if _is_cut_delivery(line):
        return
    message, kind = line["message"], _kind_of_error(line)
    is_warning = logging.getLevelNamesMapping()[line["level"].upper()] >= logging.WARNING
    is_passing = kind in passing or {message, line["logger"]} & {*at_times}
    if message in says and kind:
        yield f"{line['level']} {message}; error: {kind}; next: {line['next']}"
    elif message in says or (is_warning and not is_passing):
        fields = (f"{name}: {value}" for name, value in line.items() if name not in SEEN_ELSEWHERE)
        yield "; ".join([f"{line['level']} {message}", *fields])


def _is_cut_delivery(line: Mapping[str, Any]) -> bool:
    return line["message"] == "not_delivered" and line["kind"] in CUT_DELIVERIES


def _kind_of_error(line: Mapping[str, Any]) -> Expected | None:
    """The kind with which an expected failure's `error` begins."""
    return next((kind for kind in Expected if str(line.get("error")).startswith(f"{kind}:")), None)
