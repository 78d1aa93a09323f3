"""Pages and answers about a record say what another client has written, whatever it is."""

import pytest

from identity.accounts.credentials import Scope
from outbox.tracks.record import OWN_FIELDS
from tests.api.records.test_resolve import edited_elsewhere
from tests.api.world import upload

JSON = {"Accept": "application/json"}
ODD = [
    "abc", "", "\ud800", "\u0000", "9" * 10_000, -1, 2**53 - 1, True, False, [], [1], [None], [[]], [{}], {}, {"x": 1},
    {"values": 5}, {"values": [5, None, {"val": 1}]}, {"values": {"a": 1}}, {"type": 7}, {"ref": None, "$type": "blob"},
    {"$link": 5}, {"$bytes": "?"}, [{"did": 5, "handle": []}],
]  # fmt: skip


@pytest.fixture
def track(world, client, alice):
    made = upload(client, alice, title="first", self_labels=["explicit"], album="one", tags=["a"])
    world.deliver()
    return made


@pytest.mark.parametrize(
    ("value", "is_held"),
    [*((value, True) for value in ODD), *((value, False) for value in ODD[::6])],
    ids=lambda value: ascii(value)[:30],
)
def test_a_record_with_values_of_any_type_is_shown_to_its_owner_and_to_operators(
    *, world, client, alice, track, value, is_held
):
    admin = world.sign_in("admin", scope=Scope.ADMIN)
    names = [*OWN_FIELDS - {"$type"}, "unknown", "", "<b>", "__class__", "x" * 300]
    edited_elsewhere(world, track, **dict.fromkeys(names, value))
    if is_held:
        client.patch(f"/tracks/{track['id']}", json={"title": "second"}, headers=alice.headers)
        world.deliver()
    here = f"/tracks/{track['id']}"
    own = ["/studio", *(f"/studio{here}{each}" for each in ("", "/pds", "/history"))]
    operators = [
        *(f"/ops{here}{each}" for each in ("", "/record")),
        f"/ops/accounts/{alice.did}",
        "/ops/failures",
    ]
    answers = [
        client.get(f"{here}{each}", headers=alice.headers | JSON)
        for each in ("/mirror", "/mirror/compare", "/history")
    ]
    answers.append(client.post("/me/verify", headers=alice.headers | JSON))
    for person, paths in ((alice, own), (admin, operators)):
        answers += [client.get(path, headers=person.headers | {"Accept": "text/html"}) for path in paths]
    answers.append(
        client.post(f"{here}/mirror/resolve", json={"keep": "theirs"}, headers=alice.headers | JSON)
    )
    assert {
        f"{answer.request.url.path}: {answer.status_code}" for answer in answers if answer.status_code >= 500
    } == set()
    assert {answer.status_code for answer in answers[:-1]} == {200}
