"""The command line, one file for each group of commands; main lists them."""

import sys
from typing import Any, Final

UNUSED: Final[dict[str, Any]] = {"httpx._main": None, "pydantic.v1": None}
"""What httpx and FastAPI load for nothing, in a twentieth of a start: a command line, and models that FastAPI refuses."""

sys.modules.update(UNUSED)
