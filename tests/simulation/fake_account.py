"""An account as its host knows it."""

from dataclasses import dataclass
from enum import Enum

from tests.simulation.fake_repo import Repo


class Status(Enum):
    """How an account stands with its host."""

    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    TAKENDOWN = "takendown"


@dataclass
class Account:
    """One account. `passwords` are the names of its passwords, by their text; "account" is the main one."""

    did: str
    handle: str
    passwords: dict[str, str]
    repo: Repo
    status: Status = Status.ACTIVE
