"""Rounds: every arm is compared with the floor just before it, and promises are judged by the median."""

import pytest

from bench.report import Report, Row, Spread
from bench.rounds import Arm, Effort, compare


def arms_of(*seconds: float):
    left = list(seconds)
    return lambda count: [left.pop(0)] * count


def no_progress(_text: str) -> None:
    """Show no progress."""


def test_each_arm_is_compared_with_the_floor_just_before_it() -> None:
    floor, arm = Arm("floor", arms_of(1.0, 2.0, 4.0)), Arm("arm", arms_of(3.0, 3.0, 4.0), below=2)
    rows = compare(floor, [arm], Effort(rounds=3, count=2), no_progress)
    assert [row.arm for row in rows] == ["floor", "arm"]
    assert rows[1].ratio == Spread(1.5, 1.0, 3.0)
    assert rows[0].ratio == Spread(1.0, 1.0, 1.0)
    assert rows[1].milliseconds == Spread(3000, 3000, 4000)


def test_arms_take_turns_in_beginning_a_round() -> None:
    begun = []

    def recorded(name: str):
        return lambda count: begun.append(name) or [1.0] * count

    arms = [Arm(name, recorded(name)) for name in "ab"]
    compare(Arm("-", recorded("-")), arms, Effort(rounds=2, count=1), no_progress)
    assert "".join(begun) == "-a-b-b-a"


@pytest.mark.parametrize(("ratio", "kept"), [(1.9, True), (2.0, False)])
def test_a_promise_is_judged_by_the_median(ratio: float, kept: bool) -> None:
    one = Spread.of([1.0])
    rows = [
        Row("floor", one, one, one, below=None),
        Row("arm", one, one, Spread(ratio, 1.0, 9.0), below=2),
    ]
    report = Report("patch", "", rows)
    assert report.is_kept is kept
    assert report.as_json()["rows"][1]["kept"] is kept
