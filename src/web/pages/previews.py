"""The page that a secret link to a release leads to: who has the link sees and plays it, and no robot, cache or other site learns of it."""

from typing import Final

from fastapi import Response

from api.auth.authentication import ServicesDep
from api.middleware.http_layer import PREVIEWS
from api.middleware.request_threads import in_thread
from api.pipeline.media_request import NEVER, ForMedia
from api.readers.releases import previewed_bytes, previewed_release
from web.ask import PublicAsk, or_at
from web.page import pages
from web.rendering import rendered

router = pages(PREVIEWS.rstrip("/"))
UNSEEN: Final = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}


@router.get("/{token}", dependencies=[or_at()])
async def show(token: str, ask: PublicAsk, services: ServicesDep) -> Response:
    release = await ask(previewed_release, token)
    page = rendered("preview.html", services, release=release, here=f"{PREVIEWS}{token}")
    page.headers.update({**UNSEEN, "Cache-Control": "no-store"})
    return page


@router.get("/{token}/{name}")
async def read(token: str, name: str, media: ForMedia) -> Response:
    found = await in_thread(previewed_bytes, media.services, token, name)
    response = await media.send(found.cid, found.mime, NEVER)
    response.headers.update(UNSEEN)
    return response
