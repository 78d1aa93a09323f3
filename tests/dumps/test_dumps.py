"""The dumps of equal code are equal: else no difference would say anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif("TEST_DEEP" not in os.environ, reason="half a minute; --deep runs it")


def test_two_dumps_of_the_same_code_are_equal(tmp_path: Path) -> None:
    for name in "ab":
        subprocess.run([sys.executable, "-W", "ignore", "-m", "tests.dumps", tmp_path / name], check=True)
    first, second = (files(tmp_path / name) for name in "ab")
    assert len(first) > 1_000
    assert first == second


def files(folder: Path) -> dict[str, str]:
    return {str(each.relative_to(folder)): each.read_text() for each in folder.rglob("*.*")}
