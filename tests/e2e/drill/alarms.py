"""Which alarms of deploy/ fire, and when, where what was measured goes on; promtool evaluates them."""

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

PROMTOOL = shutil.which("promtool") or "promtool"
RULES = Path(__file__).parents[3] / "deploy/prometheus/alerts.yml"
NAMED = set(re.findall(r"[a-z]+_[a-z_]+", RULES.read_text()))
HEALTHY_MINUTES = 10
WATCHED_MINUTES = 30
NOT_SCRAPED = "stale"
STATE = re.compile(r'alertname="(\w+)", alertstate="(\w+)"')
FAILED = re.compile(r'expr: "ALERTS", time: (\d+)m')

Values = Mapping[str, float]
"""By series: its name and labels."""


@dataclass(frozen=True)
class Measured:
    """The metrics at the beginning and at the end of a time; None of a process that did not answer."""

    begin: str | None
    end: str | None
    seconds: float

    @property
    def level(self) -> Values:
        return dict(_values(self.end))

    def growth(self) -> Values:
        """By how much each series grows in a minute; a gauge stays, but an age grows with time."""
        before, found = dict(_values(self.begin)), {}
        for series, value in self.level.items():
            grown = value - before.get(series, 0.0)
            if "_total" in series:
                found[series] = max(0.0, grown) * 60 / self.seconds
            else:
                is_age = "_seconds" in series and grown > self.seconds / 2
                found[series] = 60.0 if is_age else 0.0
        return found


def alarms(
    healthy: Sequence[Measured], now: Sequence[Measured], leaving_out: Collection[str] = ()
) -> list[str]:
    """Say which alarms fire in 30 minutes, after 10 of health; one measurement for each process."""
    processes = enumerate(zip(healthy, now, strict=True), start=1)
    states = _states(
        [(_of(number, series), told) for number, pair in processes for series, told in _series(*pair)]
    )
    rules = {rule["alert"]: rule for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]}
    known = {
        alarm: minutes
        for alarm, minutes in sorted(states.items())
        if "firing" in minutes.values() and alarm not in leaving_out
    }
    if not known:
        return [f"none fires, nor would any if it went on for {WATCHED_MINUTES} minutes"]
    return [_line(rules[alarm], minutes) for alarm, minutes in known.items()]


def _line(rule: Mapping[str, Any], states: Mapping[int, str]) -> str:
    fires = min(minute for minute, state in states.items() if state == "firing") - HEALTHY_MINUTES
    when = "fired before" if fires < 0 else f"fires after {fires} min" if fires else "fires at once"
    notes = {name: " ".join(text.split()) for name, text in rule["annotations"].items()}
    return f"{rule['alert']} ({rule['labels']['severity']}) {when}: {notes['summary']} -> {notes['action']}"


def _series(healthy: Measured, now: Measured) -> Iterator[tuple[str, str]]:
    """What Prometheus would have of a process: healthy for a while, then as it is now."""
    was, is_, grew, grows = healthy.level, now.level, healthy.growth(), now.growth()
    for series in {*was, *is_}:
        told = f"_x{HEALTHY_MINUTES}"
        reached = 0.0
        if series in was:
            told = _line_of(was[series], grew[series], HEALTHY_MINUTES - 1)
            reached = was[series] + grew[series] * (HEALTHY_MINUTES - 1)
        if series not in is_:
            then = NOT_SCRAPED
        else:
            # a counter goes on from there, unless the process began anew
            is_counter = "_total" in series and is_[series] >= was.get(series, 0.0)
            begin = reached + is_[series] - was.get(series, 0.0) if is_counter else is_[series]
            then = _line_of(begin, grows[series], WATCHED_MINUTES)
        yield series, f"{told} {then}"


def _of(process: int, series: str) -> str:
    name, _, labels = series.removesuffix("}").partition("{")
    return f'{name}{{instance="{process}",{labels}}}'.replace(",}", "}")


def _line_of(begin: float, growth: float, minutes: int) -> str:
    return f"{begin:.3f}{growth:+.3f}x{minutes}"


def _states(series: Sequence[tuple[str, str]]) -> Mapping[str, Mapping[int, str]]:
    """The state of each alarm by minute: promtool prints what it finds where nothing is expected."""
    asked = [
        {"expr": "ALERTS", "eval_time": f"{minute}m", "exp_samples": []}
        for minute in range(1, HEALTHY_MINUTES + WATCHED_MINUTES)
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": asked,
    }
    rules = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    ran = subprocess.run(
        [PROMTOOL, "test", "rules", "/dev/stdin"],
        input=json.dumps(rules),
        capture_output=True,
        text=True,
        check=False,
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0 or FAILED.search(said), said
    found: dict[str, dict[int, str]] = defaultdict(dict)
    pieces = FAILED.split(said)[1:]
    for minute, text in zip(pieces[::2], pieces[1::2], strict=True):
        for alarm, state in STATE.findall(text):
            found[alarm][int(minute)] = state
    return found


def _values(text: str | None) -> Iterator[tuple[str, float]]:
    for family in text_string_to_metric_families(text or ""):
        for sample in family.samples:
            if sample.name in NAMED:
                labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sample.labels.items())
                yield f"{sample.name}{{{labels}}}" if labels else sample.name, sample.value
