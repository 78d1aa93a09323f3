"""Prints the marks of tests that this machine cannot run, for pytest's -m, and the reasons on stderr."""

import shutil
import sys

from tests.servers import browser, internet, pgbouncer


def left_out() -> dict[str, str]:
    """Return the marks of tests that cannot run here, each with what is missing."""
    missing = {}
    if browser.chromium() is None:
        missing["browser"] = "no Chromium on the path or in CHROMIUM; on Debian: apt install chromium"
    if pgbouncer.PROGRAM is None:
        missing["pgbouncer"] = "no PgBouncer on the path; on Debian: apt install pgbouncer"
    if shutil.which("promtool") is None:
        missing["promtool"] = "no promtool on the path; on Debian: apt install promtool"
    if not internet.available():
        missing["namespaces"] = "no Linux namespaces for this user, so no port 443 and no DNS of our own"
    return missing


if __name__ == "__main__":
    found = left_out()
    for mark, why in found.items():
        print(f"dev: leaving out the tests marked {mark}: {why}", file=sys.stderr)  # noqa: T201
    print(" and ".join(f"not {mark}" for mark in found))  # noqa: T201
