"""Routes are analysed when they are first used: all at once would take a fifth of a start."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from fastapi import APIRouter

from api.app import ROUTERS
from api.plyr import surface
from api.requests.parameters import DeferredRoute
from web import app

THREADS = 8


class Counted(DeferredRoute):
    analysed = 0

    def analyse(self, *arguments: Any, **options: Any) -> None:
        self.analysed += 1
        super().analyse(*arguments, **options)


def test_threads_that_use_a_route_first_at_the_same_time_analyse_it_once() -> None:
    router, together = APIRouter(route_class=Counted), Barrier(THREADS)

    @router.get("/{number}")
    def read(number: int) -> int:
        return number

    route: Any = router.routes[0]

    def use(_: int) -> Any:
        together.wait()
        return route.app

    with ThreadPoolExecutor(THREADS) as threads:
        assert len(set(threads.map(use, range(THREADS)))) == 1
    assert route.analysed == 1
    assert [each.name for each in route.dependant.path_params] == ["number"]


def test_every_route_is_one_that_is_analysed_when_it_is_used() -> None:
    routers = (*ROUTERS, *surface.ROUTERS, *app.ROUTERS)
    assert {
        route for router in routers for route in router.routes if not isinstance(route, DeferredRoute)
    } == set()
