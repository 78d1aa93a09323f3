"""Each bench, run with --quick: that it works and what it prints, not how fast anything is."""

import json
import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import postgres
from bench.__main__ import BENCHES, main
from bench.goals import GOALS
from bench.services import Servers
from devpds.server import DevPds

PROMISES = {
    "patch", "wait", "hosts", "backlog", "memory", "workers", "pages", "console", "replay", "search", "growth", "start", "rebuilding",
    "neighbours", "lists",
}  # fmt: skip
"""The benches that fail where a figure of theirs is over its bound."""
DEEP = bool(os.environ.get("TEST_DEEP"))
LONG = {
    "patch", "wait", "edits", "pages", "console", "neighbours", "growth", "workers", "start", "hosts", "reads", "throughput", "rebuilding",
    "lists", "memory",
}  # fmt: skip
DEEP_ALONE = (
    pytest.mark.skipif(not DEEP, reason="takes ten seconds to minutes: ./dev test --deep"),
    pytest.mark.timeout(1200),
)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=DEEP_ALONE if name in LONG else ()) for name in BENCHES]
)
@pytest.mark.postgres
@pytest.mark.pds
def test_a_bench_reports_ratio_and_spread_of_the_arms_that_goals_and_promises_name(
    name: str, postgres_url: str, pds: DevPds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    goals = {shape(goal.arm) for goal in GOALS if goal.bench == name and goal.arm is not None}
    if not DEEP:  # to start another PDS, or to run the same code on the second database, takes as long again
        shares_servers(name, pds, monkeypatch)
        monkeypatch.setattr(postgres, "_server", lambda: nullcontext(None))
        goals = {arm for arm in goals if "PostgreSQL" not in arm}
    result = CliRunner().invoke(main, [name, "--quick", "--json"], catch_exceptions=False)
    assert result.exit_code in {0, 1}, result.output
    report = json.loads(result.stdout)
    assert report["bench"] == name
    assert goals <= {shape(row["arm"]) for row in report["rows"]}
    for row in report["rows"]:
        for figure in ("p50_ms", "per_second", "ratio"):
            assert 0 < row[figure]["low"] <= row[figure]["median"] <= row[figure]["high"]
    assert any(row["below"] is not None for row in report["rows"]) == (name in PROMISES)
    assert result.exit_code == (0 if all(row["kept"] for row in report["rows"]) else 1)


def shape(arm: str) -> str:
    """Return the name of an arm without its size, which is smaller with --quick."""
    return re.sub(r"\d+ (\w+?)s?\b", r"N \1", arm)


def shares_servers(name: str, pds: DevPds, monkeypatch: pytest.MonkeyPatch) -> None:
    def servers(folder: Path) -> nullcontext[Servers]:
        pds.plc.start()
        pds.start()  # another test may have stopped it
        return nullcontext(Servers(pds, folder))

    monkeypatch.setattr(sys.modules[f"bench.{name}"], "start_servers", servers, raising=False)


def test_every_bench_is_listed_with_its_sentence() -> None:
    result = CliRunner().invoke(main, ["--help"])
    for name, (sentence, _) in BENCHES.items():
        assert name in result.stdout
        assert sentence.split(",")[0][:40] in " ".join(result.stdout.split())
