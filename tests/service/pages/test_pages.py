"""The page of the routes is current and complete."""

from pathlib import Path

from api.error_responses import REPLIES
from tests.service.pages import http as http_page

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_of_routes_is_current_and_names_every_code() -> None:
    page = (DOCS / "http.md").read_text()
    assert page == http_page.page()
    for status, code in {(reply.status, reply.code) for reply in REPLIES.values()} | {
        (405, "method_not_allowed")
    }:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {status} | `{code}` | ")]
        assert row.endswith(". |")
