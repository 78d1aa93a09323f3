"""What the project set out to reach, and which arm of which bench shows whether it has.

A goal is no promise: a bench that misses one does not fail, and the page says what bounds it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from bench import bounds
from bench.bounds import Bound
from bench.console import SCREENS
from bench.growth import CLAIM, EDIT, MAX_RATIO, READS
from bench.pages import PAGES


@dataclass(frozen=True)
class Goal:
    """A figure that an arm is to stay under; without a bench, `reach` says what holds it."""

    what: str
    reference: str
    reach: float | str
    bench: str | None = None
    arm: str | None = None
    bounded_by: Bound | None = None
    figure: str = "ratio"

    def is_missed(self, reports: Iterable[dict[str, Any]]) -> bool:
        """Whether the arm was measured, and is over what was to be reached."""
        found = self.found(reports)
        return found is not None and isinstance(self.reach, float) and found > self.reach

    def found(self, reports: Iterable[dict[str, Any]]) -> float | None:
        """Return the arm's median."""
        for report in reports:
            for row in report["rows"]:
                if (report["bench"], row["arm"]) == (self.bench, self.arm):
                    return float(row[self.figure]["median"])
        return None

    def judged(self, reports: Iterable[dict[str, Any]]) -> str:
        """Return what was to be reached and what was found, in bold where it was missed."""
        if self.bench is None or not isinstance(self.reach, float):
            return str(self.reach)
        found = self.found(reports)
        if found is None:
            return f"<= {self.reach:.3g}: not measured"
        return f"<= {self.reach:.3g}: " + (f"**{found:.3g}**" if self.is_missed(reports) else f"{found:.3g}")


SAVE: Final = "the library's own save of one event"
PUT: Final = "a bare putRecord loop"
NOW_AND_THEN: Final = "a bare putRecord now and then"
UPDATE: Final = "a bare FastAPI app with one UPDATE"
SELECT: Final = "a bare FastAPI app with one SELECT"
JSON: Final = "the same JSON"
CLICK_AND_RICH: Final = "a Python that imports click and rich"


def _on_both(
    what: str, reference: str, bench: str, arm: str, *reaches: float, bounded_by: Bound | None = None
) -> Iterator[Goal]:
    """Return a goal for each database; the last of `reaches` is for all that are left."""
    for number, database in enumerate(("SQLite", "PostgreSQL")):
        reach = reaches[min(number, len(reaches) - 1)]
        named = arm.format(database=database)
        yield Goal(f"{what}, {database}", reference, reach, bench, named, bounded_by)


