"""The one installed name. Importing it puts the service's packages first on the path, before any of the same name."""

import sys
from os.path import dirname, isdir, join

INSTALLED = join(dirname(__file__), "packages")  # noqa: PTH118, PTH120 - pathlib takes a tenth of the time of `--help` to load
CHECKOUT = dirname(dirname(__file__))  # noqa: PTH120

sys.path.insert(0, INSTALLED if isdir(INSTALLED) else CHECKOUT)  # noqa: PTH112


def main() -> None:
    from service.cli.main import main as command_line  # noqa: PLC0415 - found only on the path above

    command_line()
