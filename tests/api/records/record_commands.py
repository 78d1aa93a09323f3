"""Requests that restore a record or copy audio to the PDS, with the relay at work."""

import asyncio

import pytest

from tests.media_samples import samples


@pytest.fixture
async def client(world, alice):
    async with world.async_client(alice) as client:
        yield client


async def lost(world, client, person, **fields):
    """A track whose record was delivered and then deleted by another client."""
    track = await uploaded(client, person, **fields)
    await world.relay.run_once()
    del world.pds.records[track["atproto_record_uri"]]
    return track


async def uploaded(client, person, seed=1, **fields):
    files = {"file": ("a.mp3", samples.mp3(seed), "audio/mpeg")}
    data = {"title": "t", "description": "words", **fields}
    answer = await client.post("/tracks", data=data, files=files, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def command(world, client, track, name, *, relay=True, under="", **headers):
    asked = asyncio.create_task(client.post(f"{under}/tracks/{track['id']}/{name}", headers=headers))
    while relay and not asked.done():
        await world.relay.run_once()
        await asyncio.wait({asked}, timeout=0.02)
    return await asked
