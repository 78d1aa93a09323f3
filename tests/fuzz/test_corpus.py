"""Inputs that fuzzing has found worth keeping, and all samples, are read as their targets say, and cost little."""

import os
import time

import pytest

from tests.fuzz.__main__ import fuzz
from tests.fuzz.corpus import SEEDS, kept
from tests.fuzz.targets import TARGETS

MAX_SECONDS = 1.0
"""CPU of one input, of some kilobytes."""


@pytest.mark.parametrize("target", TARGETS)
def test_no_known_input_breaks_a_reader(target: str) -> None:
    for data in (b"", *SEEDS[target], *kept(target)):
        began = time.process_time()
        TARGETS[target](data)
        assert time.process_time() - began < MAX_SECONDS, data[:100]


@pytest.mark.skipif(not os.environ.get("TEST_DEEP"), reason="takes a minute for each target")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("target", TARGETS)
def test_a_minute_of_fuzzing_finds_no_input_that_breaks_a_reader(target: str) -> None:
    assert fuzz(target, seconds=60, keeps=False)
