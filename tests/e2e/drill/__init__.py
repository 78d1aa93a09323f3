"""The operator's drill: what is done to a running service, what an operator sees of it within a minute, and what is left.

The texts are in golden/; `python -m tests.e2e.drill.record [CASE]` writes them anew.
"""

import os

import pytest

DRILL = [
    pytest.mark.pds,
    pytest.mark.promtool,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.environ.get("TEST_DEEP"), reason="a drill of a minute: ./dev test --deep"),
]
"""The marks of every case."""
