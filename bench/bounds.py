"""What an experiment shows to bound the goals that were missed."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Bound:
    """What holds a figure where it is; `name` is how goals refer to it."""

    name: str
    text: str


UNIT_ON_SQLITE: Final = Bound(
    "the unit of work on SQLite",
    "`bench unit` gives its statements alone to the driver once more: 1.2 of the library's save; a profile: of a unit's 690 calls, no function of ours takes more than 3 % of the time",
)
UNIT_ON_POSTGRES: Final = Bound(
    "the unit of work on PostgreSQL",
    "its statements alone take 0.68; to send all of them in one packet saves 7 % in all, and takes three private methods of psycopg",
)
UNIT: Final = {"SQLite": UNIT_ON_SQLITE, "PostgreSQL": UNIT_ON_POSTGRES}
PATCH: Final = Bound(
    "a PATCH",
    "one of `{}`, which writes nothing, took 1.1 of the bare app's PATCH, and `/healthz` 0.3",
)
READ: Final = Bound(
    "a GET",
    "`/healthz`, which reads nothing, takes 0.3 of the bare app's PATCH: middleware, which limits, counts and logs",
)
PAGE: Final = Bound(
    "a page",
    "a profile: three fifths make the bodies of tracks, with addresses and mirrors; the reference sends its rows",
)
WAIT: Final = Bound(
    "a wait",
    "one put and three one-row commits took 1.2 to 1.4 of a put; between them, four changes of thread",
)
ALONE: Final = Bound(
    "an edit alone",
    "of 21 to 24 ms, the PDS takes 10; commit, claim, intent and settle are commits of their own",
)
LISTS: Final = Bound(
    "lists",
    "JSON and pydantic alone take 1.6 ms for 500 entries, and their tracks' rows 1.6; lists that no batch takes follow by a job, which pools half a second of commits",
)
DELIVERY: Final = Bound(
    "a delivery",
    "of 3.0 ms on PostgreSQL, psycopg's own calls take 1.0, and an eighth makes the request and reads its answer",
)
REPLAY: Final = Bound(
    "a replay on PostgreSQL",
    "of 2.2 ms a record, the PDS takes 0.9 and appending the plan's events 0.5; batches follow each other",
)
SEARCH: Final = Bound(
    "a term of one track",
    "EXPLAIN of one whose letters all 100,000 titles share: 1.5 of 2.3 ms merge the index's lists of its trigrams",
)
PLANS: Final = Bound(
    "plans",
    "PostgreSQL's own time does not grow: what is above varies from round to round",
)
SCREEN: Final = Bound(
    "a screen",
    "a profile of the audit: Jinja renders its entries in two fifths of the time, and the JSON of the reference takes a third",
)
START: Final = Bound(
    "the imports",
    "the libraries alone take 1.4, our 395 modules the rest; schemas of bodies built at first use gave 2 %, routes without regular expressions nothing",
)
REBUILD: Final = Bound(
    "a rebuild",
    "a quarter each is history, folding and the other read models; PostgreSQL also checks and logs each row",
)
