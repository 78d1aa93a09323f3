"""Exports the log, with what cannot be made from it (observations, attempts, accounts, places of bytes, jobs), and imports it.

Read models are not exported, since an import rebuilds them, and no secret is: the owners sign in again. A dump file has lines
of JSON, the first a header, the last a digest of all others:

{"kind": "header", "row": {"format": 1, ...}, "sum": "..."}
{"kind": "stored_event", "row": {...}, "sum": "..."}
{"kind": "end", "row": {"lines": 2, "digest": "..."}, "sum": "..."}

`sum` is the first 16 hex digits of the SHA-256 of the line's kind and row, `digest` the SHA-256 of all lines before.
"""

import base64
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from types import NoneType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError

from aggregates.lists.track_list import TrackList
from aggregates.releases.release import Release
from eventstore.coordination.restore_detection import skip_numbers
from eventstore.event_log import EventLog
from eventstore.jobs.kinds import PERIODIC
from eventstore.jobs.table import JobState, job, job_turn
from eventstore.sql.database import Database
from eventstore.sql.schema import UtcDateTime, stored_event
from eventstore.streams.append import lock_log
from eventstore.streams.buckets import BUCKET, BUCKETS
from eventstore.streams.ids import boundary_of, enter_older_ids, issue_only_above, peer_track
from identity.accounts.accounts import account
from outbox.mirror.states import BreakerState, LaneState, TargetState
from outbox.mirror.tables import (
    FEW_ROWS,
    PAST,
    attempt,
    blob_job,
    delivery_attempt,
    mirror_lane,
    mirror_target,
    pds_host,
)
from outbox.mirror.targets import DELETE, PUT
from projections.media_references import media_references
from projections.reactions import outsider_reaction
from projections.rebuild.rebuild import Progress, rebuild
from replay.errors import BrokenDumpError, ImpossibleDumpError, NotEmptyError
from replay.imported import require_replayable, require_subjects, require_type
from replay.repair.jobs import RepairState, repair
from storage.media import MediaState, media
from storage.uploads.staged_uploads import release_upload

FORMAT: Final = 1
OLDER_SCHEMAS: Final = frozenset({"0031", "0032", "0033", "0034"})
"""Older schemas whose rows this version reads as they are."""
HEADER: Final = "header"
END: Final = "end"

