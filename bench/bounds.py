"""What profiles show to bound the goals that were missed."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Bound:
    """What holds a figure where it is; `name` is how goals refer to it."""

    name: str
    text: str


UNIT_ON_SQLITE: Final = Bound(
    "the unit of work on SQLite",
    "it writes four rows (event, history, read model, target) where the library writes one",
)
UNIT_ON_POSTGRES: Final = Bound(
    "the unit of work on PostgreSQL",
    "a third is the commit, three tenths the writes, a fifth the account's lock",
)
UNIT: Final = {"SQLite": UNIT_ON_SQLITE, "PostgreSQL": UNIT_ON_POSTGRES}
PATCH: Final = Bound(
    "a PATCH",
    "half is the unit of work, the rest HTTP: middleware, dependencies, validation, two changes of thread",
)
READ: Final = Bound(
    "a GET",
    "a fifth is middleware, which limits, counts and logs; the rest is the endpoint and FastAPI",
)
PAGE: Final = Bound(
    "a page",
    "three fifths make the bodies of tracks, with addresses and mirrors; the reference sends its rows",
)
WAIT: Final = Bound(
    "a wait",
    "of 24 to 28 ms, the PDS takes 9; the steps of commit, claim, intent and settle take 2 to 4 each",
)
ALONE: Final = Bound(
    "an edit alone",
    "of 21 to 24 ms, the PDS takes 10; commit, claim, intent and settle are commits of their own",
)
ONE_LANE: Final = Bound(
    "one lane",
    "an intent is committed only after the record before is acknowledged: the PDS is idle for 6 of 15"
    " ms. To send the next record earlier was tried: an intent never sent misleads later decisions",
)
REPLAY: Final = Bound(
    "a replay on PostgreSQL",
    "of 2.2 ms a record, the PDS takes 0.9 and appending the plan's events 0.5; batches follow each other",
)
ONE_PDS: Final = Bound(
    "one PDS",
    "the PDS is one process at 75 to 100 % of its core",
)
PLANS: Final = Bound(
    "plans",
    "PostgreSQL's own time does not grow: what is above varies from round to round",
)
START: Final = Bound(
    "the imports",
    "a fifth defines the API's bodies, the rest imports other modules",
)
REBUILD: Final = Bound(
    "a rebuild",
    "a quarter each is history, folding and the other read models; PostgreSQL also checks and logs each row",
)
