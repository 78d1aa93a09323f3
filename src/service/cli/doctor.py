"""`mastertape doctor`."""

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import EventStoreError
from service.cli.output import print_json
from service.config.settings import Settings, SettingsError, load
from service.doctor import database, outside
from service.doctor.checks import Checks, CheckState, check, in_time, run_check
from service.observability.expected import first_line
from service.schema.migrate import newest, revision_of
from service.wiring.log import open_log

COLORS = {CheckState.OK: "green", CheckState.WARN: "yellow", CheckState.FAIL: "red"}


def doctor(*, as_json: bool) -> None:
    found = []
    for each in checks():
        found.append(each)
        if not as_json:
            state = click.style(f"{each.state.value:4}", fg=COLORS[each.state])
            click.echo(f"{state}  {each.name}: {each.found}{': ' if each.to_do else ''}{each.to_do}")
    if as_json:
        print_json({"checks": [asdict(each) for each in found]})
    if any(each.state is CheckState.FAIL for each in found):
        raise SystemExit(1)


def checks() -> Checks:
    try:
        settings = load()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield check("settings", line, (CheckState.FAIL, True, "see docs/settings.md"))
        return
    yield check("settings", "they make sense")
    yield from run_check(
        "disks", "make the folders readable", lambda: in_time(lambda: outside.disks(settings))
    )
    yield from run_check(
        "media store", "check MEDIA and the store itself", lambda: in_time(lambda: outside.store(settings))
    )
    yield from _of_database(settings)


def _of_database(settings: Settings) -> Checks:
    if settings.is_sqlite and not Path(str(sa.make_url(settings.database_url).database)).exists():
        to_do = "run `mastertape serve`, or restore a backup"
        yield check("database", "there is no file yet", (CheckState.FAIL, True, to_do))
        return
    log = open_log(settings)
    with closing(log.database):
        to_do = "check DATABASE_URL and the server"
        try:
            is_current = revision_of(log.database) == newest()
        except (SQLAlchemyError, EventStoreError) as error:
            found = f"does not answer: {first_line(error)}"
            yield check("database", found, (CheckState.FAIL, True, to_do))
            return
        yield from run_check("database", to_do, lambda: database.connection(log, settings))
        yield from run_check("schema", "run `mastertape migrate`", lambda: database.schema(log))
        if not is_current:
            return
        away: set[str] = set()  # the PDSes that do not answer now
        for name, examination in (
            ("cluster", lambda: database.cluster(log)),
            ("subscribers", lambda: database.subscribers(log)),
            ("restore", lambda: database.restores(log, settings)),
            ("keys", lambda: database.keys(log, settings)),
            ("PDSes", lambda: outside.pdses(log.database, settings, away)),
            ("accounts", lambda: database.accounts(log, away)),
            ("records", lambda: database.records(log)),
            ("addresses", lambda: database.addresses(log, settings)),
            ("drift", lambda: database.scans(log, settings)),
            ("clock", lambda: outside.clock_of(log.database)),
        ):
            yield from run_check(name, "check the log of the service", examination)
