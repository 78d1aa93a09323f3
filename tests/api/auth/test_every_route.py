"""Every route refuses anonymous callers, other accounts, read-only tokens and non-admins, and a refused request changes nothing.

A new route needs a row in route_table.py.
"""

from datetime import timedelta

import pytest
from sqlalchemy import select

from eventstore.sql.schema import metadata
from identity.accounts.credentials import CredentialKind, Scope
from tests.api.auth.route_table import ROUTES, THINGS, Who, of
from tests.api.world import ids_of, refusal, upload_with_all
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

USE = {"last_used_at"}
"""What a refused request may change: when a token was used."""
CLOSED = of(Who.OWN, Who.TRACK, Who.OPERATOR, Who.ADMIN, Who.THING)
METHODS = ("get", "head", "post", "put", "patch", "delete")
A_FEW = ["POST /me/verify", "PATCH /tracks/{track_id}", "POST /auth/logout"]
"""One for each way in which the caller is found, where what is sent with the request is no matter of the route."""
UNKNOWN = ["Bearer mt_" + "x" * 43, "Bearer ", "Basic YTpi", "nonsense", "Bearer \xff"]
CROSS_SITE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:8000.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example", "Authorization": "Basic YTpi"},
]


@pytest.fixture
def track(client, alice):
    return upload_with_all(client, alice)


def rows(world):
    return {
        table.name: sorted(
            repr(row) for row in world.rows(select(*(each for each in table.c if each.name not in USE)))
        )
        for table in metadata.sorted_tables
    }


def send(client, route, track, headers=None):
    method, path = route.split(" ")
    theirs = {**ids_of(track), "like_id": THINGS["like_id"]}  # others may know of a like of hers
    names = {**THINGS, **theirs, "did": track["artist_did"]}
    at_once = {"Prefer": "wait=0", **(headers or {})}
    return client.request(method, path.format(**names), headers=at_once, **ROUTES[route].body)


def may_read(route):
    return route.startswith(("GET ", "HEAD "))


def test_every_route_has_its_row(world):
    paths = world.app.openapi()["paths"].items()
    routes = {f"{verb.upper()} {path}" for path, verbs in paths for verb in verbs if verb in METHODS}
    missing = sorted(routes ^ ROUTES.keys())
    assert not missing, f"say in tests/api/auth/route_table.py who may use, or remove there: {missing}"


@pytest.fixture
def refused(*, subtests, client, world, track):
    """Asks each of these routes and expects that refusal; nothing may change."""

    def ask(doors, expected, headers=None):
        before = rows(world)
        for route in doors:
            with subtests.test(f"{route} {headers}"):
                answer = send(client, route, track, headers)
                has_body = not route.startswith("HEAD ")
                assert (refusal(answer) if has_body else (answer.status_code, expected[1])) == expected
                assert expected[0] != 401 or answer.headers["www-authenticate"].startswith("Bearer")
        assert rows(world) == before

    return ask


def test_an_anonymous_caller_is_refused(refused):
    refused(CLOSED, (401, "not_authenticated"))


def test_an_unknown_token_is_refused(refused):
    for number, header in enumerate(UNKNOWN):
        doors = A_FEW[:2] if number else CLOSED
        refused(doors, (401, "not_authenticated"), {"Authorization": header.encode("latin-1")})


def test_an_expired_token_is_refused(refused, world):
    late = world.sign_in("alice", expires_in=timedelta(seconds=-1))
    refused(CLOSED, (401, "session_expired"), late.headers)


def test_another_account_is_refused(refused, bob):
    refused(of(Who.TRACK), (403, "not_owner"), bob.headers)
    refused(of(Who.THING), (404, "not_found"), bob.headers)
    refused(of(Who.OPERATOR, Who.ADMIN), (403, "scope_required"), bob.headers)


def test_an_admin_changes_nothing_of_another_account(refused, admin):
    refused([route for route in of(Who.TRACK) if not may_read(route)], (403, "not_owner"), admin.headers)


def test_requests_about_the_own_account_change_no_other_account(client, world, track, alice):
    """Bob asks for all that is about himself; what is alice's stays as it was."""
    before = {name: [row for row in found if alice.did in row] for name, found in rows(world).items()}
    for number, route in enumerate(of(Who.OWN, Who.OPEN)):
        bob = world.sign_in(f"bob{number}")  # a new account each time: some routes end one
        assert send(client, route, track, bob.headers).status_code < 500, route
    after = rows(world)
    for name, mine in before.items():
        assert set(mine) <= set(after[name]), name


def test_a_token_that_may_only_read_changes_nothing(refused, world):
    reader = world.sign_in("alice", scope=Scope.READ)
    refused([route for route in CLOSED if not may_read(route)], (403, "scope_required"), reader.headers)


def test_an_operator_changes_nothing(refused, world):
    operator = world.sign_in("operator", scope=Scope.OPERATOR, kind=CredentialKind.API)
    refused([route for route in CLOSED if not may_read(route)], (403, "scope_required"), operator.headers)


def test_an_operator_reads_every_track_as_its_owner_does(client, world, track):
    operator = world.sign_in("operator", scope=Scope.OPERATOR, kind=CredentialKind.API)
    for route in of(Who.TRACK):
        if may_read(route):
            assert send(client, route, track, operator.headers).is_success, route


def test_only_an_admin_with_a_token_for_it_operates(refused, world):
    for name, scope in (("admin", Scope.WRITE), ("admin", Scope.READ), ("alice", Scope.ADMIN)):
        headers = world.sign_in(name, scope=scope).headers
        refused(of(Who.OPERATOR, Who.ADMIN), (403, "scope_required"), headers)


def test_only_an_operator_with_a_token_for_it_reads_of_all(refused, world):
    for name, scope in (("operator", Scope.WRITE), ("operator", Scope.READ), ("alice", Scope.OPERATOR)):
        refused(of(Who.OPERATOR), (403, "scope_required"), world.sign_in(name, scope=scope).headers)


def test_another_sites_page_changes_nothing_with_the_cookie(subtests, client, world, track, alice):
    """Whatever the scope of the session, and whatever else the browser is made to send."""
    before = rows(world)
    for number, sent in enumerate(CROSS_SITE):
        headers = {**sent, "Cookie": f"mastertape_session={alice.token}"}
        for route in A_FEW if number else ROUTES:
            if not may_read(route):
                with subtests.test(f"{route} {sent}"):
                    assert refusal(send(client, route, track, headers)) in [
                        (403, "cross_site"),
                        (403, "scope_required"),
                    ]
    assert rows(world) == before
