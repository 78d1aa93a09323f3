"""What recovery refuses; each says what was kept and what to do."""

from dataclasses import dataclass

from aggregates.errors import ServiceError


class ReplayError(ServiceError):
    """A recovery command cannot go on."""


@dataclass(eq=False)
class BrokenDumpError(ReplayError):
    """line {line}: {reason}. Nothing was imported; take another copy of the export."""

    line: int
    reason: str


@dataclass(eq=False)
class ImpossibleDumpError(ReplayError):
    """The file is intact, but no database had such rows: {reason}. Nothing was imported; take another export."""

    reason: str


class NotEmptyError(ReplayError):
    """The database holds something already. Nothing was imported; import into an empty one."""


class BytesUnavailableError(ReplayError):
    """The bytes that a record names could not be obtained; `code` is the reason in one word."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class PdsTroubleError(ReplayError):
    """The PDS cannot say right now what it holds. Try again later."""


class PdsBusyError(PdsTroubleError):
    """The PDS rate-limited us."""


class NoPdsError(ReplayError):
    """No PDS of the account is known here. Nothing was changed; repair it once it has signed in."""


class RepairNotFoundError(ReplayError):
    """There is no such repair. It may have been forgotten since: GET /ops/repairs lists those that are kept."""


class ExportUnderWayError(ReplayError):
    """An export is being made, or was requested in the last ten minutes: GET /me/exports says how far it is. Nothing was changed."""


class ExportNotFoundError(ReplayError):
    """There is no such export, or no longer: GET /me/exports names the newest."""


class ExportTakenDownError(ReplayError):
    """An operator has taken down a file of this export. Make another one, without it."""


class UnderWayError(ReplayError):
    """The account's records are already being adopted by another process, which will finish. Check again later; a file of ids has to be given again then."""


@dataclass(eq=False)
class PeerIdsError(ReplayError):
    """{reason}. Nothing was adopted."""

    reason: str
