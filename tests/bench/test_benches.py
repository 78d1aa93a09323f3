"""Each bench, run with --quick: that it works and what it prints, not how fast anything is."""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import postgres
from bench.__main__ import BENCHES, main
from bench.console import SCREENS
from bench.growth import CLAIM, EDIT, READS
from bench.neighbours import NUISANCES, OPERATIONS, PERCENTILES
from bench.pages import PAGES
from bench.services import Servers
from devpds.server import DevPds

DATABASES = ("SQLite", "PostgreSQL")
ARMS = {
    "reads": [
        f"{database}: {which} {what}"
        for database in DATABASES
        for what in ("a track", "a page")
        for which in ("bare app,", "GET")
    ],
    "pages": [f"{kind} of {what}" for what in PAGES for kind in ("JSON", "page")],
    "console": [
        f"{database}: {kind} of {what}"
        for database in DATABASES
        for what in SCREENS
        for kind in ("JSON", "screen")
    ],
    "edits": [
        f"{database}: {which}, {load}"
        for database in DATABASES
        for load in ("1 client, relay off", "16 clients, relay on")
        for which in ("bare app", "PATCH")
    ],
    "deliveries": [
        f"{database}: {what}"
        for database in DATABASES
        for what in ("one-row transaction", "deliver a record")
    ],
    "throughput": [
        arm
        for accounts in ("1 account", "2 accounts")
        for arm in (
            f"bare putRecord, {accounts}",
            *(f"{database}: relay, {accounts}" for database in DATABASES),
        )
    ],
    "unit": [
        f"{database}: {what}, {when}"
        for database in DATABASES
        for when in ("1 thread", "8 threads", "32 threads", "processor time")
        for what in ("library's save", "unit of work")
    ],
    "lanes": [
        f"{database}: {what}"
        for database in DATABASES
        for what in ("one-row transaction", "claim a lane", "append an event", "deliver a record")
    ],
    "hosts": [
        f"{database}: p99 {what}" for database in DATABASES for what in ("alone", "beside a host that hangs")
    ],
    "backlog": [
        f"{database}: an edit {what}" for database in DATABASES for what in ("alone", "beside a replay")
    ],
    "rebuild": [
        f"{database}: {what}"
        for database in DATABASES
        for what in ("read", "read and fold", "verify", "rebuild")
    ],
    "memory": [f"{database}: {events} events" for database in DATABASES for events in (400, 2000)],
    "workers": [
        f"{method}, {processes}" for method in ("GET", "PATCH") for processes in ("one process", "2 workers")
    ],
    "search": [
        f"{database}: a term {what}, {tracks} tracks"
        for database in DATABASES
        for what in ("of one track", "of every track", "of no track", "of two letters")
        for tracks in (100, 1000)
    ],
    "growth": [
        f"{database}: {what}, {events} events"
        for database in DATABASES
        for what in (*READS, EDIT, CLAIM)
        for events in (400, 2000)
    ],
    "start": ["the imports", *(f"serve, {database}" for database in DATABASES)],
    "replay": ["bare putRecord", *(f"replay a record, {database}" for database in DATABASES)],
    "patch": [
        "bare putRecord",
        *(f"PATCH, {database}, PDS +{delay} ms" for database in DATABASES for delay in (0, 50, 200)),
    ],
    "wait": [
        "bare putRecord",
        *(
            f"PATCH that waits, {database}"
            for database in (*DATABASES, "PostgreSQL, relay in another process")
        ),
        "bare putRecord now and then",
        *(f"commit to the PDS, {what}{database}" for database in DATABASES for what in ("", "the slowest, ")),
    ],
}
PROMISED = {
    "patch": ARMS["patch"][1:],
    "wait": ARMS["wait"][1:4],
    "hosts": ARMS["hosts"][1::2],
    "backlog": ARMS["backlog"][1::2],
    "memory": ARMS["memory"][1::2],
    "workers": ARMS["workers"][1::2],
    "pages": ARMS["pages"][1::2],
    "console": ARMS["console"][1::2],
    "replay": ARMS["replay"][1:],
    "search": ARMS["search"][1::2],
    "growth": ARMS["growth"][1::2],
    "start": ARMS["start"][1:],
}
BESIDE = [
    [f"{database}: {operation} {percentile}, {beside}" for beside in ("alone", *NUISANCES)]
    for database in DATABASES
    for operation in OPERATIONS
    for percentile in PERCENTILES
]
ARMS["neighbours"] = [arm for arms in BESIDE for arm in arms]
PROMISED["neighbours"] = [arm for arms in BESIDE for arm in arms[1:]]
DEEP = bool(os.environ.get("TEST_DEEP"))
SLOW = {"neighbours": (pytest.mark.skipif(not DEEP, reason="takes minutes"), pytest.mark.timeout(1200))}
ON_POSTGRES_ALONE = ("workers",)
WITH_SERVERS_OF_ITS_OWN = ("patch",)
"""It delays requests to its PDS. The others share that of all tests: to start another one takes longer than they do."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in BENCHES])
@pytest.mark.postgres
@pytest.mark.pds
def test_a_bench_reports_ratio_and_spread_of_every_arm(
    name: str, postgres_url: str, pds: DevPds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    if not DEEP and name not in WITH_SERVERS_OF_ITS_OWN:
        shares_servers(name, pds, monkeypatch)
    arms, promises = ARMS[name], PROMISED.get(name, [])
    if not DEEP and name not in ON_POSTGRES_ALONE:  # the same code on the second database takes as long again
        monkeypatch.setattr(postgres, "_server", lambda: nullcontext(None))
        arms, promises = without_postgres(arms), without_postgres(promises)
    result = CliRunner().invoke(main, [name, "--quick", "--json"])
    assert result.exit_code in {0, 1}, result.output
    report = json.loads(result.stdout)
    assert report["bench"] == name
    assert [row["arm"] for row in report["rows"]] == arms
    for row in report["rows"]:
        for figure in ("p50_ms", "per_second", "ratio"):
            assert 0 < row[figure]["low"] <= row[figure]["median"] <= row[figure]["high"]
    promised = [row["arm"] for row in report["rows"] if row["below"] is not None]
    assert promised == promises
    assert result.exit_code == (0 if all(row["kept"] for row in report["rows"]) else 1)


def shares_servers(name: str, pds: DevPds, monkeypatch: pytest.MonkeyPatch) -> None:
    def servers(folder: Path) -> nullcontext[Servers]:
        pds.plc.start()
        pds.start()  # another test may have stopped it
        return nullcontext(Servers(pds, folder))

    monkeypatch.setattr(sys.modules[f"bench.{name}"], "start_servers", servers, raising=False)


def without_postgres(arms: list[str]) -> list[str]:
    return [arm for arm in arms if "PostgreSQL" not in arm]


def test_every_bench_is_listed_with_its_sentence() -> None:
    result = CliRunner().invoke(main, ["--help"])
    for name, (sentence, _) in BENCHES.items():
        assert name in result.stdout
        assert sentence.split(",")[0][:40] in " ".join(result.stdout.split())
