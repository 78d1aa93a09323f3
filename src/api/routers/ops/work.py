"""What goes on in the background of the whole deployment, and how it went the last time."""

from fastapi import APIRouter

from api.auth.authentication import OperatorDep, ServicesDep
from api.openapi import errors
from api.requests.known_names import StrictRoute
from api.responses.ops.work import WorkBody, work_body

router = APIRouter(tags=["operations"], route_class=StrictRoute)


@router.get("/ops/work", responses=errors(401, 403, 503))
def read_work(_operator: OperatorDep, services: ServicesDep) -> WorkBody:
    """Read how far read models, jobs, adoptions, uploads, derived media, the scan and the firehose are, and what failed."""
    with services.database.read() as connection:
        return work_body(services, connection)
