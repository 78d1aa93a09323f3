"""Fake PDSes and the PLC directory behind one transport, which collects every secret that passes."""

import json
import time
from typing import Final

import httpx

from tests.fake_pds.pds import FakePds
from tests.fake_pds.plc import FakePlc

TOKENS: Final = ("accessJwt", "refreshJwt")


class FakeInternet(httpx.AsyncBaseTransport):
    def __init__(self, *origins: str) -> None:
        self.plc = FakePlc()
        self.pdses = [FakePds(origin, time.time) for origin in origins]
        self.secrets: set[str] = set()

    def settle(self, did: str, handle: str, pds: FakePds) -> str:
        pds.create_account(did, handle, "owner")
        self.plc.place(did, handle, pds.origin)
        password = pds.create_app_password(did)
        self.secrets.add(password)
        return password

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        for pds in self.pdses:
            if request.url.host == httpx.URL(pds.origin).host:
                answer = pds.answer(request, content)
                if "json" in answer.headers.get("content-type", ""):
                    told = json.loads(answer.content)
                    self.secrets |= {told[name] for name in TOKENS if name in told}
                return answer
        return self.plc.answer(request, content)
