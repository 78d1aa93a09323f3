"""Commands on the database: its schema, its projections, the history of a track."""

from collections import Counter
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any, Final

import click

from aggregates.track import Track
from eventstore.database import Database
from eventstore.event_log import EventLog
from outbox.views.deliveries import deliveries
from outbox.views.status import mirrors
from projections.history import HistoryEntry, history_page
from projections.rebuild.difference import Difference
from projections.rebuild.rebuild import differences
from projections.rebuild.rebuild import rebuild as rebuild_projections
from service.cli.commands import Commands
from service.cli.output import (
    DRIFT,
    as_json,
    dry_run,
    print_found,
    print_json,
    progress_bar,
    show_all,
)
from service.config.secret_keys import known_secret_keys
from service.config.settings import load
from service.observability.subscribers import PROJECTIONS
from service.schema.migrate import newest, require_schema, revision_of, upgrade_database
from service.wiring.log import open_log


@contextmanager
def configured_log(*, of_any_schema: bool = False) -> Generator[EventLog]:
    """Open the log of the configured database for one command; raises OutdatedSchemaError."""
    with closing(open_log(load())) as log:
        if not of_any_schema:
            require_schema(log.database)
        yield log


@click.command()
@dry_run
@as_json
def migrate(*, dry_run: bool, as_json: bool) -> None:
    """Then fails where SECRET_KEYS decrypt no login, as `serve` would."""
    with configured_log(of_any_schema=True) as log:
        before, after = revision_of(log.database), newest()
        if before != after and not dry_run:
            upgrade_database(log.database)
        from service.observability.readiness import require_keys  # noqa: PLC0415 - `history` does without its imports

        settings = load()
        if not dry_run and known_secret_keys(settings):
            require_keys(log, settings)
    if as_json:
        print_json({"before": before, "after": after, "written": before != after and not dry_run})
    elif before == after:
        click.echo(f"the schema is at {after} already")
    else:
        click.echo(f"{before or 'empty'} -> {after}{' (not written)' if dry_run else ''}")


@click.command()
@click.argument("name", required=False)
@dry_run
@as_json
def rebuild(name: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Reads and writes continue meanwhile."""
    chosen = [each for each in PROJECTIONS if name in {None, each.name}]
    if not chosen:
        known = ", ".join(each.name for each in PROJECTIONS)
        raise click.UsageError(f"there is no projection {name!r}; there are {known}")
    with configured_log() as log, progress_bar("comparing" if dry_run else "rebuilding") as progress:
        if dry_run:
            rows = Counter(each.table for each in differences(log, chosen, progress=progress))
        else:
            rows = +Counter(rebuild_projections(log, chosen, progress=progress).rows)
    if as_json:
        print_json({"projections": [each.name for each in chosen], "rows": rows, "written": not dry_run})
        return
    for table, count in sorted(rows.items()):
        click.echo(f"{table}: {count} rows {'differ' if dry_run else 'corrected'}")
    if not rows:
        click.echo("nothing differed")


@click.group(cls=Commands, invoke_without_command=True)
@as_json
@click.pass_context
def verify(ctx: click.Context, *, as_json: bool) -> None:
    """Compare derived data with the log, all of it or one part. Exit code 3 when something differs."""
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json comes after the name of the part")
        return
    codes: set[int] = set()
    for part in verify.commands.values():
        try:
            ctx.invoke(part, as_json=as_json)
        except SystemExit as ended:
            codes.add(int(ended.code or 0))
    if codes:
        raise SystemExit(DRIFT if DRIFT in codes else max(codes))


@verify.command("projections")
@show_all
@as_json
def verify_projections(*, show_all: bool, as_json: bool) -> None:
    """Compare every row of the read models with the log."""
    with configured_log() as log, progress_bar("comparing") as progress:
        found = differences(log, log.projections, progress=progress)
    if as_json:
        print_json({"differences": [asdict(each) for each in found]})
    elif not found:
        click.echo(f"{len(log.projections)} projections agree with the log")
    else:
        tables = sorted(Counter(each.table for each in found).items())
        click.echo(f"{len(found)} rows differ: {', '.join(f'{count} in {table}' for table, count in tables)}")
        rows = [(each.table, each.kind.value, _row(each)) for each in found]
        print_found(("table", "difference", "row"), rows, kinds=2, count="rows", show_all=show_all)
    if found:
        raise SystemExit(DRIFT)


@click.command()
@click.argument("track", type=click.IntRange(min=1))
@as_json
def history(track: int, *, as_json: bool) -> None:
    with configured_log() as log:
        rows = rows_of(log.database, track)
    if not rows:
        raise click.ClickException(f"there is no track {track}")
    for row in rows:
        if as_json:
            print_json(row)
            continue
        on_pds = f"; on the PDS: {row['delivery']['status']}" if row["touches_record"] else ""
        click.echo(f"{row['at']:%Y-%m-%d %H:%M:%S}  {row['type']} by {row['actor']} via {row['via']}{on_pds}")
        for each in row["changes"]:
            if each["before"] or each["after"]:
                click.echo(f"    {each['field']}: {each['before']!r} -> {each['after']!r}")


def _row(of: Difference) -> str:
    key = ", ".join(f"{name}={value}" for name, value in of.key.items())
    columns = "; ".join(f"{name} is {live!r}, not {made!r}" for name, (live, made) in of.columns.items())
    return f"{key}: {columns}" if columns else key


PAGE_SIZE: Final = 500


def rows_of(database: Database, track_id: int) -> list[dict[str, Any]]:
    """Return one row for each event, oldest first; empty for an unknown track."""
    with database.read() as connection:
        entries: list[HistoryEntry] = []
        cursor: int | None = None
        while not entries or cursor is not None:
            page = history_page(connection, track_id, cursor=cursor, limit=PAGE_SIZE, newest_first=False)
            entries += page.items
            cursor = page.cursor
            if not entries:
                return []
        mirror = mirrors(connection, Track.TOPIC, [track_id])[track_id]
        events = [(entry.position, entry.touches_record) for entry in entries]
        delivered = deliveries(connection, Track.TOPIC, track_id, events, mirror)
    return [{**asdict(entry), "delivery": asdict(delivered[entry.position])} for entry in entries]
