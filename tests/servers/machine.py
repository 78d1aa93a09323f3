"""Prints the marks of tests that this machine cannot run, for pytest's -m, and the reasons on stderr."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers import browser, internet, pgbouncer

PROGRAMS = {
    "promtool": "promtool",
    "nginx": "nginx",
    "caddy": "caddy",
    "docker-compose": "docker-compose",
    "systemd-analyze": "systemd",
    "faketime": "faketime",
}
"""Each with its package of Debian; the mark of a test has an underscore."""

HAS_OLD_COMMIT = ("git", "cat-file", "-e", "978c166^{commit}")
"""Of tests/service/schema/test_upgrade.py."""


def left_out() -> dict[str, str]:
    """Return the marks of tests that cannot run here, each with what is missing."""
    missing = {}
    if browser.chromium() is None:
        missing["browser"] = (
            "no Chromium on the path or in CHROMIUM; on Debian: apt install chromium-headless-shell"
        )
    if pgbouncer.PROGRAM is None:
        missing["pgbouncer"] = "no PgBouncer on the path; on Debian: apt install pgbouncer"
    for program, package in PROGRAMS.items():
        if not (shutil.which(program) or shutil.which(program, path="/usr/sbin")):
            missing[program.replace("-", "_")] = f"no {program} on the path; on Debian: apt install {package}"
    if subprocess.run(HAS_OLD_COMMIT, cwd=Path(__file__).parent, check=False, capture_output=True).returncode:
        missing["history"] = "this clone has not the commit of which upgrades are rehearsed"
    if not internet.available():
        missing["namespaces"] = "no Linux namespaces for this user, so no port 443 and no DNS of our own"
    return missing


if __name__ == "__main__":
    found = left_out()
    for mark, why in found.items():
        print(f"dev: leaving out the tests marked {mark}: {why}", file=sys.stderr)  # noqa: T201
    print(" and ".join(f"not {mark}" for mark in found))  # noqa: T201
