"""`mastertape recovered`: prepares a restored database for use."""

from dataclasses import asdict
from functools import partial
from typing import Final

import click

from eventstore.coordination.restore_detection import ends_before, newest_before_restore
from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from outbox.operations.operators import Operator, record_operation
from replay.recovered import Recovery, preview_recovery, recover
from service.cli.log import configured_log
from service.cli.output import operator_envelope, print_json
from service.config.settings import Settings, load
from service.schema.high_water_mark import detect_restore, seen_position

RECOVERED: Final = "recovered"


def recovered(
    *, if_noticed: bool, nothing_lost: bool, revoke_tokens: bool, dry_run: bool, as_json: bool
) -> None:
    with configured_log() as log:
        settings = load()
        seen = seen_position(settings)
        if nothing_lost:
            with log.database.read() as connection:
                newest = newest_before_restore(connection)
            if newest < seen:
                raise click.ClickException(
                    f"{ends_before(newest, seen)}: something is lost, so run `mastertape recovered`"
                )
        if dry_run:
            found = preview_recovery(log, seen=seen, nothing_lost=nothing_lost, if_noticed=if_noticed)
        else:
            found = recover_now(
                log, settings, nothing_lost=nothing_lost, if_noticed=if_noticed, revoke_tokens=revoke_tokens
            )
    if found.because is None and not if_noticed:
        raise click.ClickException(
            "no restore was noticed, so nothing waits and nothing was changed."
            " If the database was put back: `mastertape recovered`"
        )
    if as_json:
        print_json({**asdict(found), "written": found.because is not None and not dry_run})
    else:
        show_recovery(found, dry_run=dry_run, tokens_revoked=revoke_tokens)


def recover_now(
    log: EventLog, settings: Settings, *, nothing_lost: bool, if_noticed: bool, revoke_tokens: bool
) -> Recovery:
    detect_restore(log, settings)
    found = recover(log, if_noticed=if_noticed, nothing_lost=nothing_lost, revoke_tokens=revoke_tokens)
    if found.because is not None:
        how = {"nothing_lost": nothing_lost, "revoke_tokens": revoke_tokens}
        operator = Operator(operator_envelope(), found.because)
        record = partial(
            record_operation, action=RECOVERED, which=how, operator=operator, affected=found.accounts
        )
        try:
            log.transact(operator.envelope.actor, operator.envelope, record)
        except EventStoreError as error:  # the recovery itself is committed
            click.echo(f"the log could not record who ran this command: {error}", err=True)
    detect_restore(log, settings)
    return found


def show_recovery(found: Recovery, *, dry_run: bool, tokens_revoked: bool) -> None:
    if found.because is None:
        waiting = f"; {found.accounts} accounts wait for `mastertape verify pds`" if found.accounts else ""
        click.echo(f"no restore was noticed{waiting}. If there was one: `mastertape recovered`")
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
