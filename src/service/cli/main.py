"""`mastertape`: the command line of an operator."""

import click

from service.cli.adopt import adopt
from service.cli.doctor import doctor
from service.cli.keys import oauth_key, reseal
from service.cli.log import history, migrate, rebuild, verify
from service.cli.media import verify_media
from service.cli.operate import pause, redrive, resume
from service.cli.output import Commands
from service.cli.plan import apply, plan
from service.cli.recovered import recovered
from service.cli.serve import relay, serve
from service.cli.tape import export, import_
from service.cli.verify import verify_pds


@click.group(cls=Commands)
@click.version_option(package_name="mastertape")
def main() -> None:
    """An event-sourced track service that keeps the records in each artist's PDS in agreement with its log.

    Settings come from the environment: docs/settings.md. Exit codes: 0 well, 1 failed, 2 wrong usage, 3 drift found.
    """


verify.add_command(verify_pds)
verify.add_command(verify_media)
for command in (
    *(serve, relay, migrate, rebuild, verify, history, export, import_, adopt, oauth_key, reseal),
    *(plan, apply, recovered, redrive, pause, resume, doctor),
):
    main.add_command(command)
