"""The page of the routes is current and complete."""

from pathlib import Path

from api.error_responses import REPLIES
from service.pages import http as http_page

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_of_routes_names_every_code_and_every_status_of_a_route() -> None:
    page = http_page.page()
    for status, code in {(reply.status, reply.code) for reply in REPLIES.values()} | {
        (405, "method_not_allowed")
    }:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {status} | `{code}` | ")]
        assert row.endswith(". |")
    rows = {
        line.split(" | ")[0].removeprefix("| "): line.split(" | ")[2]
        for line in page.splitlines()
        if line.startswith("| ") and " /" in line[:10]
    }
    assert rows["PATCH /tracks/{track_id}"] == "200, 404, 412, write"
    assert "429" in http_page.READ
    free = {row for row, statuses in rows.items() if not {"read", "write"} & {*statuses.split(", ")}}
    assert free == {
        "GET /healthz", "GET /readyz", "GET /metrics",
        "GET /oauth-client-metadata.json", "GET /jwks.json",
    }  # fmt: skip


def test_the_page_of_routes_is_current() -> None:
    assert (DOCS / "http.md").read_text() == http_page.page()
