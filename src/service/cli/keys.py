"""`mastertape oauth-key` and `mastertape reseal`."""

import click

from identity.errors import DecryptionError
from identity.sessions.encryption import Cipher
from identity.sessions.key_rotation import logins_by_oauth_key, reencrypt_logins
from service.cli.log import configured_log
from service.cli.output import as_json, dry_run, print_json, progress_bar
from service.config.secret_keys import new_oauth_keys, secret_keys
from service.config.settings import load
from service.schema.migrate import require_schema


@click.command("oauth-key")
@click.option(
    "--in-use", is_flag=True, help="Count the logins of each key instead; they end when the key is removed."
)
def oauth_key(in_use: bool) -> None:
    """Print a new private key, as a value for OAUTH_KEYS."""
    if not in_use:
        click.echo(new_oauth_keys())
        return
    cipher = Cipher(secret_keys(load()))
    with configured_log() as log:
        require_schema(log.database)
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


@click.command()
@dry_run
@as_json
def reseal(*, dry_run: bool, as_json: bool) -> None:
    """Re-encrypt every login with the first of SECRET_KEYS, so that the others can be removed."""
    cipher = Cipher(secret_keys(load()))
    with configured_log() as log, progress_bar("re-encrypting") as progress:
        require_schema(log.database)
        done = reencrypt_logins(log.database, cipher, progress=progress, dry_run=dry_run)
    if as_json:
        print_json({**vars(done), "written": not dry_run})
    else:
        anew = "would be re-encrypted" if dry_run else "re-encrypted"
        click.echo(f"{done.logins} logins: {done.resealed} {anew}, {done.lost} that no key decrypts")
    if done.lost:
        raise SystemExit(1)
