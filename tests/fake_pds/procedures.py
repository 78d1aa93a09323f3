"""The calls that need a login, and the order in which a PDS checks them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from tests.fake_pds import limits
from tests.fake_pds.account import OWNER, Account, Status
from tests.fake_pds.queries import QUERIES, account_of
from tests.fake_pds.repo import ANY, Commit
from tests.fake_pds.tokens import Token
from tests.fake_pds.values import blob_cid, checked_cid, checked_rkey, sniffed
from tests.fake_pds.xrpc import Call, RefusedError, invalid, reply

if TYPE_CHECKING:
    from tests.fake_pds.pds import FakePds

RECORD_BYTES, JSON_BYTES = 1_000_000, 150 * 1024
APPLY_WRITES, MAX_WRITES = "com.atproto.repo.applyWrites", 200
POINTS = {"create": 3, "update": 2, "delete": 1}


def put_record(pds: "FakePds", call: Call) -> httpx.Response:
    body, account = _write(pds, call, RECORD_BYTES, points=2)
    key = body["collection"], checked_rkey(body["rkey"])
    _validate(body)
    cid, commit = account.repo.put(
        key,
        body["record"],
        swap=body.get("swapRecord", ANY),
        client=call.client,
    )
    return reply(_written(account.did, key, cid, commit, body))


def delete_record(pds: "FakePds", call: Call) -> httpx.Response:
    body, account = _write(pds, call, JSON_BYTES, points=1)
    commit = account.repo.delete(
        (body["collection"], body["rkey"]),
        swap=body.get("swapRecord"),
        client=call.client,
    )
    return reply({} if commit is None else {"commit": commit.reply})


def apply_writes(pds: "FakePds", call: Call) -> httpx.Response:
    """com.atproto.repo.applyWrites: all in one commit, or nothing; a swapRecord of a single write counts for nothing."""
    token = _authenticate(pds, call)
    body = call.json(RECORD_BYTES)
    writes = [_write_of(each) for each in body["writes"]]
    account = _consume(pds, call, token, body, sum(POINTS[action] for action, _, _ in writes))
    if len(writes) > MAX_WRITES:
        raise invalid(f"Too many writes. Max: {MAX_WRITES}")
    for _, key, _ in writes:
        _validate({**body, "collection": key[0]})
    cids, commit = account.repo.apply(writes, swap_commit=body.get("swapCommit"), client=call.client)
    results = [
        {"$type": f"{APPLY_WRITES}#{action}Result", **_result_of(account.did, key, cid, body)}
        for (action, key, _), cid in zip(writes, cids, strict=True)
    ]
    return reply({"commit": commit.reply, "results": results})


def _write_of(write: dict[str, Any]) -> tuple[str, tuple[str, str], Any]:
    action = str(write.get("$type")).partition("#")[2]
    if action not in POINTS:
        raise invalid("Input/writes must be a create, an update or a delete")
    return action, (write["collection"], checked_rkey(write["rkey"])), write.get("value")


def _result_of(did: str, key: tuple[str, str], cid: str | None, body: dict[str, Any]) -> dict[str, Any]:
    return {} if cid is None else _written(did, key, cid, None, body)


def upload_blob(pds: "FakePds", call: Call) -> httpx.Response:
    """com.atproto.repo.uploadBlob: goes on working while the account is deactivated."""
    did = _authenticate(pds, call).did
    account = _standing(pds, did, deactivated_too=True)
    mime = call.headers.get("content-type", "")
    if "/" not in mime:
        raise invalid("Request encoding (Content-Type) required but not provided")
    if pds.blob_limit is not None and len(call.content) > pds.blob_limit:
        raise RefusedError(413, "PayloadTooLarge", "request entity too large")
    pds.limits.consume(call, (limits.UPLOADS, call.ip, 1))
    content = call.content
    return reply({"blob": account.repo.upload(blob_cid(content), content, sniffed(content, mime))})


def create_session(pds: "FakePds", call: Call) -> httpx.Response:
    body = call.json(JSON_BYTES)
    identifier, password = str(body.get("identifier", "")).lower(), str(body.get("password", ""))
    key = f"{identifier}-{call.ip}"
    pds.limits.consume(call, (limits.LOGINS_A_DAY, key, 1), (limits.LOGINS, key, 1))
    account = account_of(pds, identifier)
    client = account.passwords.get(password) if account is not None else None
    taken_down = account is not None and account.status is Status.TAKENDOWN
    if account is None or client is None or (taken_down and client != OWNER):
        raise RefusedError(401, "AuthenticationRequired", "Invalid identifier or password")
    if taken_down:
        raise RefusedError(401, "AccountTakedown", "Account has been taken down")
    return reply({**pds.tokens.session(account.did, client), **_told(account)})


def refresh_session(pds: "FakePds", call: Call) -> httpx.Response:
    token = pds.tokens.look_at_refresh(call)
    pds.limits.consume(call)
    account = pds.accounts.get(token.did)
    if account is None:
        raise invalid(f"Could not find user info for account: {token.did}")
    if account.status is Status.TAKENDOWN:
        raise RefusedError(401, "AccountTakedown", "Account has been taken down")
    return reply({**pds.tokens.refresh(token), **_told(account)})


def get_session(pds: "FakePds", call: Call) -> httpx.Response:
    did = _authenticate(pds, call).did
    pds.limits.consume(call)
    account = pds.accounts.get(did)
    if account is None or account.status is Status.TAKENDOWN:
        raise invalid(f"Could not find user info for account: {did}")
    return reply(_told(account))


def unknown(_pds: "FakePds", call: Call) -> httpx.Response:
    raise invalid(f"No service configured for {call.nsid}")


def _write(pds: "FakePds", call: Call, limit: int, *, points: int) -> tuple[dict[str, Any], Account]:
    """What all writes have in common, in the order of the real one: token, body, points, account, owner."""
    token = _authenticate(pds, call)
    body = call.json(limit)
    for name in ("repo", "collection", "rkey"):
        if not isinstance(body.get(name), str):
            raise invalid(f"Input/{name} must be a string")
    if body.get("swapRecord") is not None:
        checked_cid(body["swapRecord"])
    return body, _consume(pds, call, token, body, points)


def _consume(pds: "FakePds", call: Call, token: Token, body: dict[str, Any], points: int) -> Account:
    pds.limits.consume(
        call, (limits.WRITES_AN_HOUR, token.did, points), (limits.WRITES_A_DAY, token.did, points)
    )
    account = _standing(pds, body["repo"])
    if account.did != token.did:
        raise RefusedError(401, "AuthenticationRequired", "Authentication Required")
    return account


def _authenticate(pds: "FakePds", call: Call) -> Token:
    token = pds.tokens.check(call)
    call.client = token.client
    return token


def _standing(pds: "FakePds", identifier: str, *, deactivated_too: bool = False) -> Account:
    account = account_of(pds, identifier)
    if account is None:
        raise RefusedError(403, "AccountNotFound", "Account not found")
    if account.status is Status.TAKENDOWN:
        raise RefusedError(401, "AccountTakedown", "Account has been taken down")
    if account.status is Status.DEACTIVATED and not deactivated_too:
        raise RefusedError(401, "AccountDeactivated", "Account is deactivated")
    return account


def _validate(body: dict[str, Any]) -> None:
    if body.get("validate") is True:
        raise invalid(f"Unknown lexicon type: {body['collection']}")


def _written(
    did: str, key: tuple[str, str], cid: str, commit: Commit | None, body: dict[str, Any]
) -> dict[str, Any]:
    answer: dict[str, Any] = {"uri": f"at://{did}/{key[0]}/{key[1]}", "cid": cid}
    if commit is not None:
        answer["commit"] = commit.reply
    if body.get("validate") is None:
        answer["validationStatus"] = "unknown"
    return answer


def _told(account: Account) -> dict[str, Any]:
    active = account.status is Status.ACTIVE
    status = {} if active else {"status": account.status.value}
    return {"did": account.did, "handle": account.handle, "active": active, **status}


CALLS: dict[str, tuple[str, Callable[["FakePds", Call], httpx.Response]]] = {
    "com.atproto.repo.putRecord": ("POST", put_record),
    "com.atproto.repo.deleteRecord": ("POST", delete_record),
    APPLY_WRITES: ("POST", apply_writes),
    "com.atproto.repo.uploadBlob": ("POST", upload_blob),
    "com.atproto.server.createSession": ("POST", create_session),
    "com.atproto.server.refreshSession": ("POST", refresh_session),
    "com.atproto.server.getSession": ("GET", get_session),
    **{nsid: ("GET", query) for nsid, query in QUERIES.items()},
}
