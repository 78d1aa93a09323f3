"""The page of a run."""

from bench.bounds import Bound
from bench.goals import Goal
from bench.page import page


def spread(median: float, low: float, high: float) -> dict[str, float]:
    return {"median": median, "low": low, "high": high}


def test_the_page_shows_every_arm_with_its_spread_and_names_a_broken_promise() -> None:
    row = {
        "arm": "edit",
        "p50_ms": spread(2, 1, 3),
        "per_second": spread(500, 400, 600),
        "below": 1.5,
        "kept": False,
    }
    report = {"bench": "edits", "sentence": "How long.", "rows": [{**row, "ratio": spread(1.75, 1.25, 2)}]}
    assert "## edits\n\nHow long.\n" in page([report])
    assert "| edit | 1.75 (1.25..2) | < 1.5 **not kept** | 2 | 500 |" in page([report])


def test_a_goal_says_whether_it_was_reached_missed_or_not_measured() -> None:
    goal = Goal("edits", "a bare app", 2.0, "edits", "edit", bounded_by=Bound("the disk", "It turns."))

    def found(ratio: float) -> str:
        return goal.row([{"bench": "edits", "rows": [{"arm": "edit", "ratio": spread(ratio, 1, 3)}]}])

    assert found(2.0) == "| edits | a bare app | <= 2 | 2: reached |"
    assert found(2.5) == "| edits | a bare app | <= 2 | 2.5: **not reached**; see *the disk* |"
    assert goal.row([]).endswith("| not measured in this run |")
