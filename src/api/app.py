"""Makes the HTTP application from its services."""

from functools import partial
from typing import Any, Final

from fastapi import Depends

from api.auth.authentication import counted, is_https
from api.document import DocumentedApp, read_document
from api.error_responses import add_error_handlers
from api.middleware.http_layer import ErrorBody, HttpLayer
from api.middleware.request_threads import MAX_CONCURRENT_READS_OF_A_CALLER
from api.pipeline.concurrency import limits
from api.pipeline.media_intake import MediaIntake
from api.pipeline.media_request import MAX_CONCURRENT_READS_OF_ONE_CALLER
from api.plyr import surface
from api.responses.list import DOORS, LIKED
from api.responses.mirror import TRACKS, ShownKind
from api.responses.profile import PROFILES, ProfileBody, saved_profile
from api.responses.reaction import (
    COMMENTS,
    LIKES,
    CommentBody,
    LikeBody,
    LikedListBody,
    saved_comment,
    saved_like,
    saved_liked_list,
)
from api.routers import health
from api.routers.account import auth, exports, me, oauth, profile
from api.routers.lists import lists
from api.routers.lists import reads as list_reads
from api.routers.ops import accounts, deliveries, takedowns, work
from api.routers.reactions import comments, likes
from api.routers.records import audit, history, mirrors, records
from api.routers.releases import releases
from api.routers.releases import uploads as release_uploads
from api.routers.tracks import batches as track_batches
from api.routers.tracks import media, tracks, versions
from api.routers.tracks import writes as track_writes
from api.services import Services
from eventstore.coordination.threads import Joint, Turns

KINDS: Final[tuple[ShownKind[Any], ...]] = (TRACKS, LIKES, COMMENTS, PROFILES, *DOORS, LIKED)
ROUTERS: Final = (
    tracks.router,
    versions.router,
    tracks.artists,
    track_batches.router,
    track_writes.router,
    likes.router,
    comments.router,
    records.router,
    records.restore_routes(LIKES, LikeBody, saved_like),
    records.restore_routes(COMMENTS, CommentBody, saved_comment),
    records.restore_routes(PROFILES, ProfileBody, saved_profile),
    records.restore_routes(LIKED, LikedListBody, saved_liked_list),
    *(records.restore_routes(door, door.body, partial(lists.shown_list, door)) for door in DOORS),
    *map(mirrors.mirror_routes, KINDS),
    mirrors.router,
    *map(history.history_routes, KINDS),
    *map(lists.list_routes, DOORS),
    *map(lists.item_routes, DOORS),
    list_reads.router,
    releases.router,
    release_uploads.router,
    audit.router,
    media.router,
    media.of_tracks,
    me.router,
    exports.router,
    profile.router,
    deliveries.router,
    accounts.router,
    *takedowns.ROUTERS,
    work.router,
    auth.tokens,
    health.router,
    auth.router,
    oauth.router,
    oauth.standard,
)


def create_app(services: Services, error_body: ErrorBody = surface.error_body) -> DocumentedApp:
    """Return the application; nothing connects before the first request."""
    routers = [*ROUTERS, *surface.ROUTERS]
    if services.metrics is not None:
        routers.append(health.monitoring)
    if services.sign_in is not None:
        routers.append(auth.app_password)
    app = DocumentedApp(
        # `include_router` would build each route a second time, which takes longer than everything else here
        routes=[route for router in routers for route in router.routes],
        title="mastertape",
        summary="Tracks whose records on their artists' PDSes agree with an event log.",
        version="1",
        docs_url=None,  # FastAPI's own page runs third-party scripts in the origin of the session cookie
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # they would lead to whatever the Host header names
    )
    app.add_api_route(
        "/openapi.json", read_document, dependencies=[Depends(counted)], include_in_schema=False
    )
    app.state.services = services
    app.state.sign_in_pages = None  # the package above, which has pages, sets it
    app.state.turns = Turns(of_a_key=1)
    app.state.read_turns = Turns(MAX_CONCURRENT_READS_OF_A_CALLER)
    app.state.readiness = Joint()
    for name, limit in limits().items():
        setattr(app.state, name, limit)
    app.state.media_intake = MediaIntake(services)
    app.state.media_turns = Turns(MAX_CONCURRENT_READS_OF_ONE_CALLER)
    add_error_handlers(app)
    app.add_middleware(
        HttpLayer,
        https=is_https(services),
        origins=services.cors_origins,
        limits=services.rate_limits,
        error_body=error_body,
        answered=services.answered,
    )
    return app