Row = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One line: its number in the file from 1, the kind of its row, and the row."""

    number: int
    kind: str
    row: Row


def write_lines(header: Row, rows: Iterable[tuple[str, Row]]) -> Iterator[bytes]:
    digest, lines = sha256(), 0
    for kind, row in chain([(HEADER, {"format": FORMAT, **header})], rows):
        line = _line(kind, row)
        digest.update(line)
        lines += 1
        yield line
    yield _line(END, {"lines": lines, "digest": digest.hexdigest()})


def read_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    """Yield the lines of a dump file, header first; raises BrokenDumpError where a line was changed or is missing."""
    digest, number, lines = sha256(), 0, iter(lines)
    for number, raw in enumerate(lines, 1):
        line = _parsed(number, raw)
        if (line.kind == HEADER) != (number == 1):
            raise BrokenDumpError(number, "an export has exactly one header, as its first line")
        if line.kind == END:
            if line.row != {"lines": number - 1, "digest": digest.hexdigest()}:
                raise BrokenDumpError(number, "lines were lost, added or moved: the digest does not match")
            if next(lines, None) is not None:
                raise BrokenDumpError(number + 1, "there is data after the end")
            return
        if number == 1 and line.row.get("format") != FORMAT:
            raise BrokenDumpError(number, f"this version reads format {FORMAT}, not {line.row.get('format')}")
        digest.update(raw)
        yield line
    raise BrokenDumpError(number + 1, "the file is truncated")


def _line(kind: str, row: Row) -> bytes:
    line = json.dumps({"kind": kind, "row": row, "sum": _sum(kind, row)}, separators=(",", ":"))
    return line.encode() + b"\n"


def _sum(kind: str, row: Row) -> str:
    return sha256(json.dumps([kind, row], sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _parsed(number: int, raw: bytes) -> Line:
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        raise BrokenDumpError(number, "not a line of JSON") from None
    match line:
        case {"kind": str(kind), "row": dict(row), "sum": str(checksum), **rest} if not rest:
            if checksum != _sum(kind, row):
                raise BrokenDumpError(number, "the line was altered: its checksum does not match")
            return Line(number, kind, row)
    raise BrokenDumpError(number, "a line must have a kind, a row and a sum")


ROWS_PER_PAGE: Final = 500
PAGE_BYTES: Final = 8 * 2**20


@dataclass(frozen=True)
class ExportedTable:
    """A table whose rows are exported, all or `which`.

    `reset` has the values that an import gives to columns that are not, `added` those of columns that older schemas have not.
    `states` has the values that a column may have.
    """

    table: sa.Table
    reset: Mapping[str, Any] = field(default_factory=dict)
    added: Mapping[str, Any] = field(default_factory=dict)
    which: sa.ColumnElement[bool] = field(default_factory=sa.true)
    states: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.table.name

    @property
    def columns(self) -> dict[str, sa.Column[Any]]:
        """The columns that are exported, by name: an import computes the buckets."""
        return {each.name: each for each in self.table.columns if each.name not in {*self.reset, BUCKET}}

    @property
    def owner(self) -> str | None:
        """The name of the column with the account."""
        return next((name for name in ("did", "account") if name in self.table.c), None)

    def owned_by(self, did: str) -> sa.ColumnElement[bool]:
        """Return the condition for an account's rows; the bytes that its tracks name are its own, too."""
        if self.table is media:
            of_account = sa.select(media_references.c.cid).where(media_references.c.did == did)
            return media.c.cid.in_(of_account)
        return self.table.c[str(self.owner)] == did

    def to_row(self, values: sa.RowMapping) -> Row:
        return {
            name: _codec(column)[0](value) if (value := values[name]) is not None else None
            for name, column in self.columns.items()
        }

    def from_row(self, row: Row) -> dict[str, Any]:
        """Return the values of what to_row wrote; raises ValueError for what the table cannot have."""
        columns, row = self.columns, {**self.added, **row}
        if row.keys() != columns.keys():
            names = ", ".join(sorted(row.keys() ^ columns.keys()))
            msg = f"a row of {self.kind} has other columns in this version: {names}"
            raise ValueError(msg)
        values = {
            columns[name].key: _codec(columns[name])[1](value) if value is not None else None
            for name, value in row.items()
        }
        for column in columns.values():
            require_type(column, values[column.key])
        for name, states in self.states.items():
            if values[name] not in states:
                msg = f"{name} cannot be {values[name]!r}"
                raise ValueError(msg)
        return values | dict(self.reset)


UNLEASED: Final = {"lease_owner": None, "lease_until": PAST, "lease_epoch": 0}
EXPORT: Final = "export"
"""The kind of the jobs that make archives (exports.py)."""
NOT_MOVED: Final = (PERIODIC, EXPORT)
"""The kinds of jobs that are not exported: each service requests its own periodic ones, and the files of an archive are listed by the service that makes it."""
LOG: Final = ExportedTable(stored_event)
EXPORTED: Final = (
    LOG,
    ExportedTable(account, added={"comments": False, "support_url": None}),
    ExportedTable(peer_track),
    ExportedTable(media, {"reserved_at": None}, states={"state": frozenset(MediaState)}),
    ExportedTable(
        pds_host, added={"followed": True, "refuted_writes": 0}, states={"breaker": frozenset(BreakerState)}
    ),
    ExportedTable(mirror_lane, UNLEASED, added={"acked_rev": None}, states={"state": frozenset(LaneState)}),
    ExportedTable(
        mirror_target,
        added={"removal": None},
        states={"state": frozenset(TargetState), "desired_op": (PUT, DELETE)},
    ),
    ExportedTable(blob_job, {"queue_at": PAST}),
    ExportedTable(delivery_attempt),
    ExportedTable(outsider_reaction, {"read_at": PAST, "shown_at": PAST}),
    ExportedTable(release_upload),
    ExportedTable(repair, states={"state": frozenset(RepairState)}),
    ExportedTable(
        job,
        {**UNLEASED, "queued": False},  # turns are made anew
        which=job.c.kind.not_in(NOT_MOVED),
        states={"state": frozenset(JobState)},
    ),
)
"""In the order of writing and reading. Leases are reset: the process that held one has ended before an import."""

