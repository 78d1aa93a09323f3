"""Reads for the console what has to be looked at first, and how deliveries went."""

from datetime import datetime

from pydantic import BaseModel

from api.json_response import body_from
from api.services import Services
from identity.accounts.credentials import Principal
from outbox.mirror.delivery_counts import deliveries_by_hour
from outbox.views import overview


def read_trouble(_operator: Principal, services: Services) -> dict[str, str | None]:
    """Read why nothing is sent, or which host fails the longest: what each screen of the console shows beside its own."""
    if (problem := services.not_ready_because() or services.silent_because()) is not None:
        return {"sentence": problem}
    with services.database.read() as connection:
        found = overview.hosts(connection, failing=True, limit=1)
    failing = [row.host for row in found if not row.paused]
    return {"sentence": f"{failing[0]} does not answer as it should." if failing else None}


class DeliveryHourBody(BaseModel):
    """The deliveries of an hour, and within how many milliseconds half and 95 % of them were confirmed; null where there were none."""

    at: datetime
    deliveries: int
    half_within_ms: int | None
    most_within_ms: int | None


class DeliveriesBody(BaseModel):
    """The hours of the last week, the current one last, and since which of them each release has delivered."""

    hours: list[DeliveryHourBody]
    releases: dict[str, datetime]


def read_deliveries(_operator: Principal, services: Services) -> DeliveriesBody:
    """Read how many records were delivered in each hour of the last week, and how fast, for the console's charts."""
    with services.database.read() as connection:
        hours, releases = deliveries_by_hour(connection, services.database.now(connection))
    return DeliveriesBody(hours=[body_from(DeliveryHourBody, each) for each in hours], releases=releases)
