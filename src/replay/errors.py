"""What recovery refuses; each says what was kept and what to do."""


class ReplayError(Exception):
    """A recovery command cannot go on."""


class BrokenTapeError(ReplayError):
    """The file is not what an export wrote. `line` is where, counted from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}. Nothing was imported; take another copy of the export.")
        self.line = line


class NotEmptyError(ReplayError):
    """The database holds something already. Nothing was imported; import into an empty one."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class BytesUnavailableError(ReplayError):
    """Nobody gives the bytes that a record names. `code` says in a word why."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class PdsTroubleError(ReplayError):
    """The PDS does not tell just now what it holds: another time may be better."""


class PdsBusyError(PdsTroubleError):
    """The PDS has been asked for too much."""


class UnderWayError(ReplayError):
    """The account's records are being taken over already, by a process that goes on with it. Look again later."""

    def __str__(self) -> str:
        return str(type(self).__doc__)


class TooManyDeletesError(ReplayError):
    """The plan deletes more records than it may. Nothing was done."""

    def __init__(self, planned: int, allowed: int) -> None:
        super().__init__(
            f"the plan deletes {planned} records and may delete {allowed}. Nothing was done;"
            f" look at the plan, and say --max-deletes {planned} if it is right"
        )