ACCOUNT_OWNED: Final = tuple(
    each for each in EXPORTED if each.table not in {pds_host, repair, release_upload}
)
"""The tables of an account's own export: what is known of a host concerns other accounts too, repairs are an operator's, and the
parts of uploads are in no file of the account yet."""

BY_KIND: Final = {each.kind: each for each in EXPORTED}


def rows_of(
    database: Database,
    exported: ExportedTable,
    did: str | None = None,
    *,
    after: tuple[Any, ...] | None = None,
) -> Iterator[Row]:
    """Yield the rows of a table, or those of an account, in the order of the primary key, after the key `after`.

    Each page is a statement of its own, and has about PAGE_BYTES at most.
    """
    key = list(exported.table.primary_key.columns)
    query = (
        sa.select(exported.table)
        .where(exported.which)
        .order_by(*key)
        .limit(ROWS_PER_PAGE)
        .execution_options(**FEW_ROWS)
    )
    if did is not None:
        query = query.where(exported.owned_by(did))
    last = after
    while True:
        page = query if last is None else query.where(sa.tuple_(*key) > sa.tuple_(*last))
        with database.read() as connection, connection.execute(page) as result:
            rows = list(_of_bounded_bytes(result.mappings()))
        if not rows:
            return
        yield from (exported.to_row(row) for row in rows)
        last = tuple(rows[-1][column.name] for column in key)


def _of_bounded_bytes(rows: Iterable[sa.RowMapping]) -> Iterator[sa.RowMapping]:
    left = PAGE_BYTES
    for row in rows:
        yield row
        left -= sum(len(value) for value in row.values() if isinstance(value, bytes))
        if left < 0:
            return


