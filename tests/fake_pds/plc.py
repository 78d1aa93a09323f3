"""The PLC directory, in memory: the handle and the host of each DID."""

from dataclasses import dataclass, field

import httpx


@dataclass(eq=False)
class FakePlc:
    """Says where an account is to be found; a move changes it at once."""

    origin: str = "https://plc.directory"
    places: dict[str, tuple[str, str]] = field(default_factory=dict)

    def place(self, did: str, handle: str, pds: str) -> None:
        self.places[did] = handle, pds

    def answer(self, request: httpx.Request, _content: bytes) -> httpx.Response:
        did = request.url.path.removeprefix("/")
        if did not in self.places:
            return httpx.Response(404, json={"message": f"DID not registered: {did}"})
        handle, pds = self.places[did]
        service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}
        return httpx.Response(200, json={"id": did, "alsoKnownAs": [f"at://{handle}"], "service": [service]})

    def requester(self, _request: httpx.Request) -> None:
        """Requests to the directory carry no login."""
