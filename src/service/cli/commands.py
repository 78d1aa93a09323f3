"""A group of commands of which only the one that is asked for is loaded."""

from functools import cached_property
from pkgutil import resolve_name
from typing import Any, Final

import click

from service.process.gc_tuning import no_collections


class Deferred(click.Command):
    """A command that is loaded when it is used; of all others `--help` only says what they do."""

    def __init__(self, name: str, where: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._where: Final = where

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Give way to the command itself."""
        return self.loaded.make_context(info_name, args, parent, **extra)

    @cached_property
    def loaded(self) -> click.Command:
        """The command itself."""
        with no_collections():
            command: click.Command = resolve_name(self._where)
        return command


class Commands(click.Group):
    """Commands whose expected failures are a line on stderr and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from service.cli.output import in_a_line  # noqa: PLC0415 - it knows the errors of every package

            if (line := in_a_line(error)) is None:
                raise
            raise click.ClickException(line) from error
