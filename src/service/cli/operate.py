"""`mastertape redrive`, `pause` and `resume`; the log records each with operator and reason."""

import click

from outbox.operations.operators import Action, Operator, Selector, count, perform, sent_at_once
from service.cli.log import configured_log
from service.cli.output import as_json, dry_run, operator_envelope, print_json
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
@click.option("--cause", help="Only records that fail for this cause: its id in `mastertape failures`.")
@why
@dry_run
@as_json
def redrive(
    *,
    did: str | None,
    host: str | None,
    error: str | None,
    cause: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Retry rejected and failing records at once, behind live work."""
    which = Selector(did, host, error, cause)
    _operate(Action.REDRIVE, which, reason, dry_run, as_json)


@click.command()
@click.argument("did_or_host", metavar="DID-or-HOST")
@why
@dry_run
@as_json
def pause(*, did_or_host: str, reason: str | None, dry_run: bool, as_json: bool) -> None:
    """Stop sending for an account, or to a host, until it is resumed; edits accumulate."""
    _operate(Action.PAUSE, Selector.named(did_or_host), reason, dry_run, as_json)


@click.command()
@click.argument("did_or_host", metavar="DID-or-HOST")
@why
@dry_run
@as_json
def resume(*, did_or_host: str, reason: str | None, dry_run: bool, as_json: bool) -> None:
    """Resume an account, or a whole host, and send at once what waits there."""
    _operate(Action.RESUME, Selector.named(did_or_host), reason, dry_run, as_json)


def _operate(action: Action, which: Selector, reason: str | None, dry_run: bool, as_json: bool) -> None:
    with configured_log() as log:
        require_schema(log.database)
        at_once = sent_at_once(log.database, which) if action is Action.RESUME else None
        affected = (
            count(log.database, action, which)
            if dry_run
            else perform(log, action, which, Operator(operator_envelope(), reason))
        )
    if as_json:
        facts = {"action": action.value, "affected": affected, "written": not dry_run}
        print_json(facts if at_once is None else {**facts, "sent_at_once": at_once})
        return
    noun, done, would = WORDS[action]
    click.echo(f"{_number(affected, noun)} {would if dry_run else done}{_sent(at_once, dry_run=dry_run)}")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _sent(at_once: int | None, *, dry_run: bool) -> str:
    """Say what a resume does beside: it ends the waits of accounts that were not paused, too."""
    if at_once is None:
        return ""
    if not at_once:
        return "; nothing is to be sent at once"
    would = "would be" if dry_run else "is"
    return f"; what waits for {_number(at_once, 'account')} {would} sent at once"
