"""`mastertape doctor`."""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click
from sqlalchemy import make_url, select
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from outbox.mirror.tables import mirror_lane
from service.cli.output import as_json, print_json
from service.config.settings import Settings, SettingsError, load
from service.doctor import database as doctor_database
from service.doctor import outside as doctor_outside
from service.doctor.checks import Check, Checks, CheckState, fail, in_time, ok, run_check
from service.observability.expected import first_line
from service.schema.migrate import newest, revision_of
from service.wiring.log import open_log

COLORS = {CheckState.OK: "green", CheckState.WARN: "yellow", CheckState.FAIL: "red"}


@click.command()
@as_json
def doctor(*, as_json: bool) -> None:
    """Check everything that the service depends on, and say what to do. Exit code 1 when something does not work."""
    found = []
    for check in checks():
        found.append(check)
        if not as_json:
            _show(check)
    if as_json:
        print_json({"checks": [asdict(each) | {"state": each.state.value} for each in found]})
    if any(each.state is CheckState.FAIL for each in found):
        raise SystemExit(1)


def checks() -> Checks:
    """Run all checks in order."""
    try:
        settings = load()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield fail("settings", line, "see docs/settings.md")
        return
    yield ok("settings", "they make sense")
    yield from run_check(
        "disks", in_time(lambda: doctor_outside.disks(settings)), "make the folders readable"
    )
    yield from run_check(
        "media store", in_time(lambda: doctor_outside.store(settings)), "check MEDIA and the store itself"
    )
    yield from _of_database(settings)


def _of_database(settings: Settings) -> Checks:
    if settings.is_sqlite and not Path(str(make_url(settings.database_url).database)).exists():
        yield fail("database", "there is no file yet", "run `mastertape serve`, or restore a backup")
        return
    log = open_log(settings)
    with closing(log.database):
        try:
            is_current = revision_of(log.database) == newest()
        except (SQLAlchemyError, EventStoreError) as error:
            yield fail(
                "database", f"does not answer: {first_line(error)}", "check DATABASE_URL and the server"
            )
            return
        yield from run_check(
            "database", lambda: doctor_database.connection(log, settings), "check DATABASE_URL and the server"
        )
        yield from run_check("schema", lambda: doctor_database.schema(log), "run `mastertape migrate`")
        if not is_current:
            return
        yield from _of_log(log, settings)


def _of_log(log: EventLog, settings: Settings) -> Checks:
    away: set[str] = set()  # the PDSes that do not answer now
    for name, examination in (
        ("subscribers", lambda: doctor_database.subscribers(log)),
        ("restore", lambda: doctor_database.restores(log, settings)),
        ("keys", lambda: doctor_database.keys(log, settings)),
        (
            "PDSes",
            lambda: doctor_outside.outside(
                settings, doctor_outside.hosts(log.database), _any_account(log), away
            ),
        ),
        ("accounts", lambda: doctor_database.accounts(log, away)),
        ("records", lambda: doctor_database.records(log)),
        ("addresses", lambda: doctor_database.addresses(log, settings)),
        ("drift", lambda: doctor_database.scans(log, settings)),
        ("clock", lambda: doctor_outside.clock_of(log.database)),
    ):
        yield from run_check(name, examination, "check the log of the service")


def _any_account(log: EventLog) -> str | None:
    with log.database.read() as connection:
        return connection.scalar(select(mirror_lane.c.did).where(mirror_lane.c.host != "").limit(1))


def _show(check: Check) -> None:
    state = click.style(f"{check.state.value:4}", fg=COLORS[check.state])
    to_do = f": {check.to_do}" if check.to_do else ""
    click.echo(f"{state}  {check.name}: {check.found}{to_do}")
