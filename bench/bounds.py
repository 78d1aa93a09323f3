"""What profiles show of the goals that were missed: what bounds them, what was done about it, and what was tried in vain."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Bound:
    """What holds a figure where it is; `name` is how goals refer to it."""

    name: str
    text: str


UNIT_ON_SQLITE: Final = Bound(
    "the unit of work on SQLite",
    "Outside the commit, half of it writes the event, its history, the read model and the target, where the library writes one"
    " row; a fifth is SQLAlchemy's connection and BEGIN, an eighth loading and locking. Done: statements go to the driver"
    " prepared, states come from a cache, rows are made from the folded state. A bare BEGIN and COMMIT on the driver would save"
    " 0.07 ms of 0.86.",
)
UNIT_ON_POSTGRES: Final = Bound(
    "the unit of work on PostgreSQL",
    "A third is the commit, three tenths are what is written, a fifth is the account's lock, a twelfth loading. Done: one"
    " pipeline takes lock, fingerprints and heads, another sends all that is written; statements are prepared.",
)
UNIT: Final = {"SQLite": UNIT_ON_SQLITE, "PostgreSQL": UNIT_ON_POSTGRES}
PATCH: Final = Bound(
    "a PATCH",
    "About half is the unit of work; the rest is HTTP: middleware and FastAPI's dependencies on the loop, validation, two changes"
    " of thread; with the relay on, its delivery too. Done: httptools on uvloop, the answer from the folded state, six round trips"
    " where there were 16.",
)
READ: Final = Bound(
    "a GET",
    "A fifth of the time on the loop is middleware, which limits, counts and logs requests; the rest is the endpoint and what"
    " FastAPI resolves for it. Done: one statement reads track, mirror, handle and blob.",
)
PAGE: Final = Bound(
    "a page",
    "Three fifths of the endpoint make the bodies of tracks, with their addresses and mirrors, where the reference sends its rows."
    " Done: two prepared statements a page, one serialization.",
)
WAIT: Final = Bound(
    "a wait",
    "Of 26 ms on SQLite, 10 wait for the PDS's answer, 1.5 send and read it, 1 reads and decrypts the login, 4 are the PATCH, 2"
    " find and claim the lane, 2 commit the intent, 1 the result, and 2 read the answer. Done: the lane is in a hurry before the"
    " commit (35 ms until then), a poll claims in its own thread, a settled lane wakes who waits. Tried in vain: a shorter"
    " switch interval of Python's threads.",
)
ALONE: Final = Bound(
    "an edit alone",
    "The time begins before the edit's own commit; then its lane is found and claimed, its intent is committed, and the login is"
    " read, each in a thread, before the request is sent.",
)
ONE_LANE: Final = Bound(
    "one lane",
    "The intent of the next record is committed only after the one before is acknowledged, so the PDS is idle meanwhile. Done: a"
    " result and the next intent are one commit. To send before the result is committed would take an intent for a record that"
    " is perhaps never sent.",
)
REPLAY: Final = Bound(
    "a replay on PostgreSQL",
    "Batches follow each other: while the PDS writes one by `applyWrites`, the service waits, and the PDS waits while the results"
    " and the next intents are committed. In samples of a second each is busy for two fifths of the time, PostgreSQL for an eighth.",
)
ONE_PDS: Final = Bound(
    "one PDS",
    "The PDS is one process with little time left: 75 to 100 % of a core, beside 25 to 60 % of the other core for the relay and"
    " 10 % for PostgreSQL.",
)
PLANS: Final = Bound(
    "plans",
    "Not settled; perhaps PostgreSQL plans these statements anew more often. Without a relay beside them they took 0.95 to 1.39 times"
    " as long, with `plan_cache_mode=force_generic_plan` 0.98 to 1.07.",
)
START: Final = Bound(
    "the imports",
    "A fifth defines the bodies of the API with their validators, an eighth is SQLAlchemy, which the reference has too; the rest"
    " is other modules, ours and of libraries. Done: validators are built when they are first needed.",
)
REBUILD: Final = Bound(
    "a rebuild",
    "A quarter of what is not reading is the history's rows (a difference of two states, and its JSON), a quarter folding, a"
    " quarter the other four read models; PostgreSQL also checks and logs each row. Done: rows are written in bulk, with COPY on"
    " PostgreSQL, a track's newest row once in 2,000 events, and values are shared, not copied.",
)
