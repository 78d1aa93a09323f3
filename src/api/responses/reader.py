"""Reads what commands answer with: in their unit of work, or after it."""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import Published, Subject
from api.json_response import B, body_from
from api.services import Services
from application.subjects import A, On, require_owned
from eventstore.change import Change, of_class
from eventstore.sql.prepared import Prepared, Result
from eventstore.unit_of_work import UnitOfWork
from outbox.views.status import OF_SUBJECT, Mirror, mirrors, mirrors_in, without_record

BESIDE: Final[dict[type[Published], Prepared]] = {}
"""What is read of a subject with its save, by its class: its mirror, and what else its body needs; OF_SUBJECT of all others."""


def body_of_record(body: type[B], subject: Published, mirror: Mirror, **others: Any) -> B:
    """Return the body of what is shown with its record, and how far that is."""
    of_record = {"uri": mirror.record_uri, "cid": mirror.record_cid, "mirror": mirror}
    ids = {"id": subject.subject_id, "version": subject.visible_version}
    return body_from(body, subject, **ids, **of_record, **others)


class SubjectReader:
    """Knows the subject that its `unit` of work has saved; what is beside it is read in the round trip of the save."""

    def __init__(
        self,
        services: Services,
        did: str,
        connect: Callable[[], sa.Connection],
        unit: UnitOfWork | None = None,
    ) -> None:
        self.services: Final = services
        self.did: Final = did
        """The account that has given the command."""
        self._connect = connect
        self._saved: tuple[Published, Result] | None = None
        if unit is not None:
            unit.with_save(self._read_beside)

    @property
    def connection(self) -> sa.Connection:
        """Where it reads, and a unit of work that was not sent yet is sent for it."""
        return self._connect()

    def _read_beside(self, connection: sa.Connection, changes: Sequence[Change]) -> None:
        last = changes[-1].after
        if isinstance(last, Published):
            this = {"did": last.did, "kind": last.TOPIC, "subject_id": last.subject_id}
            this |= {"viewer": self.did}
            self._saved = last, BESIDE.get(type(last), OF_SUBJECT).start(connection, this)

    def saved(self, subject: Subject) -> tuple[Published, Sequence[Any]] | None:
        """Return the subject and what is beside it, as of its save; None where it was not saved here."""
        if self._saved is None:
            self._connect()  # sends what was saved, and reads what is beside it
        if self._saved is None or Subject.of(self._saved[0]) != subject:
            return None
        state, beside = self._saved
        return state, beside.all()

    def mirror(self, subject: Subject) -> Mirror:
        """Return the subject's mirror, as of its save where it was saved here."""
        saved, (kind, this) = self.saved(subject), subject
        if saved is None:
            return mirrors(self.connection, self.did, kind, [this])[this]
        return mirrors_in(saved[1]).get(this) or without_record(this)

    def state(self, aggregate: type[A], subject: Subject) -> tuple[A, Mirror]:
        """Return a subject of the account with its mirror, as `mirror` does."""
        mirror = self.mirror(subject)
        if (saved := self.saved(subject)) is not None:
            return of_class(aggregate, saved[0]), mirror
        on = On(aggregate, subject.id)
        return require_owned(self.services.log, self.connection, self.did, on, deleted_too=True), mirror

    @contextmanager
    def after_commit(self) -> Generator[None]:
        """Read inside what was not read with the save in a transaction of its own."""
        with ExitStack() as begun:
            self._connect = lambda: begun.enter_context(self.services.database.read_committed())
            yield
