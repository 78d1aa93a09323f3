"""Styles and scripts, from memory, under a path that changes with their content."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

FOREVER: Final = "public, max-age=31536000, immutable"
FOLDER: Final = "/static"
SERVED: Final = (".css", ".js", ".svg", ".woff2")

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class StaticFile:
    content: bytes
    compressed: bytes
    mime: str


@dataclass(frozen=True)
class StaticFiles:
    """All of them; `version` is a hash of their content."""

    version: str
    files: Mapping[str, StaticFile]

    @property
    def path(self) -> str:
        """The path that scripts may run from."""
        return f"{FOLDER}/{self.version}/"

    def address(self, name: str) -> str:
        """Return the address of a file; raises KeyError if there is none of that name."""
        self.files[name]  # a template that misspells it must fail
        return self.path + name


@cache
def static_files() -> StaticFiles:
    """Read the files once in a process: together they are about a hundred kilobytes."""
    found = dict(sorted(_read(files("web") / "static")))
    version = hashlib.sha256(b"".join(name.encode() + content for name, content in found.items())).hexdigest()
    return StaticFiles(version[:12], {name: _static_file(name, content) for name, content in found.items()})


@router.get(FOLDER + "/{version}/{name:path}")
async def read_static_file(version: str, name: str, request: Request) -> Response:
    """Serve a file. An address of an earlier version gets today's file, which no cache keeps."""
    here = static_files()
    file = here.files.get(name)
    if file is None:
        raise HTTPException(404)
    headers = {"Cache-Control": FOREVER if version == here.version else "no-cache", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(
            file.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.mime
        )
    return Response(file.content, headers=headers, media_type=file.mime)


def _read(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for each in folder.iterdir():
        if each.is_dir():
            found += _read(each, f"{prefix}{each.name}/")
        elif each.name.endswith(SERVED):
            found.append((prefix + each.name, each.read_bytes()))
    return found


def _static_file(name: str, content: bytes) -> StaticFile:
    mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return StaticFile(content, gzip.compress(content, mtime=0), mime)
