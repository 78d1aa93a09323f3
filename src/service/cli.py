"""`mastertape`: the command line of an operator."""

import click

from service.cli_adopt import adopt
from service.cli_doctor import doctor
from service.cli_keys import oauth_key, reseal
from service.cli_log import history, migrate, rebuild, verify
from service.cli_media import verify_media
from service.cli_operate import pause, redrive, resume
from service.cli_plan import apply, plan
from service.cli_recovered import recovered
from service.cli_serve import relay, serve
from service.cli_tape import export, import_
from service.cli_verify import verify_pds
from service.output import Commands


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
