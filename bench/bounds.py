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
    "Of 24 ms on SQLite and 28 on PostgreSQL: 2.2 and 2.4 until the edit's unit of work begins, 2.1 and 3.7 for that, 1.7 and 2.7"
    " until the lane is claimed, 1.9 and 2.5 until its intent is committed, 1.6 and 1.7 to read the login, sign and send, 9.4 and"
    " 8.1 for the PDS, 1.9 and 2.8 to settle, 2.4 and 3.5 to read and send the answer. Done: the lane is in a hurry before the"
    " commit, a poll claims in its own thread, a settled lane wakes who waits, one track's mirror is planned once. Tried in vain: a"
    " shorter switch interval of Python's threads; to claim before asking what else is due.",
)
ALONE: Final = Bound(
    "an edit alone",
    "Of 21 ms on SQLite and 24 on PostgreSQL, from before the edit's own commit: 2.2 and 3.3 for that commit, 2.6 and 3.5 until its"
    " lane is claimed, 1.9 and 2.5 until its intent is committed, 1.6 and 1.8 to read the login, sign and send, 10.6 and 9.8 for"
    " the PDS, 2.3 and 3.0 to settle. Left: to commit claim and intent together; an error in reading one record would then stop"
    " every claim.",
)
ONE_LANE: Final = Bound(
    "one lane",
    "The intent of the next record is committed only after the one before is acknowledged, and the login is read before it is sent,"
    " so the PDS is idle for 6 of 15 ms. Done: a result and the next intent are one commit. Tried, and left: to send the next"
    " record, whose intent was committed before, while the result is settled. Twenty edits then took 1.6 times as long as the bare"
    " loop, and 1.4 to 1.5 times with a login kept for half a second; but an intent that is never sent misleads what is decided by"
    " it later, and a pause or a disconnect came too late for one record.",
)
REPLAY: Final = Bound(
    "a replay on PostgreSQL",
    "Of 2.2 ms a record, 0.9 are the PDS, 0.5 append the plan's events, 0.3 read and check the next records, 0.2 settle, 0.1 commit"
    " the intents: batches follow each other, so that either the PDS or the service waits. Done: a unit of the plan loads and saves"
    " its tracks in two round trips (0.7 ms until then).",
)
ONE_PDS: Final = Bound(
    "one PDS",
    "The PDS is one process with little time left: 75 to 100 % of a core, beside 25 to 60 % of the other core for the relay and"
    " 10 % for PostgreSQL.",
)
PLANS: Final = Bound(
    "plans",
    "PostgreSQL executes a history in 0.12 ms beside 10,000 events and in 0.14 beside 1,000,000, a mirror in 0.16 and 0.14 (by"
    " pg_stat_statements): what is above varies from round to round. Done: the statement of one track's mirror, which was planned"
    " anew each time, for 0.4 to 0.7 ms, is planned once.",
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
