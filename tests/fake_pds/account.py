"""An account of the fake PDS."""

from dataclasses import dataclass
from enum import Enum

from tests.fake_pds.repo import Repo

OWNER = "account"
"""The client name of sign-ins with the account's own password."""


class Status(Enum):
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    TAKENDOWN = "takendown"


@dataclass
class Account:
    """One account. `passwords` are the names of its passwords, by their text."""

    did: str
    handle: str
    passwords: dict[str, str]
    repo: Repo
    status: Status = Status.ACTIVE
