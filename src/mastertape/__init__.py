"""The one installed name. Importing it puts the service's packages first on the path, before any of the same name."""

import sys
from pathlib import Path
from typing import Final

INSTALLED: Final = Path(__file__).parent / "packages"
CHECKOUT: Final = Path(__file__).parents[1]

sys.path.insert(0, str(INSTALLED if INSTALLED.is_dir() else CHECKOUT))


def main() -> None:
    """Run the command line."""
    from service.cli.main import main as command_line  # noqa: PLC0415 - found only on the path above

    command_line()
