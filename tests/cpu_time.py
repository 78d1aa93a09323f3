"""The CPU time of work on a text, measured so that a busy machine does not disturb it."""

import time
from collections.abc import Callable

ATTEMPTS = 40
"""The least of so many is taken, and only as many are made as it takes to be satisfied."""
MAX_SECONDS = 0.01
MAX_GROWTH = 3.0
"""Of the time, at twice the text: linear work takes twice as long, on a busy machine up to 2.8 times, quadratic work four times."""
MEASURABLE_SECONDS = 0.003
"""Less has no ratio that could be told from noise."""
BEGINNING = (16, 24, 32, 48, 64, 256)
"""Short texts come first: on a long one, exponential work would never end."""
MEASURED_CHARACTERS = 4096
"""And twice that: quadratic work takes hundreds of times as long as linear work there, a longer text tells no more."""


def problem_of(call: Callable[[str], object], text_of: Callable[[int], str], size: int) -> str | None:
    """Say what is wrong with the CPU time of a call on texts of up to `size`; None where it is small and linear."""
    size = min(size, MEASURED_CHARACTERS)
    example = repr(text_of(32))
    for length in BEGINNING:
        text = text_of(min(length, size))
        if not any(_seconds_of(call, text) <= MAX_SECONDS for _ in range(ATTEMPTS)):
            return f"over {MAX_SECONDS} s for {len(text)} characters such as {example}"
    double = text_of(2 * size)
    if (twice := _seconds_of(call, double)) <= MEASURABLE_SECONDS:
        return None  # as nearly all do: half of it would take less
    text, once = text_of(size), float("inf")
    for _ in range(ATTEMPTS):
        once, twice = min(once, _seconds_of(call, text)), min(twice, _seconds_of(call, double))
        if once <= MAX_SECONDS and twice <= max(MAX_GROWTH * once, MEASURABLE_SECONDS):
            return None
    return f"{once:.4f} s for {size} characters, {twice:.4f} s for twice as many, such as {example}"


def _seconds_of(call: Callable[[str], object], text: str) -> float:
    began = time.thread_time()
    call(text)
    return time.thread_time() - began
