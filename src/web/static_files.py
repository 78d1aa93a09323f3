"""Serves the styles, scripts and icons of pages, under addresses that change with their content."""

import gzip
import hashlib
import mimetypes
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from api.requests.parameters import DeferredRoute

FOREVER: Final = "public, max-age=31536000, immutable"
FOLDER: Final = "/static"
SERVED: Final = frozenset({".css", ".ico", ".js", ".png", ".svg", ".woff2"})

router = APIRouter(route_class=DeferredRoute, include_in_schema=False)


class StaticFile(NamedTuple):
    content: bytes
    compressed: bytes
    mime: str | None


class StaticFiles(NamedTuple):
    """All of them; `version` is a hash of their content."""

    version: str
    files: dict[str, StaticFile]

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
    """Read the files once in a process: together they are about two hundred kilobytes."""
    folder, found, digest = Path(__file__).parent / "static", {}, hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in SERVED:
            name, content = path.relative_to(folder).as_posix(), path.read_bytes()
            digest.update(name.encode() + content)
            found[name] = StaticFile(content, gzip.compress(content, mtime=0), mimetypes.guess_type(name)[0])
    return StaticFiles(digest.hexdigest()[:12], found)


@router.get(FOLDER + "/{version}/{name:path}")
async def read_static_file(version: str, name: str, request: Request) -> Response:
    """Serve a file. An address of an earlier version gets today's file, which no cache keeps."""
    here = static_files()
    if (file := here.files.get(name)) is None:
        raise HTTPException(404)
    headers = {"Cache-Control": FOREVER if version == here.version else "no-cache", "Vary": "Accept-Encoding"}
    is_smaller = len(file.compressed) < len(file.content)  # fonts and pictures are compressed as they are
    if not is_smaller or "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.content, headers=headers, media_type=file.mime)
    return Response(file.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=file.mime)
