"""Reads a whole repo and proves it, which listRecords cannot.

The account's signature proves the commit, the commit the tree, the tree the CID of each record, and the CID the record.
"""

import json
import tempfile
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Any, BinaryIO, Final

import libipld
from atproto_core.exceptions import AtProtocolError
from atproto_crypto.verify import verify_signature

from eventstore.foreign_json import TooComplexError
from outbox.pds.client import Pds, RemoteUnknownError
from outbox.pds.verdict import Kind, Verdict
from outbox.ports import DirectoryUnavailableError, SigningKeys
from outbox.record.dag_cbor import cid_text, decode
from outbox.record.foreign_cbor import require_few_values
from outbox.repo.car import Blocks, UnprovenError
from outbox.repo.reads import Comparable, Found, Records, RepoReads
from outbox.repo.tree import entries
from outbox.threads import in_thread

GET_REPO: Final = "com.atproto.sync.getRepo"
MAX_REPO_BYTES: Final = 4 * 2**30
REPO_TIMEOUT_SECONDS: Final = 900.0
COMMIT_VERSION: Final = 3


class ProvenReads(RepoReads):
    """Reads with proven records; raises RemoteUnknownError for a repo that is not proven."""

    def __init__(self, pds: Pds, keys: SigningKeys) -> None:
        super().__init__(pds)
        self._keys = keys

    async def found(
        self, host: str, did: str, collections: Collection[str], known: AbstractSet[str]
    ) -> dict[str, Records]:
        """Return what is comparable of the records of these collections, from the whole repo in a temporary file."""
        try:
            key = await self._keys.signing_key(did)
            with tempfile.TemporaryFile() as file:
                await self._pds.download(
                    host, GET_REPO, {"did": did}, file, limit=MAX_REPO_BYTES, timeout=REPO_TIMEOUT_SECONDS
                )
                return await in_thread(proven, file, did, key, collections, known)
        except UnprovenError as error:
            raise RemoteUnknownError(Verdict(Kind.AMBIGUOUS, "unproven", message=str(error))) from error
        except DirectoryUnavailableError as error:
            raise RemoteUnknownError(Verdict(Kind.AMBIGUOUS, "no_key", message=str(error))) from error


def proven(
    file: BinaryIO, did: str, key: str, collections: Collection[str], known: AbstractSet[str]
) -> dict[str, Records]:
    """Return what is comparable of the records of these collections of a repo in a CAR file; raises UnprovenError."""
    blocks = Blocks(file)
    commit = blocks.node(blocks.root)
    match commit:
        case {"did": owner, "version": version, "data": bytes(tree)} if version == COMMIT_VERSION:
            if owner != did:
                raise UnprovenError("the repo belongs to another account")
        case _:
            raise UnprovenError("the root is not a commit")
    if not _is_signed(commit, key):
        raise UnprovenError("the commit is not signed with the account's key")
    comparable = Comparable(known)
    found: dict[str, Records] = {name: {} for name in collections}
    for path, cid in entries(blocks, tree):
        collection, _, rkey = path.partition("/")
        data = blocks.get(cid)  # records of other collections are only checked to exist
        if collection in found:
            found[collection][rkey] = _found(cid_text(cid), data, comparable)
    return found


def _is_signed(commit: dict[str, Any], key: str) -> bool:
    unsigned = {name: value for name, value in commit.items() if name != "sig"}
    signature = commit.get("sig")
    try:
        signed = bytes(libipld.encode_dag_cbor(unsigned))
        return isinstance(signature, bytes) and bool(verify_signature(key, signed, signature))
    except (AtProtocolError, ValueError):
        return False


def _found(cid: str, data: bytes, comparable: Comparable) -> Found:
    if not comparable.is_wanted(cid, data):
        return Found(cid)
    try:
        record = _record(data)
    except TooComplexError:
        return Found(cid)
    return comparable.of(cid, record, json.dumps(record).encode())


def _record(data: bytes) -> dict[str, Any]:
    try:
        require_few_values(data)
        record = decode(data)
    except TooComplexError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnprovenError("a record is not valid DAG-CBOR") from error
    if not isinstance(record, dict):
        raise UnprovenError("a record is not a DAG-CBOR map")
    return record
