"""A directory of accounts that a test fills."""

from dataclasses import dataclass, field

from outbox.ports import DirectoryUnavailableError


@dataclass
class FakeDirectory:
    """Resolves each DID to `home`, or to the host in `moved`; None there is an account without a host."""

    home: str
    moved: dict[str, str | None] = field(default_factory=dict)
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def host_of(self, did: str) -> str | None:
        self.asked.append(did)
        if self.away:
            raise DirectoryUnavailableError("away")
        return self.moved.get(did, self.home)
