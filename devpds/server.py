"""The PLC directory and the PDS, as two processes that can be stopped, killed and started again."""

import contextlib
import json
import sqlite3
from collections.abc import Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from devpds import node
from devpds.ports import free_port
from devpds.process import Process


class XrpcError(Exception):
    """The PDS answered with an error."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(f"{status} {error}: {message}")
        self.status = status
        self.error = error
        self.message = message


class _Bearer(httpx.Auth):
    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers["authorization"] = self._header
        yield request


def _email_of(handle: str) -> str:
    return f"{handle.removesuffix('.test')}@example.test"


class _Server:
    """A node script with a port, a data folder and a health check."""

    def __init__(
        self, script: str, data: Path, port: int | None, health: str, env: Mapping[str, str]
    ) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.data = data.resolve()
        self.port = port or free_port()
        self.url = self.direct_url = f"http://localhost:{self.port}"
        self._health = health
        self._http = self._client()
        self._process = Process(
            [node.NODE, node.FOLDER / script],
            log=self.data / "log",
            env={"LOG_ENABLED": "false", "NODE_COMPILE_CACHE": str(node.COMPILE_CACHE), **env},
            cwd=node.FOLDER,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    def start(self) -> None:
        """Start unless running; return once the health check succeeds."""
        node.install()
        self._process.start(self._healthy)

    def stop(self) -> None:
        """Stop in an orderly way; the data stays."""
        self._process.stop()
        self._disconnect()

    def kill(self) -> None:
        """Kill the process, as a crash would; the data stays."""
        self._process.kill()
        self._disconnect()

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.direct_url, timeout=60)

    def _disconnect(self) -> None:
        self._http.close()
        self._http = self._client()

    def _healthy(self) -> bool:
        try:
            return self._http.get(self._health).is_success
        except httpx.TransportError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class DevPlc(_Server):
    """A PLC directory whose log is kept in `data`."""

    def __init__(self, data: Path, *, port: int | None = None) -> None:
        super().__init__("plc.mjs", data, port, "/_health", {})
        self._process.env |= {"PLC_PORT": str(self.port), "PLC_DATA_DIRECTORY": str(self.data)}

    def document(self, did: str) -> dict[str, Any]:
        return dict(self._http.get(f"/{did}").raise_for_status().json())


class DevPds(_Server):
    """The reference PDS. Its accounts, keys and records are kept in `data`; `env` takes any PDS_* setting.

    `behind` is the port of a proxy in front of it, which its URL and every DID document then name;
    `direct_url` goes past the proxy, as the methods of this class do.
    """

    def __init__(
        self,
        plc: DevPlc,
        data: Path,
        *,
        port: int | None = None,
        behind: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("pds.mjs", data, port, "/xrpc/_health", env or {})
        self.plc = plc
        self.plc_url = plc.url
        self.public_port = behind or self.port
        self.url = f"http://localhost:{self.public_port}"
        self._process.env |= {
            "PDS_PORT": str(self.public_port),
            "DEVPDS_PORT": str(self.port),
            "PDS_DATA_DIRECTORY": str(self.data),
            "PDS_DID_PLC_URL": plc.url,
        }
        self._access: dict[str, str] = {}

    @property
    def admin_password(self) -> str:
        """The password of the PDS's admin routes."""
        return str(json.loads((self.data / "secrets.json").read_text())["adminPassword"])

    def query(self, method: str, *, by: str | None = None, **params: Any) -> dict[str, Any]:
        """Call a GET method; `by` is a DID signed in here, "admin", or None for no authorization."""
        return self._answer("GET", method, by, params=params)

    def procedure(
        self, method: str, body: Mapping[str, Any] | None = None, *, by: str | None = None
    ) -> dict[str, Any]:
        """Call a POST method; `by` is a DID signed in here, "admin", or None for no authorization."""
        return self._answer("POST", method, by, json=body)

    def create_account(self, handle: str, password: str) -> str:
        """Create an account, sign it in here, and return its DID."""
        body = {"handle": handle, "email": _email_of(handle), "password": password}
        return self._signed_in(self.procedure("com.atproto.server.createAccount", body))

    def sign_in(self, identifier: str, password: str) -> str:
        """Sign an account in here, and return its DID."""
        body = {"identifier": identifier, "password": password}
        return self._signed_in(self.procedure("com.atproto.server.createSession", body))

    def access_token(self, did: str) -> str:
        """Return the access token of an account that is signed in here."""
        return self._access[did]

    def create_app_password(self, did: str, name: str = "mastertape") -> str:
        """Return a new app password of an account that is signed in here."""
        return str(self.procedure("com.atproto.server.createAppPassword", {"name": name}, by=did)["password"])

    def get_record(self, did: str, collection: str, rkey: str) -> dict[str, Any] | None:
        """Return {uri, cid, value}, or None when there is no such record."""
        try:
            return self.query("com.atproto.repo.getRecord", repo=did, collection=collection, rkey=rkey)
        except XrpcError as error:
            if error.error == "RecordNotFound":
                return None
            raise

    def list_records(self, did: str, collection: str) -> list[dict[str, Any]]:
        """Return all records of a collection, newest rkey first."""
        records: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = self.query(
                "com.atproto.repo.listRecords", repo=did, collection=collection, limit=100, **cursor
            )
            records += page["records"]
            if "cursor" not in page:
                return records
            cursor = {"cursor": page["cursor"]}

    def put_record(
        self, did: str, collection: str, rkey: str, value: Mapping[str, Any], **swap: Any
    ) -> dict[str, Any]:
        """Write a record as another client of its owner."""
        body = {"repo": did, "collection": collection, "rkey": rkey, "record": value, **swap}
        return self.procedure("com.atproto.repo.putRecord", body, by=did)

    def delete_record(self, did: str, collection: str, rkey: str) -> None:
        """Delete a record as another client of its owner."""
        self.procedure(
            "com.atproto.repo.deleteRecord", {"repo": did, "collection": collection, "rkey": rkey}, by=did
        )

    def upload_blob(self, did: str, content: bytes, content_type: str) -> dict[str, Any]:
        """Upload a blob and return its ref."""
        return dict(self._upload("com.atproto.repo.uploadBlob", did, content, content_type)["blob"])

    def get_blob(self, did: str, cid: str) -> bytes | None:
        """Return the bytes of a blob that a record names, or None."""
        answer = self._http.get("/xrpc/com.atproto.sync.getBlob", params={"did": did, "cid": cid})
        return answer.content if answer.is_success else None

    def get_repo(self, did: str) -> bytes:
        """Return the whole repository as a CAR file."""
        return (
            self._http.get("/xrpc/com.atproto.sync.getRepo", params={"did": did}).raise_for_status().content
        )

    def import_repo(self, did: str, car: bytes) -> None:
        """Replace the repository of an account that is signed in here with the CAR file."""
        self._upload("com.atproto.repo.importRepo", did, car, "application/vnd.ipld.car")

    def create_moved_account(self, did: str, handle: str, password: str, service_auth_token: str) -> None:
        """Create a deactivated account for a DID of another PDS, whose service auth token authorizes it; sign it in here."""
        body = {"did": did, "handle": handle, "password": password, "email": _email_of(handle)}
        answer = self._answer(
            "POST", "com.atproto.server.createAccount", None, json=body, auth=_Bearer(service_auth_token)
        )
        self._signed_in(answer)

    def mailed_token(self, did: str, purpose: str) -> str:
        """Return the token of the e-mail to the account's owner, from the database, since this PDS sends none."""
        with contextlib.closing(sqlite3.connect(self.data / "account.sqlite")) as accounts:
            row = accounts.execute(
                "select token from email_token where did = ? and purpose = ?", (did, purpose)
            ).fetchone()
        return str(row[0])

    def _upload(self, method: str, did: str, content: bytes, content_type: str) -> dict[str, Any]:
        return self._answer("POST", method, did, content=content, headers={"content-type": content_type})

    def _answer(self, verb: str, method: str, by: str | None, **request: Any) -> dict[str, Any]:
        if by == "admin":
            request["auth"] = ("admin", self.admin_password)
        elif by is not None:
            request["auth"] = _Bearer(self._access[by])
        answer = self._http.request(verb, f"/xrpc/{method}", **request)
        found: dict[str, Any] = answer.json() if answer.content else {}
        if answer.is_error:
            raise XrpcError(answer.status_code, found.get("error", ""), found.get("message", ""))
        return found

    def _signed_in(self, session: dict[str, Any]) -> str:
        did = str(session["did"])
        self._access[did] = session["accessJwt"]
        return did
