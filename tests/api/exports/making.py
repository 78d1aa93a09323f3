"""Asks for exports, and makes them as a worker does."""

import asyncio
import io
import zipfile

from replay.dump import EXPORT

HERE = "/me/exports"


def ask(client, person):
    return client.post(HERE, headers=person.headers)


def report(client, person):
    return client.get(HERE, headers=person.headers).json()


def work(world, person):
    """Run all turns of the account's job."""
    return asyncio.run(world.made.worker.run_now(EXPORT, person.did))


def made(world, client, person):
    assert ask(client, person).status_code == 202
    work(world, person)
    found = report(client, person)
    assert found["state"] == "done", found
    return found


def fetch(client, person, export, **headers):
    return client.get(export["url"], headers={**person.headers, **headers})


def opened(answer):
    assert answer.status_code == 200, answer.text
    return zipfile.ZipFile(io.BytesIO(answer.content))
