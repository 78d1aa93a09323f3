"""What people without an account here say of tracks, with a real PDS, directory and firehose."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import select

from aggregates.reactions.like import Like
from application.outsiders import OutsiderReactions
from identity.accounts.accounts import Accounts
from identity.resolution.address_policy import AddressPolicy, public_client
from identity.resolution.resolver import Resolver
from outbox.firehose.outsiders import Index
from outbox.mirror.tables import PAST, firehose_cursor
from outbox.pds.client import Pds
from outbox.reactions.record import CommentRecords, LikeRecords
from outbox.record.kind import RecordKinds
from projections.reactions import outsider_reaction, reaction, track_count
from service.wiring.adapters import IdentityDirectory
from tests.outbox.rigs.following import LIKES, follower
from tests.outbox.rigs.stream_host import CID
from tests.servers.atproto import new_account
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async

pytestmark = [pytest.mark.anyio, pytest.mark.pds, ON_SQLITE]

COMMENTS = "fm.plyr.comment"
SECONDS = 5.0
"""In which a track shows what is said of it."""


@pytest.fixture
def fan(rig):
    return new_account(rig.pds, rig.pds.plc)


@pytest.fixture
async def track(rig):
    """A delivered track of an account that is here."""
    track = rig.upload()
    await rig.relay_once()
    with rig.database.write() as connection:
        artist = {"did": rig.did, "handle": "artist.test", "display_name": "A"}
        Accounts(rig.database).upsert(connection, **artist, pds_url=rig.pds.url)
    return track


@asynccontextmanager
async def indexing(rig, *allowed, owner="one"):
    """A follower that indexes what it hears, and reads at addresses that are `allowed` beside public ones."""
    said = OutsiderReactions(rig.database, RecordKinds(LikeRecords(), CommentRecords()))
    plc = rig.pds.plc_url
    async with public_client(AddressPolicy([plc, *allowed]), unlimited=plc) as http:
        directory = IdentityDirectory(Resolver(plc, allowed, http))
        index = Index(said, Pds(rig.wire, http), directory)
        async with follower(rig.database, owner, index) as started:
            await until_async(started.alive)
            yield started


def said_at(rig):
    """The numbers that the track shows, who likes it, and what comments say."""
    with rig.database.read() as connection:
        counted = connection.execute(select(track_count.c.likes, track_count.c.comments)).one_or_none()
        likers = connection.scalars(select(reaction.c.author).where(reaction.c.kind == Like.TOPIC)).all()
        texts = select(outsider_reaction.c.text).where(outsider_reaction.c.text.is_not(None))
        return (*(counted or (0, 0)), likers, connection.scalars(texts).all())


def like_of(track, **fields):
    subject = {"uri": f"at://{track.did}/{track.collection}/{track.rkey}", "cid": CID}
    return {"$type": LIKES, "subject": subject, "createdAt": "2026-11-30T12:00:00Z", **fields}


async def within_seconds(condition):
    async with asyncio.timeout(SECONDS):
        await until_async(condition)


async def test_a_like_of_an_account_that_is_not_here_counts_within_seconds_and_is_gone_with_its_record(
    rig, fan, track
):
    async with indexing(rig, rig.pds.url):
        rig.pds.put_record(fan.did, LIKES, "a", like_of(track))
        await within_seconds(lambda: said_at(rig) == (1, 0, [fan.did], []))
        rig.pds.delete_record(fan.did, LIKES, "a")
        await within_seconds(lambda: said_at(rig) == (0, 0, [], []))


async def test_a_person_has_one_like_and_comments_that_change_and_all_go_with_the_account(rig, fan, track):
    said = like_of(track, text="Yes!", timestampMs=1, **{"$type": COMMENTS})
    async with indexing(rig, rig.pds.url):
        rig.pds.put_record(fan.did, LIKES, "a", like_of(track))
        rig.pds.put_record(fan.did, LIKES, "b", like_of(track))
        rig.pds.put_record(fan.did, COMMENTS, "c", said)
        await until_async(lambda: said_at(rig) == (1, 1, [fan.did], ["Yes!"]))
        rig.pds.put_record(fan.did, COMMENTS, "c", {**said, "text": "No!"})
        await until_async(lambda: said_at(rig) == (1, 1, [fan.did], ["No!"]))
        rig.pds.procedure("com.atproto.server.deactivateAccount", {}, by=fan.did)
        await within_seconds(lambda: said_at(rig) == (0, 0, [], []))


async def test_a_record_that_is_deleted_while_no_process_follows_is_gone_once_it_is_read_again(
    rig, fan, track
):
    async with indexing(rig, rig.pds.url):
        rig.pds.put_record(fan.did, LIKES, "a", like_of(track))
        rig.pds.put_record(fan.did, LIKES, "b", like_of(track))
        await until_async(lambda: said_at(rig) == (1, 0, [fan.did], []))
    rig.pds.delete_record(fan.did, LIKES, "a")
    with rig.database.write() as connection:
        connection.execute(firehose_cursor.delete())  # and no backlog says so
        connection.execute(outsider_reaction.update().values(read_at=PAST))
    async with indexing(rig, rig.pds.url, owner="another"):
        await within_seconds(lambda: said_at(rig) == (0, 0, [], []))


async def test_a_record_at_an_address_that_the_policy_refuses_is_not_read(rig, fan, track, caplog):
    caplog.set_level("INFO", "mastertape.outbox")
    async with indexing(rig) as started:
        rig.pds.put_record(fan.did, LIKES, "a", like_of(track))
        await until_async(lambda: "outsider" in started.heard)
        await until_async(lambda: any(each.message == "outsider_not_read" for each in caplog.records))
    assert said_at(rig) == (0, 0, [], [])
    [problem] = {each.error for each in caplog.records if each.message == "outsider_not_read"}
    assert "only https" in problem
