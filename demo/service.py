"""The service as a process, and a client of its HTTP API."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from devpds.ports import free_port
from devpds.process import Process
from devpds.server import DevPds

MASTERTAPE: Final = Path(sys.executable).parent / "mastertape"


class Service:
    """`mastertape serve` on a database of its own; can be stopped, killed and started again."""

    process_type: type[Process] = Process

    def __init__(
        self,
        data: Path,
        pds: DevPds,
        *,
        program: Sequence[str | Path] = (MASTERTAPE,),
        command: str = "serve",
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = settings = {
            "MASTERTAPE_DATA": str(data),
            "MASTERTAPE_PORT": str(self.port),
            "MASTERTAPE_PLC_URL": pds.plc_url,
            "MASTERTAPE_DEV_ORIGINS": pds.url,
            "MASTERTAPE_RATE_LIMITS": "off",  # the demo polls the API
            **(env or {}),
        }
        foreign = [name for name in os.environ if name.startswith("MASTERTAPE_") and name not in settings]
        self.log = data / "service.log"
        self._process = self.process_type(
            ["/usr/bin/env", *(f"--unset={name}" for name in foreign), *program, command, *options],
            log=self.log,
            env=settings,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start unless running; return when /readyz succeeds."""
        with httpx.Client(timeout=10) as http:  # one for all polls: making a client costs more than a poll
            self._process.start(lambda: self._is_ready(http))

    def stop(self) -> None:
        """Stop in an orderly way, with SIGTERM."""
        self._process.stop()

    def kill(self) -> None:
        """Kill the process, as a crash would."""
        self._process.kill()

    def _is_ready(self, http: httpx.Client) -> bool:
        try:
            return http.get(f"{self.url}/readyz").is_success
        except httpx.TransportError:
            return False


class Client:
    """One signed-in artist."""

    def __init__(self, url: str, identifier: str, app_password: str, *, address: str | None = None) -> None:
        """Sign in; from this loopback address, if one is named, since each may sign in a few times a minute."""
        self.url = url
        transport = httpx.HTTPTransport(local_address=address)
        self.http = httpx.Client(base_url=url, timeout=60, transport=transport)
        reply = self.http.post(
            "/auth/app-password", json={"identifier": identifier, "password": app_password}
        )
        reply.raise_for_status()
        self.token = str(reply.json()["token"])
        self.http.cookies.clear()
        self.http.headers["authorization"] = f"Bearer {self.token}"

    def upload(self, audio: bytes, name: str = "tone.wav", **fields: Any) -> dict[str, Any]:
        """POST /tracks; `image` is a cover's bytes, the rest are form fields."""
        return self._body(self.http.post("/tracks", data=fields, files={"file": (name, audio)}), 201)

    def edit(self, track_id: int, **fields: Any) -> dict[str, Any]:
        """PATCH /tracks/{id} with JSON."""
        return self._body(self.http.patch(f"/tracks/{track_id}", json=fields))

    def set_artwork(self, track_id: int, image: bytes) -> dict[str, Any]:
        """PATCH /tracks/{id} with a cover."""
        return self._body(
            self.http.patch(f"/tracks/{track_id}", files={"image": ("cover.png", image, "image/png")})
        )

    def post(self, track_id: int, action: str) -> dict[str, Any]:
        """POST /tracks/{id}/{action}."""
        return self._body(self.http.post(f"/tracks/{track_id}/{action}"), 200, 202)

    def delete(self, track_id: int) -> dict[str, Any]:
        """DELETE /tracks/{id}."""
        return self._body(self.http.delete(f"/tracks/{track_id}"))

    def track(self, track_id: int) -> dict[str, Any]:
        """GET /tracks/{id}."""
        return self._body(self.http.get(f"/tracks/{track_id}"))

    def mirror(self, track_id: int) -> dict[str, Any]:
        """GET /tracks/{id}/mirror."""
        return self._body(self.http.get(f"/tracks/{track_id}/mirror"))

    def history(self, track_id: int) -> list[dict[str, Any]]:
        """GET /tracks/{id}/history, oldest first."""
        items = self._body(self.http.get(f"/tracks/{track_id}/history", params={"limit": 100}))["items"]
        return sorted(items, key=lambda row: row["position"])

    def _body(self, reply: httpx.Response, *expected: int) -> dict[str, Any]:
        if reply.status_code not in (expected or (200,)):
            raise RuntimeError(
                f"{reply.request.method} {reply.request.url} -> {reply.status_code} {reply.text}"
            )
        return dict(reply.json())
