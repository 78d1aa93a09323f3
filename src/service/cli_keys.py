"""`mastertape oauth-key`."""

import click

from service.secret_keys import new_oauth_keys


@click.command("oauth-key")
def oauth_key() -> None:
    """Print a new private key, as a value for OAUTH_KEYS."""
    click.echo(new_oauth_keys())
