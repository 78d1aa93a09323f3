"""Commands on the database: its schema, its projections, the history of a track."""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy import Connection

from aggregates.track import Track
from eventstore.database import Database
from eventstore.event_log import EventLog
from eventstore.projection import Projection
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
    print_groups,
    print_json,
    print_table,
    progress_bar,
    show_all,
)
from service.config.secret_keys import known_secret_keys
from service.config.settings import load
from service.schema.migrate import newest, require_schema, revision_of, upgrade_database
from service.wiring.log import open_log


@contextmanager
def configured_log() -> Generator[EventLog]:
    """Open the log of the configured database for one command."""
    log = open_log(load())
    try:
        yield log
    finally:
        log.close()


@click.command()
@dry_run
@as_json
def migrate(*, dry_run: bool, as_json: bool) -> None:
    """Bring the database to this version's schema. Then fails where SECRET_KEYS decrypt no login, as `serve` would."""
    with configured_log() as log:
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
    """Rebuild the read models from the log, or only the one called NAME. Reads and writes continue meanwhile."""
    with configured_log() as log:
        chosen = _chosen(log, name)
        require_schema(log.database)
        if dry_run:
            rows = _rows(_differences(log, chosen))
        else:
            with progress_bar("rebuilding") as progress:
                rebuilt = rebuild_projections(log, chosen, progress=progress)
            rows = {table: count for table, count in rebuilt.rows.items() if count}
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
    codes = [_code_of(ctx, part, as_json=as_json) for part in verify.commands.values()]
    if any(codes):
        raise SystemExit(DRIFT if DRIFT in codes else max(codes))


def _code_of(ctx: click.Context, part: click.Command, *, as_json: bool) -> int:
    try:
        ctx.invoke(part, as_json=as_json)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@verify.command("projections")
@show_all
@as_json
def verify_projections(*, show_all: bool, as_json: bool) -> None:
    """Compare every row of the read models with the log."""
    with configured_log() as log:
        require_schema(log.database)
        found = _differences(log, log.projections)
    if as_json:
        print_json({"differences": [asdict(each) for each in found]})
    elif not found:
        click.echo(f"{len(log.projections)} projections agree with the log")
    else:
        _show(found, show_all=show_all)
    if found:
        raise SystemExit(DRIFT)


@click.command()
@click.argument("track", type=click.IntRange(min=1))
@as_json
def history(track: int, *, as_json: bool) -> None:
    """Show who changed TRACK, when and how, and whether it reached the PDS; oldest first."""
    with configured_log() as log:
        require_schema(log.database)
        rows = rows_of(log.database, track)
    if not rows:
        raise click.ClickException(f"there is no track {track}")
    if as_json:
        for row in rows:
            print_json(row)
        return
    for row in rows:
        for line in _lines(row):
            click.echo(line)


def _chosen(log: EventLog, name: str | None) -> Sequence[Projection]:
    if name is None:
        return log.projections
    known = {each.name: each for each in log.projections}
    if name not in known:
        raise click.UsageError(f"there is no projection {name!r}; there are {', '.join(known)}")
    return (known[name],)


def _differences(log: EventLog, projections: Sequence[Projection]) -> list[Difference]:
    with progress_bar("comparing") as progress:
        return differences(log, projections, progress=progress)


def _rows(found: Sequence[Difference]) -> dict[str, int]:
    return dict(Counter(each.table for each in found))


def _show(found: Sequence[Difference], *, show_all: bool) -> None:
    counts = ", ".join(f"{count} in {table}" for table, count in sorted(_rows(found).items()))
    click.echo(f"{len(found)} rows differ: {counts}")
    if show_all:
        print_table(
            ("table", "difference", "row"), [(each.table, each.kind.value, _row(each)) for each in found]
        )
        return
    print_groups(
        ("table", "difference", "rows", "for example"),
        [((each.table, each.kind.value), _row(each)) for each in found],
    )


def _row(of: Difference) -> str:
    key = ", ".join(f"{name}={value}" for name, value in of.key.items())
    columns = "; ".join(f"{name} is {live!r}, not {made!r}" for name, (live, made) in of.columns.items())
    return f"{key}: {columns}" if columns else key


def _lines(row: dict[str, Any]) -> Iterator[str]:
    """Yield a line for the event and one for each changed field."""
    delivery = row["delivery"]["status"]
    on_pds = f"; on the PDS: {delivery}" if row["touches_record"] else ""
    yield f"{row['at']:%Y-%m-%d %H:%M:%S}  {row['type']} by {row['actor']} via {row['via']}{on_pds}"
    for each in row["changes"]:
        if each["before"] or each["after"]:
            yield f"    {each['field']}: {each['before']!r} -> {each['after']!r}"


PAGE_SIZE = 500


def rows_of(database: Database, track_id: int) -> list[dict[str, Any]]:
    """Return one row for each event, oldest first; empty for an unknown track."""
    with database.read() as connection:
        entries = list(_entries(connection, track_id))
        if not entries:
            return []
        mirror = mirrors(connection, Track.TOPIC, [track_id])[track_id]
        events = [(entry.position, entry.touches_record) for entry in entries]
        delivered = deliveries(connection, Track.TOPIC, track_id, events, mirror)
    return [{**asdict(entry), "delivery": asdict(delivered[entry.position])} for entry in entries]


def _entries(connection: Connection, track_id: int) -> Iterator[HistoryEntry]:
    cursor: int | None = None
    while True:
        page = history_page(connection, track_id, cursor=cursor, limit=PAGE_SIZE, newest_first=False)
        yield from page.items
        if page.cursor is None:
            return
        cursor = page.cursor
