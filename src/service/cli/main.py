"""`mastertape`: the command line of an operator."""

from typing import Final

import click

from service.cli.commands import Commands, Deferred

SECTIONS: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    "Run": (
        ("serve", "serve:serve", "Serve HTTP, and run a relay beside it unless RELAY is off."),
        ("relay", "relay:relay", "Run only a relay: any number of them, on any machines, share the work."),
        ("migrate", "log:migrate", "Bring the database to this version's schema."),
        ("doctor", "doctor:doctor", "Check everything that the service depends on, and say what to do."),
    ),
    "Look": (
        (
            "history",
            "log:history",
            "Show who changed TRACK, when and how, and whether it reached the PDS; oldest first.",
        ),
        (
            "status",
            "status:status",
            "Show since when hosts fail and what waits there; of a HOST its accounts, of a DID its lane and failing records.",
        ),
        (
            "failures",
            "status:failures",
            "Show why requests to PDSes fail, by cause; of a cause or an account, the records that fail.",
        ),
        (
            "jobs",
            "status:jobs",
            "Show the jobs of every kind, the newest first: how far each is, when it is tried next, and why it fails.",
        ),
        ("verify", "verify:verify", "Compare derived data with the log, all of it or one part."),
        (
            "plan",
            "plan:plan",
            "Show what would make PDSes agree with the log: each write, its rate-limit points, and the total duration.",
        ),
    ),
    "Operate": (
        (
            "pause",
            "operate:pause",
            "Stop sending for an account, or to a host, until it is resumed; edits accumulate.",
        ),
        (
            "resume",
            "operate:resume",
            "Resume an account, or a whole host, and send at once what waits there.",
        ),
        (
            "redrive",
            "operate:redrive",
            "Retry rejected and failing records at once, behind live work.",
        ),
    ),
    "Repair": (
        ("apply", "plan:apply", "Apply the plan."),
        ("rebuild", "log:rebuild", "Rebuild the read models from the log, or only the one called NAME."),
        (
            "recovered",
            "recovered:recovered",
            "Prepare a restored database for use: OAuth logins end, and nothing is sent for an account before `verify pds`.",
        ),
    ),
    "Move": (
        (
            "adopt",
            "adopt:adopt",
            "Make tracks of all records of DID, in the old collection too, that are none yet.",
        ),
        (
            "export",
            "tape:export",
            "Write the log, and what it does not contain, to FILE: JSON lines with checksums.",
        ),
        ("import", "tape:import_", "Import an exported FILE into an empty database."),
    ),
    "Keys": (
        ("oauth-key", "keys:oauth_key", "Print a new private key, as a value for OAUTH_KEYS."),
        (
            "reseal",
            "keys:reseal",
            "Re-encrypt every login with the first of SECRET_KEYS, so that the others can be removed.",
        ),
    ),
}
COMMANDS: Final = [
    Deferred(name, f"service.cli.{where}", summary, section)
    for section, commands in SECTIONS.items()
    for name, where, summary in commands
]


@click.group(cls=Commands)
@click.version_option(package_name="mastertape")
def main() -> None:
    """An event-sourced track service that keeps the records in each artist's PDS in agreement with its log.

    Settings come from the environment: docs/settings.md. Exit codes: 0 well, 1 failed, 2 wrong usage, 3 drift found.
    """


for command in COMMANDS:
    main.add_command(command)
