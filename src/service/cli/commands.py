"""A command group that imports only the command that is run."""

import gc
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property
from pkgutil import resolve_name
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


class Deferred(click.Command):
    """A command that is imported when it is run. Its summary is here, for `--help` of the group; its docstring says what is to be added."""

    def __init__(self, name: str, where: str, summary: str, section: str) -> None:
        super().__init__(name, help=summary)
        self._where: Final = where
        self.section: Final = section

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self.loaded.make_context(info_name, args, parent, **extra)

    @cached_property
    def loaded(self) -> click.Command:
        with freeze_startup_objects():
            command: click.Command = resolve_name(self._where)
        command.help = f"{self.help} {command.help or ''}"
        return command


class Commands(click.Group):
    """A group of commands, deferred ones listed by section. It prints expected failures as one line on stderr, with exit code 1."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, command in self.commands.items():
            section = command.section if isinstance(command, Deferred) else "Commands"
            sections[section].append((name, command.get_short_help_str(limit=WHOLE_CHARACTERS)))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            from service.cli.output import one_line  # noqa: PLC0415 - imports every package

            if (line := one_line(error)) is None:
                raise
            raise click.ClickException(line) from error
