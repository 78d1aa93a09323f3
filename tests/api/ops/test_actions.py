"""Requests for an action: what they may say, and in which form."""

from tests.api.ops.requests import act
from tests.api.world import refusal
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_what_makes_no_sense_is_refused(client, admin):
    nobody = act(client, admin, "/ops/lanes", action="pause", did="did:plc:nobody")
    assert refusal(nobody) == (404, "not_found")
    assert refusal(act(client, admin, "/ops/lanes")) == (422, "unparsable")


def test_a_value_that_is_refused_is_named_with_what_it_may_be(client, world, admin):
    before = world.state()
    for body, field, limit in (
        ({"action": "pause"}, "did", "`host`"),
        ({"action": "dance"}, "action", "'redrive'"),
        ({"action": "redrive", "error": "\0"}, "error", "must match"),
        ({"action": "redrive", "dry_run": "perhaps"}, "dry_run", "must be"),
        ({"action": "redrive", "reason": 5}, "reason", "must be"),
    ):
        answer = act(client, admin, "/ops/lanes", **body)
        assert refusal(answer) == (400, "invalid_field")
        assert answer.json()["detail"]["field"] == field
        assert limit in answer.json()["detail"]["limit"]
    assert world.state() == before


def test_an_action_may_come_as_a_form(client, admin):
    form = {"action": "pause", "did": admin.did, "host": "", "dry_run": "true"}
    counted = {"action": "pause", "affected": 1, "sent_at_once": None, "dry_run": True}
    urlencoded = client.post("/ops/lanes", data=form, headers=admin.headers)
    parts = {name: (None, value) for name, value in form.items()}
    multipart = client.post("/ops/lanes", files=parts, headers=admin.headers)
    assert (urlencoded.json(), multipart.json()) == (counted, counted)
