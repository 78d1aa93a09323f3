"""`mastertape redrive`, `pause` and `resume`; the log records each with operator and reason."""

import click

from outbox.operations.operators import Action, Operator, Selector, count, perform
from service.cli.log import configured_log
from service.cli.operator import operator_envelope
from service.cli.output import as_json, dry_run, print_json
from service.schema.migrate import require_schema

WORDS = {
    Action.REDRIVE: ("record", "will be tried again", "would be tried again"),
    Action.PAUSE: ("account", "paused", "would be paused"),
    Action.RESUME: ("account", "resumed", "would be resumed"),
}
why = click.option("--reason", help="Why; recorded with the action.")


@click.command()
@click.option("--did", help="Only records of this account.")
@click.option("--host", help="Only records of accounts at this host.")
@click.option("--error", help="Only records whose last error has this name.")
@why
@dry_run
@as_json
def redrive(
    *, did: str | None, host: str | None, error: str | None, reason: str | None, dry_run: bool, as_json: bool
) -> None:
    """Retry rejected and failing records at once, behind live work."""
    which = Selector(did, host, error)
    _operate(Action.REDRIVE, which, reason, dry_run, as_json)


@click.command()
@click.argument("did_or_host", metavar="DID-or-HOST")
@why
@dry_run
@as_json
def pause(*, did_or_host: str, reason: str | None, dry_run: bool, as_json: bool) -> None:
    """Stop sending for an account, or to a host, until it is resumed; edits accumulate."""
    _operate(Action.PAUSE, _which(did_or_host), reason, dry_run, as_json)


@click.command()
@click.argument("did_or_host", metavar="DID-or-HOST")
@why
@dry_run
@as_json
def resume(*, did_or_host: str, reason: str | None, dry_run: bool, as_json: bool) -> None:
    """Resume an account, or a whole host, and send at once what waits there."""
    _operate(Action.RESUME, _which(did_or_host), reason, dry_run, as_json)


def _operate(action: Action, which: Selector, reason: str | None, dry_run: bool, as_json: bool) -> None:
    with configured_log() as log:
        require_schema(log.database)
        affected = (
            count(log.database, action, which)
            if dry_run
            else perform(log, action, which, Operator(operator_envelope(), reason))
        )
    if as_json:
        print_json({"action": action.value, "affected": affected, "written": not dry_run})
        return
    noun, done, would = WORDS[action]
    click.echo(f"{affected} {noun}{'' if affected == 1 else 's'} {would if dry_run else done}")


def _which(name: str) -> Selector:
    return Selector(did=name) if name.startswith("did:") else Selector(host=name)
