"""`mastertape`: the command line of an operator. Every command is declared here, and imported when it is run."""

import gc
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import click


@contextmanager
def freeze_startup_objects() -> Generator[None]:
    """Disable collection during the block, then exempt every object made until then from later collections."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


WHOLE_CHARACTERS: Final = 1_000
"""Longer than any summary: `--help` cuts none."""


class Commands(click.Group):
    """A group of commands, by section. It prints expected failures as one line on stderr, with exit code 1."""

    def __init__(self, name: str, sections: Mapping[str, Sequence[click.Command]], **how: Any) -> None:
        super().__init__(name, commands=[each for group in sections.values() for each in group], **how)
        self._sections: Final = sections

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section, commands in self._sections.items():
            with formatter.section(section):
                formatter.write_dl(
                    [(str(each.name), each.get_short_help_str(WHOLE_CHARACTERS)) for each in commands]
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            from service.cli.output import one_line  # noqa: PLC0415 - imports every package

            if (line := one_line(error)) is None:
                raise
            raise click.ClickException(line) from error


def deferred(where: str) -> Callable[..., None]:
    """Return what calls the function MODULE:NAME beside this module, and imports it only then."""

    def run(**given: Any) -> None:
        with freeze_startup_objects():
            module, _, name = where.partition(":")
            work = getattr(import_module(f"service.cli.{module}"), name)
        work(**given)

    return run


def command(where: str, help: str, params: Sequence[click.Parameter]) -> click.Command:  # noqa: A002
    """Return a command with the name of its function; the first sentence of the help is its summary."""
    name = where.partition(":")[2].rstrip("_").replace("_", "-")
    return click.Command(name, callback=deferred(where), help=help, params=[*params])


def option(*names: str, help: str, **how: Any) -> click.Option:  # noqa: A002
    return click.Option(names, help=help, **how)


def flag(*names: str, help: str, **how: Any) -> click.Option:  # noqa: A002
    return click.Option(names, is_flag=True, help=help, **how)


def inherited(*names: str) -> list[click.Parameter]:
    """Return the hidden options with which a supervisor passes descriptors on."""
    return [click.Option([name], type=int, hidden=True) for name in names]


PORT: Final = click.IntRange(1, 65535)
FILE: Final = click.Argument(["file"], type=click.Path(dir_okay=False))

as_json: Final = flag("--json", "as_json", help="Answer with JSON on stdout.")
of_account: Final = option("--did", help="Only this account.")
dry_run: Final = flag("--dry-run", help="Say what would be written, and write nothing.")
show_all: Final = flag("--all", "show_all", help="List each one instead of counts.")
agreed: Final = flag("--yes", "agreed", help="Do not ask.")
at_most: Final = option("--limit", default=100, type=click.IntRange(1, 1000), help="How many rows, at most.")

HOW: Final = (option("--reason", help="Why; recorded with the action."), dry_run, as_json)
WHICH: Final = (click.Argument(["did_or_host"], metavar="DID-or-HOST"), *HOW)
HOST: Final = (click.Argument(["host"]), *HOW)

RUN: Final = (
    command(
        "serve:serve",
        "Serve HTTP, and run a relay beside it unless RELAY is off.",
        [
            option("--host", help="Address to listen on, in place of HOST."),
            option("--port", type=PORT, help="Port to listen on, in place of PORT."),
            option(
                "--workers",
                type=click.IntRange(min=1),
                default=1,
                show_default=True,
                help="API processes that share the port, with the relay in a process of its own. More than 1 needs "
                "PostgreSQL; SIGHUP replaces them one by one.",
            ),
            *inherited("--listener", "--rate-limits", "--metrics"),
        ],
    ),
    command(
        "relay:relay",
        "Run only a relay: any number of them, on any machines, share the work.",
        [
            option(
                "--host", help="Address of /metrics, /healthz and /readyz, in place of METRICS; needs --port."
            ),
            option("--port", type=PORT, help="Port of /metrics, /healthz and /readyz, in place of METRICS."),
            click.Option(["--supervised"], is_flag=True, hidden=True),
            *inherited("--metrics"),
        ],
    ),
    command(
        "log:migrate",
        "Bring the database to this version's schema. Then fails where SECRET_KEYS decrypt no login, as `serve` would.",
        [dry_run, as_json],
    ),
    command(
        "log:partition",
        "Divide the tables of PostgreSQL that grow with the accounts into parts, which are vacuumed and restored apart. No other "
        "process may use the database meanwhile.",
        [
            option(
                "--parts", type=click.IntRange(2, 4096), required=True, help="How many parts a table has."
            ),
            *(agreed, as_json),
        ],
    ),
    command(
        "log:distribute",
        "Place the tables of a database that has Citus on its nodes: the rows of accounts by bucket. No other process may use the "
        "database meanwhile. Run it again after `migrate`, or when a worker was added.",
        [
            option(
                "--shards",
                type=click.IntRange(1, 4096),
                default=32,
                show_default=True,
                help="How many shards a table has that is divided.",
            ),
            *(agreed, as_json),
        ],
    ),
    command(
        "doctor:doctor",
        "Check everything that the service depends on, and say what to do. Exit code 1 when something does not work.",
        [as_json],
    ),
)
PARTS: Final = (
    command(
        "log:projections",
        "Compare every row of the read models with the log.",
        [show_all, as_json],
    ),
    command(
        "verify:pds",
        "Compare every record with what its account's PDS holds; no login is needed. After a restore this lets the relay resume, "
        "account by account: records that are newer on a PDS are held for their owner.",
        [of_account, show_all, as_json],
    ),
    command(
        "verify:media",
        "Compare the bytes that tracks name with the media store. Exit code 3 when some are missing or wrong.",
        [
            flag("--deep", help="Read every byte, and compare its hash with the CID."),
            flag("--repair", help="Fetch what is missing or damaged from the artists' PDSes."),
            *(show_all, as_json),
        ],
    ),
)
LOOK: Final = (
    command(
        "log:history",
        "Show who changed TRACK, when and how, and whether it reached the PDS; oldest first.",
        [click.Argument(["track"], type=click.IntRange(1, 2**63 - 1)), as_json],
    ),
    command(
        "operate:status",
        "Show since when hosts fail and what waits there; of a HOST its accounts, of a DID its lane and failing records. And how "
        "far behind the log each subscriber is: what runs in each append, or follows it.",
        [click.Argument(["did_or_host"], metavar="[DID-or-HOST]", required=False), at_most, as_json],
    ),
    command(
        "operate:failures",
        "Show why requests to PDSes fail, by cause; of a cause or an account, the records that fail.",
        [
            option("--cause", help="List the records that fail for this cause."),
            option("--did", help="List the records of this account that fail."),
            option("--host", help="Only at this host."),
            option("--error", help="Only with this error."),
            *(at_most, as_json),
        ],
    ),
    command(
        "operate:jobs",
        "Show the jobs of every kind, the newest first: how far each is, when it is tried next, and why it fails.",
        [
            option("--kind", help="Only of this kind."),
            option("--state", help="Only in this state."),
            *(at_most, as_json),
        ],
    ),
    Commands(
        "verify",
        {"Commands": PARTS},
        callback=deferred("log:verify"),
        invoke_without_command=True,
        help="Compare derived data with the log, all of it or one part. Exit code 3 when something differs.",
        params=[as_json],
    ),
    command(
        "verify:plan",
        "Show what would make PDSes agree with the log: each write, its rate-limit points, and the total duration.",
        [of_account, show_all, as_json],
    ),
)
OPERATE: Final = (
    command(
        "operate:pause",
        "Stop sending for an account, or to a host, until it is resumed; edits accumulate.",
        WHICH,
    ),
    command(
        "operate:resume",
        "Resume an account, or a whole host, and send at once what waits there.",
        WHICH,
    ),
    command(
        "operate:unfollow",
        "Read a host's firehose no longer, and forget the likes and comments that it has shown of people without an account here.",
        HOST,
    ),
    command(
        "operate:follow",
        "Read a host's firehose again, from its newest message on.",
        HOST,
    ),
    command(
        "operate:redrive",
        "Retry rejected and failing records at once, behind live work.",
        [
            option("--did", help="Only records of this account."),
            option("--host", help="Only records of accounts at this host."),
            option("--error", help="Only records whose last error has this name."),
            option("--cause", help="Only records that fail for this cause: its id in `mastertape failures`."),
            *HOW,
        ],
    ),
)
REPAIR: Final = (
    command(
        "verify:apply",
        "Apply the plan. It is a repair of each account, which a running service finishes if this process dies; the relay sends "
        "it behind live work.",
        [
            of_account,
            option(
                "--max-deletes",
                type=click.IntRange(min=0),
                default=0,
                show_default=True,
                help="Maximum number of records to delete.",
            ),
            *(dry_run, agreed, show_all, as_json),
        ],
    ),
    command(
        "log:rebuild",
        "Rebuild the read models from the log, or only the one called NAME. Reads and writes continue meanwhile.",
        [click.Argument(["name"], required=False), dry_run, as_json],
    ),
    command(
        "recovered:recovered",
        "Prepare a restored database for use: OAuth logins end, and nothing is sent for an account before `verify pds`.",
        [
            flag("--if-noticed", help="For scripts: change nothing unless a restore was noticed."),
            flag(
                "--nothing-lost",
                help="The log is complete, as after the promotion of a synchronous standby: resume at once.",
            ),
            flag("--revoke-tokens", help="Also revoke all our own tokens and browser sessions."),
            *(dry_run, as_json),
        ],
    ),
)
MOVE: Final = (
    command(
        "adopt:adopt",
        "Make tracks of all records of DID, in the old collection too, that are none yet. Nothing is written to the PDS. Audio "
        "comes from the account's own PDS, or from the address in the record. --dry-run reads the records alone.",
        [
            click.Argument(["did"], metavar="DID"),
            option(
                "--peer-ids",
                "file",
                type=click.Path(exists=True, dir_okay=False),
                help="A CSV file with the columns id and atproto_record_uri: under /plyr, tracks keep these ids.",
            ),
            *(dry_run, as_json),
        ],
    ),
    command(
        "tape:export",
        "Write the log, and what it does not contain, to FILE: JSON lines with checksums. Bytes and secrets are not included.",
        [FILE, agreed, as_json],
    ),
    command(
        "tape:import_",
        "Import an exported FILE into an empty database. With --dry-run only check the file, line by line.",
        [FILE, dry_run, agreed, as_json],
    ),
)
KEYS: Final = (
    command(
        "keys:oauth_key",
        "Print a new private key, as a value for OAUTH_KEYS.",
        [flag("--in-use", help="Count the logins of each key instead; they end when the key is removed.")],
    ),
    command(
        "keys:reseal",
        "Re-encrypt every login with the first of SECRET_KEYS, so that the others can be removed.",
        [
            flag(
                "--end-lost", help="End the logins that no key decrypts; their owners have to sign in again."
            ),
            *(dry_run, as_json),
        ],
    ),
)


main: Final = Commands(
    "mastertape",
    {"Run": RUN, "Look": LOOK, "Operate": OPERATE, "Repair": REPAIR, "Move": MOVE, "Keys": KEYS},
    help="An event-sourced track service that keeps the records in each artist's PDS in agreement with its log.\n\n"
    "Settings come from the environment: docs/settings.md. Exit codes: 0 well, 1 failed, 2 wrong usage, 3 drift found.",
)
click.version_option(package_name="mastertape")(main)
