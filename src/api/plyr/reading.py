"""What the routes that show tracks have in common: read in a thread, ask the supporters' service about gates, answer."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Protocol, TypeVar

from fastapi import Depends
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import OptionalCaller, ServicesDep, SignedIn
from api.middleware.error_rewriting import PREFIX
from api.plyr.track import TrackResponse, track_responses, with_gates_open
from api.requests.known_names import StrictRoute
from api.requests.parameters import NO_TRACK, TrackId
from api.services import Services
from application.authorization import may_see_track
from application.errors import TrackNotFoundError
from eventstore.streams.track_ids import track_id_of
from identity.accounts.credentials import Principal
from projections.tracks.view import TrackView

ROUTER: Final[dict[str, Any]] = {"prefix": PREFIX, "route_class": StrictRoute, "include_in_schema": False}
"""The options of each router in this room; OpenAPI has our own routes alone, since these follow another service's contract."""
DEFAULT_LENGTH: Final = 50
MAX_LENGTH: Final = 100

Json = dict[str, Any]


class Page(Protocol):
    """Some tracks, and what a query knows of the others."""

    @property
    def items(self) -> Sequence[TrackView]: ...


P = TypeVar("P", bound=Page)


class PeerReader:
    """Reads tracks as the caller is shown them."""

    def __init__(self, caller: Principal | None, services: Services) -> None:
        self.caller = caller
        self.services = services

    @property
    def viewer(self) -> str | None:
        """Return the caller's DID."""
        return self.caller.did if self.caller is not None else None

    async def one(self, find: Callable[[Connection], TrackView | None]) -> Json:
        """Return the track that `find` finds as JSON; raises TrackNotFoundError where it is not for the caller."""

        def found(connection: Connection) -> list[TrackView]:
            view = find(connection)
            if (
                view is None
                or view.deleted_at is not None
                or not may_see_track(self.caller, view.did, view.taken_down_at)
            ):
                raise TrackNotFoundError
            return [view]

        return (await self.tracks(found))[0]

    async def tracks(self, read: Callable[[Connection], Sequence[TrackView]]) -> list[Json]:
        """Return the tracks that `read` reads, as JSON."""
        found = await run_in_threadpool(self._responses, read)
        return await with_gates_open(found, self.caller, self.services.supporters)

    async def page(self, read: Callable[[Connection], P]) -> tuple[list[Json], P]:
        """Return the tracks of the page that `read` reads as JSON, and the page."""
        pages: list[P] = []

        def items(connection: Connection) -> Sequence[TrackView]:
            pages.append(read(connection))
            return pages[0].items

        return await self.tracks(items), pages[0]

    def _responses(self, read: Callable[[Connection], Sequence[TrackView]]) -> list[TrackResponse]:
        with self.services.database.read() as connection:
            return track_responses(connection, read(connection), self.services.urls, self.caller)


async def reader(caller: OptionalCaller, services: ServicesDep) -> PeerReader:
    return PeerReader(caller, services)


async def own_reader(principal: SignedIn, services: ServicesDep) -> PeerReader:
    """Read for a caller who must be signed in, and is counted once."""
    return PeerReader(principal, services)


Reader = Annotated[PeerReader, Depends(reader)]
OwnReader = Annotated[PeerReader, Depends(own_reader)]


def track_behind(track_id: TrackId, services: ServicesDep) -> int:
    """Return our id of the track that the peer's clients know by this number."""
    with services.database.read() as connection:
        found = track_id_of(connection, track_id)
    return NO_TRACK if found is None else found


PeerTrackId = Annotated[int, Depends(track_behind)]
"""In place of `TrackId`, in the routes under `/plyr`."""
