"""One of several processes that refresh the same session, each many times at once."""

import asyncio

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from identity.oauth.flows import Flows, OAuthGrants
from identity.resolution.address_policy import AddressPolicy, public_client
from identity.resolution.resolver import Resolver
from identity.sessions.encryption import Cipher
from identity.sessions.pds_sessions import PdsSessions

ROUNDS, AT_ONCE = 3, 10


def work(together, *args):
    asyncio.run(_work(together, *args))


async def _work(together, url, origin, did, key):
    database = Database(url)
    async with public_client(AddressPolicy([origin])) as http:
        policy = AddressPolicy([origin])
        sessions = PdsSessions(
            EventLog(database),
            Cipher([key]),
            http,
            on_reauth=lambda *_: None,
            on_signed_in=lambda *_: None,
            oauth=OAuthGrants(Flows(http, policy, Resolver(None, [origin], http)), ()),
        )
        together.wait(60)
        for generation in range(1, ROUNDS + 1):
            found = await asyncio.gather(*(sessions.refresh(did, generation) for _ in range(AT_ONCE)))
            assert all(session.generation > generation for session in found)
            replies = await asyncio.gather(
                *(sessions.request(did, "GET", "com.atproto.server.getSession", timeout=20) for _ in range(2))
            )
            assert all(reply.status_code == 200 for reply in replies)
    database.close()
