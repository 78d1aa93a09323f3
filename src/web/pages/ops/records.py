"""Every record that is not delivered: since when, why, and when it is tried next."""

from typing import Final

from fastapi import APIRouter, Depends, Response

from api.auth.authentication import operator
from api.responses.states import MirrorState
from api.routers.ops.deliveries import FailuresQuery, read_failures
from web.ask import OperatorAsk, wanted
from web.page_route import PageRoute
from web.pages.ops.handles import handles_of
from web.pages.ops.record_words import AUDIO_REFUSED, LABELS, rows_in_words
from web.rendering import RenderDep

router = APIRouter(route_class=PageRoute, include_in_schema=False, dependencies=[Depends(operator)])

STATES: Final = {**LABELS, MirrorState.DELIVERED: AUDIO_REFUSED}
"""What the screen can be narrowed to: of delivered records it lists only those without their audio."""


@router.get("/ops/records")
async def show_records(
    *,
    ask: OperatorAsk,
    render: RenderDep,
    did: str = "",
    host: str = "",
    state: str = "",
    cursor: str | None = None,
) -> Response:
    """Every record that is not delivered, of an account, a host or a state."""
    which = wanted(FailuresQuery, undelivered=True, did=did, host=host, state=state, cursor=cursor)
    found = await ask(read_failures, which)
    return render(
        "ops/records.html",
        records=rows_in_words(found["items"]),
        handles=await handles_of(ask, (record["did"] for record in found["items"])),
        states_shown=STATES,
        cursor=found["cursor"],
        did=did,
        host=host,
        state=state,
    )
