"""`mastertape`: the command line of an operator."""

import click

from service.cli.commands import Commands, Deferred

COMMANDS = (
    Deferred(
        "adopt",
        "service.cli.adopt:adopt",
        "Make tracks of all records of DID, in the old collection too, that are none yet.",
    ),
    Deferred("apply", "service.cli.plan:apply", "Apply the plan."),
    Deferred(
        "doctor",
        "service.cli.doctor:doctor",
        "Check everything that the service depends on, and say what to do.",
    ),
    Deferred(
        "export",
        "service.cli.tape:export",
        "Write the log, and what it does not contain, to FILE: JSON lines with checksums.",
    ),
    Deferred(
        "history",
        "service.cli.log:history",
        "Show who changed TRACK, when and how, and whether it reached the PDS; oldest first.",
    ),
    Deferred("import", "service.cli.tape:import_", "Import an exported FILE into an empty database."),
    Deferred("migrate", "service.cli.log:migrate", "Bring the database to this version's schema."),
    Deferred(
        "oauth-key", "service.cli.keys:oauth_key", "Print a new private key, as a value for OAUTH_KEYS."
    ),
    Deferred(
        "pause",
        "service.cli.operate:pause",
        "Stop sending for an account, or to a host, until it is resumed; edits accumulate.",
    ),
    Deferred(
        "plan",
        "service.cli.plan:plan",
        "Show what would make PDSes agree with the log: each write, its rate-limit points, and the total duration.",
    ),
    Deferred(
        "rebuild",
        "service.cli.log:rebuild",
        "Rebuild the read models from the log, or only the one called NAME.",
    ),
    Deferred(
        "recovered",
        "service.cli.recovered:recovered",
        "Prepare a restored database for use: OAuth logins end, and nothing is sent for an account before `verify pds`.",
    ),
    Deferred(
        "redrive",
        "service.cli.operate:redrive",
        "Retry rejected and failing records at once, behind live work.",
    ),
    Deferred(
        "relay",
        "service.cli.relay:relay",
        "Run only a relay: any number of them, on any machines, share the work.",
    ),
    Deferred(
        "reseal",
        "service.cli.keys:reseal",
        "Re-encrypt every login with the first of SECRET_KEYS, so that the others can be removed.",
    ),
    Deferred("resume", "service.cli.operate:resume", "Resume an account, or a whole host, at once."),
    Deferred(
        "serve",
        "service.cli.serve:serve",
        "Serve HTTP, and run a relay beside it unless RELAY is off.",
    ),
    Deferred(
        "verify",
        "service.cli.verify:verify",
        "Compare derived data with the log, all of it or one part.",
    ),
)


@click.group(cls=Commands)
@click.version_option(package_name="mastertape")
def main() -> None:
    """An event-sourced track service that keeps the records in each artist's PDS in agreement with its log.

    Settings come from the environment: docs/settings.md. Exit codes: 0 well, 1 failed, 2 wrong usage, 3 drift found.
    """


for command in COMMANDS:
    main.add_command(command)
