"""Processes that append, as children of a test."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Writer:
    """A child that says where it is, and continues when the test says so."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.eventstore.writer", *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def says(self, what: str) -> None:
        """Wait for a word; a child that ended says nothing."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line == what, self.process.communicate(timeout=30)[1]

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def writers(*all_arguments: tuple[str, ...]) -> Generator[list[Writer]]:
    """The children, ended at the end of the block whatever happens."""
    children = [Writer(*arguments) for arguments in all_arguments]
    try:
        yield children
    finally:
        for child in children:
            child.process.kill()
            child.process.communicate(timeout=30)
