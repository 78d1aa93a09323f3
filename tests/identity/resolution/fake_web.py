"""Fake DNS, web servers and PLC directory."""

import httpx

from identity.resolution.address_policy import HostNotFoundError, NameUnavailableError

ALICE, BOB = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"
PLC = "http://localhost:2582"
DEV_PDS = "http://localhost:2583"
PDS = "https://pds.example.com"


def document(did, handle, pds_url=PDS, **changes):
    service = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds_url}
    return {"id": did, "alsoKnownAs": [f"at://{handle}"], "service": [service], **changes}


class FakeWeb:
    """`pages` maps a URL to JSON, text, a status or an exception; `records` a name to TXT records."""

    def __init__(self):
        self.pages = {}
        self.records = {}
        self.asked = []

    async def texts(self, name):
        self.asked.append(name)
        found = self.records.get(name, [])
        if isinstance(found, Exception):
            raise found
        return found

    async def addresses(self, host):
        raise NotImplementedError(host)

    async def answer(self, request):
        self.asked.append(str(request.url))
        page = self.pages.get(str(request.url))
        if callable(page):
            page = await page()
        if isinstance(page, Exception):
            raise page
        if isinstance(page, int):
            return httpx.Response(page)
        if isinstance(page, str):
            return httpx.Response(200, text=page)
        if isinstance(page, httpx.Response):
            return page
        if page is None and request.url.path == "/.well-known/atproto-did":
            raise HostNotFoundError("no such host")
        return httpx.Response(404) if page is None else httpx.Response(200, json=page)

    def client(self):
        return httpx.AsyncClient(transport=httpx.MockTransport(self.answer))

    def dns_fails(self, name):
        self.records[name] = NameUnavailableError("DNS is down")
