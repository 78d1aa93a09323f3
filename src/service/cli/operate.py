"""`mastertape redrive`, `pause` and `resume`; the log records each with operator and reason."""

from collections.abc import Callable
from typing import Any

import click

from outbox.operations.operators import Action, Operator, Selector, count, perform, sent_at_once
from service.cli.log import configured_log
from service.cli.output import as_json, dry_run, operator_envelope, print_json

WORDS = {
    Action.REDRIVE: ("record", "will be tried again", "would be tried again"),
    Action.PAUSE: ("account", "paused", "would be paused"),
    Action.RESUME: ("account", "resumed", "would be resumed"),
}


def action_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command the options of `_operate`."""
    return click.option("--reason", help="Why; recorded with the action.")(dry_run(as_json(command)))


@click.command()
@click.option("--did", help="Only records of this account.")
@click.option("--host", help="Only records of accounts at this host.")
@click.option("--error", help="Only records whose last error has this name.")
@click.option("--cause", help="Only records that fail for this cause: its id in `mastertape failures`.")
@action_options
def redrive(did: str | None, host: str | None, error: str | None, cause: str | None, **how: Any) -> None:
    _operate(Action.REDRIVE, Selector(did, host, error, cause), **how)


@click.command()
@click.argument("did_or_host", metavar="DID-or-HOST")
@action_options
def pause(did_or_host: str, **how: Any) -> None:
    _operate(Action.PAUSE, Selector.named(did_or_host), **how)


@click.command()
@click.argument("did_or_host", metavar="DID-or-HOST")
@action_options
def resume(did_or_host: str, **how: Any) -> None:
    _operate(Action.RESUME, Selector.named(did_or_host), **how)


def _operate(action: Action, which: Selector, *, reason: str | None, dry_run: bool, as_json: bool) -> None:
    with configured_log() as log:
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
    sent = ""
    if at_once is not None:  # a resume also ends the waits of accounts that were not paused
        waits = f"what waits for {_number(at_once, 'account')} {'would be' if dry_run else 'is'} sent at once"
        sent = f"; {waits}" if at_once else "; nothing is to be sent at once"
    click.echo(f"{_number(affected, noun)} {would if dry_run else done}{sent}")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
