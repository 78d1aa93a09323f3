"""What recovery refuses; each says what was kept and what to do."""


class ReplayError(Exception):
    """A recovery command cannot go on."""

    def __str__(self) -> str:
        return super().__str__() or str(type(self).__doc__)


class BrokenDumpError(ReplayError):
    """The file is not what an export wrote. `line` is where, counted from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}. Nothing was imported; take another copy of the export.")
        self.line = line


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


class TooManyProblemsError(ReplayError):
    """So many records of an account could not be adopted that no more are remembered."""

    def __init__(self, named: int) -> None:
        super().__init__(
            f"{named} records have problems, and no more are remembered from one turn to the next;"
            " correct those that are named"
        )


class UnderWayError(ReplayError):
    """The account's records are already being adopted by another process, which will finish. Check again later; a file of ids has to be given again then."""


class PeerIdsError(ReplayError):
    """The ids of a file cannot be given to the tracks of an account."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}. Nothing was adopted.")
