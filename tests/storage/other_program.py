"""The program that reads files, with another way to do one kind of its work."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from storage.parsers import Parsers

TEXT = """
from storage.formats import program

def {work}(staged, **of):
    {text}

program.WORK[{work!r}] = {work}
program.main()
"""


@contextmanager
def changed(parsers: Parsers, folder: Path, work: str, text: str) -> Generator[None]:
    """During the block, let children run `text` where they are asked for `work`."""
    (path := folder / f"{work}.py").write_text(TEXT.format(work=work, text=text))
    before = parsers.program, parsers.idle
    parsers.program, parsers.idle = (sys.executable, "-P", "-B", str(path)), []
    try:
        yield
    finally:
        parsers.close()
        for child in parsers.idle:
            child.end()
        parsers.program, parsers.idle = before
