"""The alarms and the dashboard of deploy/, held to the metrics."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from service.wiring.bootstrap import Container
from tests.servers.databases import ON_SQLITE
from web.app import PAGES

PROMTOOL = shutil.which("promtool")
DEPLOY = Path(__file__).parents[3] / "deploy"
EXPRESSIONS = [
    *re.findall(r"expr: (.+)", (DEPLOY / "prometheus/alerts.yml").read_text()),
    *(
        target["expr"]
        for panel in json.loads((DEPLOY / "grafana/mastertape.json").read_text())["panels"]
        for target in panel["targets"]
    ),
]
NAME = re.compile(
    r"\b(?:mirror|oauth|firehose|projection|listener|database|blob|http|threads|disk|mastertape)_[a-z_]+"
)


@pytest.mark.promtool
def test_each_alarm_fires_in_its_case_and_none_while_all_is_well() -> None:
    rules = subprocess.run(
        [PROMTOOL or "promtool", "test", "rules", DEPLOY / "prometheus/alerts_test.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rules.returncode == 0, rules.stdout


def test_each_alarm_leads_to_a_section_that_explains_its_line_of_the_log_and_to_screens_that_exist() -> None:
    docs = DEPLOY.parent / "docs"
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        page, _, section = rule["annotations"]["runbook_url"].rpartition("/")[2].partition("#")
        parts = re.split(r"^#+ (.+)$", (docs / page).read_text(), flags=re.MULTILINE)[1:]
        sections = {
            name.lower().replace(" ", "-"): text for name, text in zip(*[iter(parts)] * 2, strict=True)
        }
        assert section in sections, rule["alert"]
        for line_of_log in re.findall(r"`(\w+_\w+)`", rule["annotations"]["action"]):
            assert f"`{line_of_log}`" in sections[section], rule["alert"]
    screens = [rule["annotations"]["console"] for rule in rules if "console" in rule["annotations"]]
    paths = {route.path for page in PAGES for route in page.router.routes}
    assert {screen.partition("}}")[2].partition("?")[0] for screen in screens} <= paths


@ON_SQLITE
def test_alarms_and_dashboard_name_only_metrics_that_exist(container: Container) -> None:
    told = set(re.findall(r"^# TYPE (\S+)", container.metrics.text().decode(), re.MULTILINE))
    told |= {f"{name}_{part}" for name in told for part in ("bucket", "sum", "count")}
    named = {name for each in EXPRESSIONS for name in NAME.findall(each)}
    assert len(named) > 10
    assert named <= told
