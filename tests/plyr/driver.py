"""Runs in the environment of `plyrfm`: calls its clients as lines of JSON on stdin say, and prints what they return.

A line is {"client": "sync" or "async", "call": "tracks.get", "args": [...], "kwargs": {...}}; an argument {"model": NAME, "fields":
{...}} is a model of its types. {"call": "operations"} asks for the names of all methods; {"call": "types"} types its `args` as a command. The answer is {"value": ...} or {"error": CLASS, "status": ..., "body": ...}.
"""

import asyncio
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import httpx
from plyrfm import AsyncPlyrClient, PlyrClient
from plyrfm._internal import types
from plyrfm.client import _SyncNamespace
from pydantic import BaseModel


def argument(value: Any) -> Any:
    if isinstance(value, dict) and "model" in value:
        return getattr(types, value["model"])(**value["fields"])
    return set(value) if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Return what a client returned as JSON values, under the names of the client's own models."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def method(client: Any, name: str) -> Any:
    for part in name.split("."):
        client = getattr(client, part)
    return client


def operations() -> list[str]:
    client = PlyrClient(token="none")
    spaces = {name: each for name, each in vars(client).items() if isinstance(each, _SyncNamespace)}
    methods = [f"{name}.{each}" for name, space in spaces.items() for each in dir(space)]
    return sorted(["me", *(name for name in methods if "._" not in name)])


def command_line(words: list[str]) -> tuple[Any, str]:
    """Do what the script of the command line does, and return its status and what it says: most of a process is importing."""
    from plyrfm.cli import main

    sys.argv = ["plyrfm", *words]
    with redirect_stdout(io.StringIO()) as said:
        try:
            status = main()
        except SystemExit as end:
            status = end.code
    return status or 0, said.getvalue()


async def call(asked: dict[str, Any]) -> Any:
    if asked["call"] == "operations":
        return operations()
    if asked["call"] == "types":
        return command_line(asked["args"])
    args = [argument(each) for each in asked["args"]]
    kwargs = {name: argument(each) for name, each in asked["kwargs"].items()}
    if asked["client"] == "sync":
        with PlyrClient() as client:
            return method(client, asked["call"])(*args, **kwargs)
    async with AsyncPlyrClient() as other:
        return await method(other, asked["call"])(*args, **kwargs)


for line in sys.stdin:
    try:
        answer = {"value": plain(asyncio.run(call(json.loads(line))))}
    except httpx.HTTPStatusError as error:
        response = error.response
        answer = {"error": "HTTPStatusError", "status": response.status_code, "body": response.json()}
    except Exception as error:  # noqa: BLE001 - the test decides what it means
        answer = {"error": type(error).__name__, "status": None, "body": str(error)}
    print(json.dumps(answer), flush=True)  # noqa: T201
