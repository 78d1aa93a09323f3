"""Where accounts are, as the test says."""

from dataclasses import dataclass, field

from outbox.ports import DirectoryUnavailableError


@dataclass
class Places:
    """A directory: everybody is at `home` who is not named; None is nowhere."""

    home: str
    moved: dict[str, str | None] = field(default_factory=dict)
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def host_of(self, did: str) -> str | None:
        """Say where the account is."""
        self.asked.append(did)
        if self.away:
            raise DirectoryUnavailableError("away")
        return self.moved.get(did, self.home)
