"""`mastertape oauth-key` and `mastertape reseal`."""

from functools import partial

import click

from identity.errors import DecryptionError
from identity.sessions.encryption import Cipher
from identity.sessions.session_store import SessionRows, logins_by_oauth_key, reencrypt_logins
from outbox.mirror.lanes import park_lane
from service.cli.log import configured_log
from service.cli.output import print_json, progress_bar
from service.config.secret_keys import new_oauth_keys, secret_keys
from service.config.settings import load
from service.wiring.adapters import lane_signed_in

LOST = "its key was lost"
"""Why a login ended, as the account is told."""


def oauth_key(in_use: bool) -> None:
    if not in_use:
        click.echo(new_oauth_keys())
        return
    cipher = Cipher(secret_keys(load()))
    with configured_log() as log:
        try:
            counts = logins_by_oauth_key(log.database, cipher)
        except DecryptionError as error:
            raise click.ClickException(
                f"a login was not counted: {error}. Restore the missing key"
            ) from error
    for kid, count in counts.items():
        click.echo(f"{kid}  {count}")
    if not counts:
        click.echo("no login needs any", err=True)


def reseal(*, end_lost: bool, dry_run: bool, as_json: bool) -> None:
    cipher = Cipher(secret_keys(load()))
    with configured_log() as log, progress_bar("re-encrypting") as progress:
        done = reencrypt_logins(log.database, cipher, progress=progress, dry_run=dry_run)
        ended = 0
        sessions = SessionRows(
            log.database, cipher, on_reauth=park_lane, on_signed_in=partial(lane_signed_in, log.database)
        )
        for did, generation in done.lost if end_lost and not dry_run else ():
            with log.database.write() as connection:
                ended += sessions.end_in(connection, did, generation, LOST)
    lost = len(done.lost)
    if as_json:
        print_json({**vars(done), "lost": lost, "ended": ended, "written": not dry_run})
    else:
        anew = "would be re-encrypted" if dry_run else "re-encrypted"
        click.echo(
            f"{done.logins} logins: {done.resealed} {anew}, {lost} that no key decrypts, {ended} ended"
        )
    if lost > ended:
        raise click.ClickException(
            "logins that no key decrypts were kept: add their key to SECRET_KEYS again, or end them with --end-lost"
        )
