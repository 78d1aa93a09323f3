"""`mastertape export` and `import`: the log as a file."""

from pathlib import Path
from typing import Any

import click

from replay.dump import check_dump, import_dump
from replay.dump import export as export_tape
from service.cli.log import configured_log
from service.cli.output import confirm, print_json, progress_bar
from service.schema.migrate import newest


def export(file: str, *, agreed: bool, as_json: bool) -> None:
    target = Path(file).resolve()  # follow a link, as a shell does
    if target.exists() and not target.is_file():
        raise click.UsageError(
            f"{file} is not a regular file; name one: it is then there whole or not at all"
        )
    if target.exists():
        confirm(f"This replaces {file}", agreed=agreed)
    with configured_log() as log, progress_bar("exporting") as progress:
        lines = export_tape(log.database, target, schema=newest(), lines=lambda count: progress(count, count))
    if as_json:
        print_json({"file": file, "lines": lines})
    else:
        click.echo(f"{file}: {lines} lines")


def import_(file: str, *, dry_run: bool, agreed: bool, as_json: bool) -> None:
    source = Path(file)
    if not source.exists():
        raise click.UsageError(f"there is no file {file}")
    if not dry_run:
        confirm(f"This makes the log of {file} the log of the configured database", agreed=agreed)
    with configured_log() as log, progress_bar("importing") as progress:
        how: Any = {"schema": newest(), "lines": lambda count: progress(count, count)}
        taken = check_dump(source, **how) if dry_run else import_dump(log, source, **how, progress=progress)
    if as_json:
        print_json({"rows": taken, "written": not dry_run})
        return
    for kind, count in taken.items():
        click.echo(f"{kind}: {count} rows")
    click.echo("the file is intact" if dry_run else "imported; every account has to sign in again")