def _codec(column: sa.Column[Any]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return how a value that is not None is written, and read again."""
    if column is stored_event.c.state:  # JSON already, and readable in the file
        return bytes.decode, str.encode
    if isinstance(column.type, sa.LargeBinary):
        return lambda data: base64.b64encode(data).decode(), partial(base64.b64decode, validate=True)
    if isinstance(column.type, UtcDateTime):
        return datetime.isoformat, datetime.fromisoformat
    return lambda value: value, lambda value: value


def export(database: Database, target: Path, *, schema: str, lines: Callable[[int], None]) -> int:
    """Write a snapshot of everything to a file, which appears whole or not at all; return the number of its lines.

    `lines` is called with the number of lines so far. Raises OSError with the name of the file.
    """
    unfinished = target.with_name(target.name + ".part")
    count = 0
    try:
        with database.read(), unfinished.open("wb") as file:
            rows = ((each.kind, row) for each in EXPORTED for row in rows_of(database, each))
            for line in write_lines(_header(database, schema), rows):
                file.write(line)
                count += 1
                lines(count)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        error.filename = error.filename or str(unfinished)  # a write does not name its file
        raise
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def account_lines(database: Database, did: str, *, schema: str) -> Iterator[bytes]:
    """Yield the lines of a dump file with an account's own rows; no connection is held while a client reads slowly.

    It is therefore no snapshot: events that are appended meanwhile follow at its end, ahead of which no observation is.
    """

    def own_rows() -> Iterator[tuple[str, Row]]:
        last = (0,)
        for each in (*ACCOUNT_OWNED, LOG):
            for row in rows_of(database, each, did, after=last if each is LOG else None):
                if each is LOG:
                    last = (row["position"],)
                yield each.kind, row

    return write_lines({**_header(database, schema), "did": did}, own_rows())


def _header(database: Database, schema: str) -> Row:
    with database.read() as connection:
        exported_at = database.now(connection).isoformat()
        return {"schema": schema, "exported_at": exported_at, "id_boundary": boundary_of(connection)}


Lines = Callable[[int], None]


def check_dump(source: Path, *, schema: str, lines: Lines) -> dict[str, int]:
    """Check the whole file, import nothing, and return how many rows of each kind it has; raises BrokenDumpError."""
    return Counter(kind for kind, _ in _rows(source, schema, lines))


def import_dump(
    log: EventLog, source: Path, *, schema: str, lines: Lines, progress: Progress
) -> dict[str, int]:
    """Check the file, import its rows in one transaction, and rebuild the read models.

    Raises BrokenDumpError, ImpossibleDumpError, and NotEmptyError for a database with rows. After a crash between import and
    rebuild, run `mastertape rebuild`.
    """
    imported = check_dump(source, schema=schema, lines=lines)
    with source.open("rb") as file:
        header = next(read_lines(file)).row
    with log.database.write() as connection:
        lock_log(connection)
        rows_of_tables = (sa.select(each.table).where(each.which).limit(1) for each in EXPORTED)
        if any(connection.execute(query).first() is not None for query in rows_of_tables):
            raise NotEmptyError
        for kind, rows in groupby(_rows(source, schema), itemgetter(0)):
            while page := [values for _, values in islice(rows, ROWS_PER_PAGE)]:
                try:
                    connection.execute(sa.insert(BY_KIND[kind].table), page)
                except (IntegrityError, DataError) as error:
                    raise ImpossibleDumpError(
                        f"rows of {kind} contradict each other: {error.orig}"
                    ) from error
        require_replayable(log, connection)
        require_subjects(connection)
        take_turns(connection)
        # a file of an older version has none, since there no id carries its bucket
        _continue_ids(connection, header.get("id_boundary"))
        for column in (stored_event.c.position, attempt.id, job.c.id, repair.c.id):  # none is issued twice
            skip_numbers(connection, column, 1)
    rebuild(log, log.projections, progress=progress)
    return imported


def _rows(source: Path, schema: str, lines: Lines = lambda _: None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind and the values of each row; raises BrokenDumpError, at the last line for a lost one."""
    did = None
    with source.open("rb") as file:
        for line in read_lines(file):
            lines(line.number)
            if line.kind == HEADER:
                did, boundary = line.row.get("did"), line.row.get("id_boundary")
                if type(boundary) not in {int, NoneType} or type(did) not in {str, NoneType}:
                    raise BrokenDumpError(line.number, "the header has no such DID, or no such id")
                if (theirs := line.row.get("schema")) not in (schema, *OLDER_SCHEMAS):
                    reason = f"it was written under schema {theirs}, this database has {schema}"
                    raise BrokenDumpError(line.number, reason)
                continue
            if line.kind not in BY_KIND:
                reason = f"unknown kind {line.kind!r}; this version cannot import it"
                raise BrokenDumpError(line.number, reason)
            exported = BY_KIND[line.kind]
            try:
                values = exported.from_row(line.row)
            except (ValueError, TypeError, AttributeError) as error:
                raise BrokenDumpError(line.number, str(error)) from error
            if did is not None and exported.owner is not None and values[exported.owner] != did:
                raise BrokenDumpError(line.number, f"a row of another account is in the export of {did}")
            yield line.kind, values


def take_turns(connection: sa.Connection) -> None:
    """Enter the accounts with jobs among those that take turns."""
    of = sa.select(job.c.kind, job.c.account, job.c.bucket, sa.literal(PAST, UtcDateTime)).distinct()
    connection.execute(sa.insert(job_turn).from_select(["kind", "account", "bucket", "served_at"], of))


def _continue_ids(connection: sa.Connection, boundary: int | None) -> None:
    """Enter the imported ids that carry no bucket in the directory, and issue only larger ones than any that was imported."""
    subject, did = mirror_target.c.subject_id, mirror_target.c.did
    newest = connection.scalar(sa.select(sa.func.max(subject))) or 0
    outside = connection.scalar(sa.select(sa.func.max(outsider_reaction.c.subject_id))) or 0
    peers = connection.scalar(sa.select(sa.func.max(peer_track.c.peer_id))) or 0
    first = boundary or (newest + 1) * BUCKETS
    older = sa.select(subject, sa.func.min(did)).where(subject < first).group_by(subject)
    enter_older_ids(connection, first, older)
    ids = [newest, outside]
    for kind in (Release, TrackList):  # which may never have had a record
        begun = sa.select(stored_event.c.state).where(stored_event.c.topic == kind.Created.TOPIC)
        ids += (json.loads(state)[f"{kind.TOPIC}_id"] for state in connection.scalars(begun))
    if issued := max(max(ids) // BUCKETS, first // BUCKETS - 1, peers):
        issue_only_above(connection, issued)
