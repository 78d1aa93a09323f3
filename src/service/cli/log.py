"""Commands on the database: its schema, its projections, the history of a track."""

from collections import Counter
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any, Final, cast

import click

from aggregates.tracks.track import Track
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from outbox.mirror.requeue import wake_stuck_lanes
from outbox.views.deliveries import deliveries
from outbox.views.status import mirrors
from projections.history import history_page
from projections.rebuild.difference import Difference
from projections.rebuild.rebuild import differences
from projections.rebuild.rebuild import rebuild as rebuild_projections
from projections.tracks.queries import track_by_id
from service.cli.output import DRIFT, confirm, print_found, print_json, progress_bar
from service.config.secret_keys import known_secret_keys
from service.config.settings import load
from service.observability.subscribers import PROJECTIONS
from service.schema.distribution import distribute as place_tables
from service.schema.distribution import misplaced
from service.schema.migrate import newest, require_schema, revision_of, upgrade_database
from service.schema.partitions import partition as divide
from service.schema.partitions import parts_of
from service.wiring.log import open_log


@contextmanager
def configured_log(*, of_any_schema: bool = False) -> Generator[EventLog]:
    """Open the log of the configured database for one command; raises OutdatedSchemaError."""
    with closing(open_log(load())) as log:
        if not of_any_schema:
            require_schema(log.database)
        yield log


def migrate(*, dry_run: bool, as_json: bool) -> None:
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


def partition(*, parts: int, agreed: bool, as_json: bool) -> None:
    with configured_log() as log:
        whole = [table for table, there in parts_of(log.database).items() if there == 0]
        if whole:
            confirm(
                f"This copies {', '.join(whole)}, and takes their size once more meanwhile", agreed=agreed
            )
        divided = divide(log.database, parts)
    if as_json:
        print_json({"parts": parts, "divided": divided})
    else:
        click.echo(
            f"divided into {parts} parts: {', '.join(divided)}"
            if divided
            else f"all have {parts} parts already"
        )


def distribute(*, shards: int, agreed: bool, as_json: bool) -> None:
    with configured_log() as log:
        with log.database.read() as connection:
            wanted = misplaced(connection)
        if wanted:
            said = "; ".join(f"{', '.join(tables)}: {place}" for place, tables in wanted.items())
            confirm(f"This moves {said}", agreed=agreed)
        place_tables(log.database, shards)
    if as_json:
        print_json({"placed": wanted})
    else:
        for place, tables in wanted.items():
            click.echo(f"{place}: {', '.join(tables)}")
        click.echo("all tables are where they should be")


def rebuild(name: str | None, *, dry_run: bool, as_json: bool) -> None:
    chosen = [each for each in PROJECTIONS if name in {None, each.name}]
    if not chosen:
        known = ", ".join(each.name for each in PROJECTIONS)
        raise click.UsageError(f"there is no projection {name!r}; there are {known}")
    with configured_log() as log, progress_bar("comparing" if dry_run else "rebuilding") as progress:
        if dry_run:
            rows = Counter(each.table for each in differences(log, chosen, progress=progress))
        else:
            rows = +Counter(rebuild_projections(log, chosen, progress=progress))
            wake_stuck_lanes(log.database)
    if as_json:
        print_json({"projections": [each.name for each in chosen], "rows": rows, "written": not dry_run})
        return
    for table, count in sorted(rows.items()):
        click.echo(f"{table}: {count} rows {'differ' if dry_run else 'corrected'}")
    if not rows:
        click.echo("nothing differed")


def verify(*, as_json: bool) -> None:
    """Run every part, unless one is named."""
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError("--json comes after the name of the part")
        return
    group, codes = cast("click.Group", ctx.command), set[int]()
    for part in group.commands.values():
        try:
            ctx.invoke(part, as_json=as_json)
        except SystemExit as ended:
            codes.add(int(ended.code or 0))
    if codes:
        raise SystemExit(DRIFT if DRIFT in codes else max(codes))


def projections(*, show_all: bool, as_json: bool) -> None:
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


ALL_EVENTS: Final = 2**31 - 2
"""As the limit of a page."""


def rows_of(database: Database, track_id: int) -> list[dict[str, Any]]:
    """Return one row for each event, oldest first; empty for an unknown track."""
    with database.read() as connection:
        track = track_by_id(connection, track_id)
        if track is None:
            return []
        this = (connection, track.did)
        entries = history_page(*this, track_id, limit=ALL_EVENTS, newest_first=False).items
        mirror = mirrors(*this, Track.TOPIC, [track_id])[track_id]
        events = [(entry.position, entry.touches_record) for entry in entries]
        delivered = deliveries(*this, Track.TOPIC, track_id, events, mirror=mirror)
    return [{**entry._asdict(), "delivery": asdict(delivered[entry.position])} for entry in entries]
