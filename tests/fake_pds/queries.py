"""The calls that need no login."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx

from outbox.record.dag_cbor import cid_bytes
from tests.fake_pds.account import Account, Status
from tests.fake_pds.xrpc import Call, RefusedError, invalid, reply

if TYPE_CHECKING:
    from tests.fake_pds.pds import FakePds


def account_of(pds: "FakePds", identifier: str) -> Account | None:
    if identifier in pds.accounts:
        return pds.accounts[identifier]
    return next((each for each in pds.accounts.values() if each.handle == identifier), None)


def get_record(pds: "FakePds", call: Call) -> httpx.Response:
    repo, key = call.param("repo"), (call.param("collection"), call.param("rkey"))
    pds.limits.consume(call)
    account = _visible(pds, repo)
    if account is None:
        raise invalid("Could not locate record")
    record = account.repo.visible(key)
    uri = f"at://{account.did}/{key[0]}/{key[1]}"
    if record is None or call.params.get("cid", record.cid) != record.cid:
        raise RefusedError(400, "RecordNotFound", f"Could not locate record: {uri}")
    return reply({"uri": uri, "cid": record.cid, "value": record.value})


def list_records(pds: "FakePds", call: Call) -> httpx.Response:
    repo, collection = call.param("repo"), call.param("collection")
    limit = int(call.params.get("limit", "50"))
    if not 1 <= limit <= 100:
        raise invalid("limit must be 1 to 100")
    pds.limits.consume(call)
    account = _visible(pds, repo)
    if account is None:
        raise invalid(f"Could not find repo: {repo}")
    upwards, cursor = call.params.get("reverse") == "true", call.params.get("cursor")
    rkeys = sorted(
        (key[1] for key in account.repo.records if key[0] == collection and account.repo.visible(key)),
        reverse=not upwards,
    )
    page = [rkey for rkey in rkeys if cursor is None or (rkey > cursor if upwards else rkey < cursor)][:limit]
    found = {rkey: account.repo.records[collection, rkey] for rkey in page}
    records = [
        {"uri": f"at://{account.did}/{collection}/{rkey}", "cid": record.cid, "value": record.value}
        for rkey, record in found.items()
    ]
    return reply({"records": records, **({"cursor": page[-1]} if page else {})})


def describe_server(pds: "FakePds", call: Call) -> httpx.Response:
    answer = {
        "did": "did:web:" + httpx.URL(pds.origin).host,
        "availableUserDomains": [".test"],
        "inviteCodeRequired": False,
        **({"blobUploadLimit": pds.blob_limit} if pds.blob_limit is not None else {}),
        "links": {},
        "contact": {},
    }
    pds.limits.consume(call)
    return reply(answer)


def get_blob(pds: "FakePds", call: Call) -> httpx.Response:
    """com.atproto.sync.getBlob: serves only blobs that a record names; ignores Range."""
    did, cid = call.param("did"), call.param("cid")
    pds.limits.consume(call)
    blob = _available(pds, did).repo.blobs.get(cid)
    if blob is None or blob.temporary:
        raise invalid("Blob not found")
    headers = {
        "content-type": blob.mime,
        "x-content-type-options": "nosniff",
        "content-disposition": f'attachment; filename="{cid}"',
        "content-security-policy": "default-src 'none'; sandbox",
    }
    return httpx.Response(200, content=blob.content, headers=headers)


def get_latest_commit(pds: "FakePds", call: Call) -> httpx.Response:
    did = call.param("did")
    pds.limits.consume(call)
    return reply(_available(pds, did).repo.head.reply)


def get_proof(pds: "FakePds", call: Call) -> httpx.Response:
    """com.atproto.sync.getRecord: not a CAR file, but what one has of the account and of the record, also of one that was taken down."""
    did = call.param("did")
    pds.limits.consume(call)
    stored = _available(pds, did).repo.records.get((call.param("collection"), call.param("rkey")))
    cid = cid_bytes(stored.cid) if stored is not None else b""
    return httpx.Response(200, content=did.encode() + cid)


def get_repo_status(pds: "FakePds", call: Call) -> httpx.Response:
    did = call.param("did")
    pds.limits.consume(call)
    account = _hosted(pds, did)
    if account.status is Status.ACTIVE:
        return reply({"did": did, "active": True, "rev": account.repo.head.rev})
    return reply({"did": did, "active": False, "status": account.status.value})


def list_blobs(pds: "FakePds", call: Call) -> httpx.Response:
    """com.atproto.sync.listBlobs: the CIDs of blobs that records name, in one page."""
    did = call.param("did")
    pds.limits.consume(call)
    blobs = _available(pds, did).repo.blobs
    return reply({"cids": sorted(cid for cid, blob in blobs.items() if not blob.temporary)})


def _visible(pds: "FakePds", identifier: str) -> Account | None:
    account = account_of(pds, identifier)
    return account if account is not None and account.status is Status.ACTIVE else None


def _hosted(pds: "FakePds", identifier: str) -> Account:
    if (account := account_of(pds, identifier)) is None:
        raise RefusedError(400, "RepoNotFound", f"Could not find repo for DID: {identifier}")
    return account


def _available(pds: "FakePds", identifier: str) -> Account:
    account = _hosted(pds, identifier)
    if account.status is Status.TAKENDOWN:
        raise RefusedError(400, "RepoTakendown", f"Repo has been takendown: {identifier}")
    if account.status is Status.DEACTIVATED:
        raise RefusedError(400, "RepoDeactivated", f"Repo has been deactivated: {identifier}")
    return account


QUERIES: dict[str, Callable[["FakePds", Call], httpx.Response]] = {
    "com.atproto.repo.getRecord": get_record,
    "com.atproto.repo.listRecords": list_records,
    "com.atproto.server.describeServer": describe_server,
    "com.atproto.sync.getBlob": get_blob,
    "com.atproto.sync.getLatestCommit": get_latest_commit,
    "com.atproto.sync.getRecord": get_proof,
    "com.atproto.sync.getRepoStatus": get_repo_status,
    "com.atproto.sync.listBlobs": list_blobs,
}