GOALS: Final = (
    *(
        Goal(
            f"unit of work, {what}, {database}",
            SAVE,
            reach,
            "unit",
            f"{database}: unit of work, {what}",
            bounds.UNIT[database],
        )
        for database, reaches in (("PostgreSQL", (0.9, 1.59, 2.1)), ("SQLite", (1.7, 2.86, 2.79)))
        for what, reach in zip(("processor time", "8 threads", "32 threads"), reaches, strict=True)
    ),
    *(
        goal
        for load, reaches in (("1 client, relay off", (1.3, 1.8)), ("16 clients, relay on", (2.0, 3.5)))
        for goal in _on_both(
            f"CPU of a PATCH, {load}",
            UPDATE,
            "edits",
            f"{{database}}: PATCH, {load}",
            *reaches,
            bounded_by=bounds.PATCH,
        )
    ),
    *_on_both(
        "CPU of GET of a track", SELECT, "reads", "{database}: GET a track", 1.4, 1.5, bounded_by=bounds.READ
    ),
    *_on_both(
        "CPU of GET of a page", SELECT, "reads", "{database}: GET a page", 1.4, 1.5, bounded_by=bounds.PAGE
    ),
    Goal("round trips of a PATCH; of a GET, PostgreSQL", "", "<= 1; <= 2, counted by tests"),
    *_on_both(
        "PATCH p50, PDS near",
        PUT,
        "patch",
        "PATCH, {database}, PDS +0 ms",
        0.25,
        0.4,
        bounded_by=bounds.PATCH,
    ),
    *_on_both(
        "PATCH with `Prefer: wait`",
        PUT,
        "wait",
        "PATCH that waits, {database}",
        1.8,
        2.1,
        bounded_by=bounds.WAIT,
    ),
    *_on_both(
        "commit to the PDS, idle, p50",
        NOW_AND_THEN,
        "wait",
        "commit to the PDS, {database}",
        1.4,
        bounded_by=bounds.ALONE,
    ),
    *_on_both(
        "commit to the PDS, idle, the slowest of a round",
        f"the p50 of {NOW_AND_THEN}",
        "wait",
        "commit to the PDS, the slowest, {database}",
        3.0,
        bounded_by=bounds.ALONE,
    ),
    *(
        goal
        for accounts, reach in (("1 account", 0.6), ("8 accounts", 0.8))
        for goal in _on_both(
            f"deliveries, {accounts}",
            f"the best {PUT[2:]}",
            "throughput",
            f"{{database}}: relay, {accounts}",
            reach,
        )
    ),
    *_on_both(
        "edit of a track, until 10 lists of 500 items refer to it",
        "bare putRecords of all",
        "lists",
        "{database}: edit of a track in 10 lists of 500 items",
        2.0,
        bounded_by=bounds.LISTS,
    ),
    *(
        goal
        for until in ("", ", until it is at the PDS")
        for goal in _on_both(
            f"another order of a list of 500 items{until}",
            "a bare putRecord",
            "lists",
            f"{{database}}: another order of a list of 500 items{until}",
            2.0,
            bounded_by=bounds.LISTS,
        )
    ),
    Goal("statements of a delivery", "", "<= 6, counted by tests"),
    *(
        Goal(
            f"CPU of a delivery, {database}, in ms",
            "a PDS that answers at once",
            milliseconds,
            "deliveries",
            f"{database}: deliver a record",
            bounds.DELIVERY,
            figure="p50_ms",
        )
        for database, milliseconds in (("SQLite", 2.0), ("PostgreSQL", 2.5))
    ),
    *_on_both(
        "replay after a wiped repository, a record",
        PUT,
        "replay",
        "replay a record, {database}",
        1 / 3,
        0.3,
        bounded_by=bounds.REPLAY,
    ),
    *_on_both(
        "rebuild",
        "decoding the same rows",
        "rebuild",
        "{database}: rebuild",
        2.4,
        2.8,
        bounded_by=bounds.REBUILD,
    ),
    *_on_both(
        "memory of a rebuild, 1,000,000 events", "100,000 events", "memory", "{database}: 1000000 events", 1.2
    ),
    *(
        goal
        for term in ("of one track", "of every track", "of no track", "of two letters")
        for goal in _on_both(
            f"search for a term {term}",
            "among a tenth",
            "search",
            f"{{database}}: a term {term}, 100000 tracks",
            1.2,
            bounded_by=bounds.SEARCH,
        )
    ),
    *(
        goal
        for what in (*READS, EDIT, CLAIM)
        for goal in _on_both(
            f"{what} beside 1,000,000 events",
            "beside 10,000",
            "growth",
            f"{{database}}: {what}, 1000000 events",
            MAX_RATIO,
            bounded_by=bounds.PLANS,
        )
    ),
    *(Goal(f"page of {what}", JSON, 3.0, "pages", f"page of {what}") for what in PAGES),
    *(
        goal
        for what in SCREENS
        for goal in _on_both(
            f"screen of {what}",
            JSON,
            "console",
            f"{{database}}: screen of {what}",
            3.0,
            bounded_by=bounds.SCREEN,
        )
    ),
    *_on_both(
        "start of `serve`",
        "imports of its frameworks",
        "start",
        "serve, {database}",
        2.1,
        bounded_by=bounds.START,
    ),
    *(
        Goal(f"CPU of {command}", CLICK_AND_RICH, reach, "start", command)
        for command, reach in (("mastertape --help", 1.2), ("mastertape rebuild --help", 3.0))
    ),
    *_on_both(
        "p99 of a PATCH each 50 ms during a rebuild of 1,000,000 events",
        "before it",
        "rebuilding",
        "{database}: PATCH during a rebuild of 1000000 events",
        2.0,
    ),
    *(
        Goal(f"{method}, `serve --workers 2`", "one process", 1.1, "workers", f"{method}, 2 workers")
        for method in ("GET", "PATCH")
    ),
)
