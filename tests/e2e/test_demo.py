"""The demo as a user starts it."""

import os
import subprocess
import sys

import pytest

from demo.story import STORY
from tests.e2e import test_demo_story

pytestmark = pytest.mark.pds

WIDTH = 80


def test_every_step_of_the_story_has_a_test() -> None:
    assert {act.__name__ for act in STORY} <= vars(test_demo_story).keys()


def test_the_demo_agrees_and_fits_a_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--once"],
        env=os.environ | {"COLUMNS": str(WIDTH)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[-1] == f"demo: {len(STORY)} of {len(STORY)} steps agree"
    assert max(map(len, lines)) <= WIDTH
