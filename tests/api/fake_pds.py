"""A PDS in memory that speaks the calls of outbox/pds/client.py, with swaps, and can be slow, away or full."""

import asyncio
import json
import secrets

import httpx

from outbox.record.dag_cbor import record_cid
from storage.cid import cid_of

HOST = "https://pds.example.com"


class FakePds:
    """Holds records and blobs; `away` refuses connections, `hanging` answers to nothing, `refusals` to the next writes."""

    def __init__(self):
        self.records = {}
        self.blobs = {}
        self.blob_limit = None
        self.refuses_blobs = False
        self.blob_refusal = None
        self.refusals = []
        self.away = False
        self.hanging = False
        self.requests = []

    async def request(self, _did, _method, nsid, *, json=None, body=None, **_ignored):
        """Stand in for the session of an account."""
        content = b"".join([chunk async for chunk in body()]) if body is not None else b""
        return await self._serve(nsid, json or {}, content)

    async def __call__(self, request):
        nsid = request.url.path.rsplit("/", 1)[1]
        return await self._serve(nsid, dict(request.url.params), b"")

    def http(self):
        return httpx.AsyncClient(transport=httpx.MockTransport(self))

    def lose(self, uri):
        """Delete a record behind the service's back."""
        del self.records[uri]

    async def _serve(self, nsid, fields, content):
        self.requests.append(nsid)
        if self.away:
            raise httpx.ConnectError("away")
        if self.hanging:
            await asyncio.sleep(3600)
        name = nsid.rsplit(".", 1)[1]
        return getattr(self, "_" + name.lower())(fields, content)

    def _putrecord(self, fields, _content):
        uri, record = _uri(fields), fields["record"]
        if (refused := self._refused()) is not None:
            return refused
        if fields["swapRecord"] != self._cid(uri):
            return _error("InvalidSwap")
        self.records[uri] = record
        return _reply(
            {"uri": uri, "cid": record_cid(record), "commit": {"rev": secrets.token_hex(6), "cid": "c"}}
        )

    def _deleterecord(self, fields, _content):
        uri = _uri(fields)
        if (refused := self._refused()) is not None:
            return refused
        if "swapRecord" in fields and fields["swapRecord"] != self._cid(uri):
            return _error("InvalidSwap")
        self.records.pop(uri, None)
        return _reply({"commit": {"rev": secrets.token_hex(6), "cid": "c"}})

    def _getrecord(self, fields, _content):
        uri = _uri(fields)
        if uri not in self.records:
            return _error("RecordNotFound")
        return _reply({"uri": uri, "cid": self._cid(uri), "value": self.records[uri]})

    def _uploadblob(self, _fields, content):
        if self.refuses_blobs:
            return _error("PayloadTooLarge", 413)
        if self.blob_refusal is not None:
            status, name = self.blob_refusal
            return _error(name, status)
        cid = cid_of(content)
        self.blobs[cid] = content
        ref = {"$type": "blob", "ref": {"$link": cid}, "mimeType": "audio/mpeg", "size": len(content)}
        return _reply({"blob": ref})

    def _describeserver(self, _fields, _content):
        return _reply({"did": "did:web:pds.example.com", "blobUploadLimit": self.blob_limit})

    def _refused(self):
        if not self.refusals:
            return None
        status, name = self.refusals.pop(0)
        return _error(name, status)

    def _cid(self, uri):
        return record_cid(self.records[uri]) if uri in self.records else None


def _uri(fields):
    return f"at://{fields['repo']}/{fields['collection']}/{fields['rkey']}"


def _reply(body):
    return httpx.Response(200, content=json.dumps(body), headers={"content-type": "application/json"})


def _error(name, status=400):
    return httpx.Response(status, json={"error": name, "message": name})
