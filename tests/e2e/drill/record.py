"""Write the golden texts anew: `python -m tests.e2e.drill.record [CASE]`, for example `full_disk`. Read what changed."""

import os
import sys

import pytest

from tests.e2e.drill.golden_text import HERE, RECORDS

if __name__ == "__main__":
    os.environ |= {"TEST_DEEP": "1", RECORDS: "1"}
    modules = [str(HERE / f"test_{case}.py") for case in sys.argv[1:]] or [str(HERE)]
    sys.exit(pytest.main(["-n", "0", *modules]))
