"""Adoption: make tracks of the records that an account's PDS holds already."""

from application.authorization import require_staying
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from replay.adoption import jobs


def request_adoption(log: EventLog, did: str, envelope: Envelope) -> None:
    """Request a job, or join the one that runs; raises LeavingError."""

    def work(unit: UnitOfWork) -> None:
        require_staying(unit)
        jobs.request(unit.connection, did, envelope, unit.now)

    log.transact(did, envelope, work)
