"""`mastertape recovered`: after the database was restored to an earlier point."""

from dataclasses import asdict
from functools import partial
from typing import Final

import click

from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from outbox.operations.operators import Operator, record_operation
from replay.recovered import Recovery, outlook, recover
from service.cli.log import the_log
from service.cli.operator import by_operator
from service.cli.output import as_json, dry_run, say_json
from service.config.settings import load
from service.schema.high_water_mark import file_of, look_for_restore, read_newest
from service.schema.migrate import require_schema

RECOVERED: Final = "recovered"


@click.command()
@click.option("--force", is_flag=True, help="Treat the database as restored, although it was not noticed.")
@click.option(
    "--nothing-lost",
    is_flag=True,
    help="The log is complete, as after a failover without loss: resume at once.",
)
@click.option("--revoke-tokens", is_flag=True, help="Also revoke all our own tokens and browser sessions.")
@dry_run
@as_json
def recovered(*, force: bool, nothing_lost: bool, revoke_tokens: bool, dry_run: bool, as_json: bool) -> None:
    """Prepare a restored database for use: OAuth logins end, and nothing is sent for an account before `verify pds`."""
    if force and nothing_lost:
        raise click.UsageError("--force says that something was lost, --nothing-lost that nothing was")
    with the_log() as log:
        require_schema(log.database)
        settings = load()
        if dry_run:
            seen = read_newest(file_of(settings))
            found = outlook(log, seen=seen, nothing_lost=nothing_lost, force=force)
        else:
            look_for_restore(log, settings)
            found = recover(log, force=force, nothing_lost=nothing_lost, revoke_tokens=revoke_tokens)
            if found.because is not None:
                _note(log, found, {"nothing_lost": nothing_lost, "revoke_tokens": revoke_tokens})
            look_for_restore(log, settings)
    if as_json:
        say_json({**asdict(found), "written": found.because is not None and not dry_run})
    else:
        _show(found, dry_run=dry_run, tokens_revoked=revoke_tokens)


def _note(log: EventLog, found: Recovery, how: dict[str, bool]) -> None:
    """Have the log say who did it. What was done is done: read models of an earlier version keep nobody from it."""
    operator = Operator(by_operator(), found.because)
    noted = partial(record_operation, action=RECOVERED, which=how, operator=operator, affected=found.accounts)
    try:
        log.transact(operator.envelope.actor, operator.envelope, noted)
    except EventStoreError as error:
        click.echo(f"who did this could not be recorded in the log: {error}", err=True)


def _show(found: Recovery, *, dry_run: bool, tokens_revoked: bool) -> None:
    if found.because is None:
        waiting = f"; {found.accounts} accounts wait for `mastertape verify pds`" if found.accounts else ""
        click.echo(f"no restore was noticed{waiting}. If there was one: `mastertape recovered --force`")
        return
    would = "would " if dry_run else ""
    click.echo(f"restored: {found.because}")
    click.echo(f"the log ends at {found.position} and continues at {found.next_position} or later")
    click.echo(f"{found.logins_ended} OAuth logins {would}end: these artists have to sign in again")
    if found.tokens and not tokens_revoked:
        click.echo(
            f"{found.tokens} tokens and browser sessions are valid, including those revoked after the backup:"
            " --revoke-tokens revokes all"
        )
    click.echo(f"{found.accounts} accounts {would}wait for `mastertape verify pds` before anything is sent")
