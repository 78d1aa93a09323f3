"""The API matches its OpenAPI document: no request causes a 5xx, or a status or shape that the document does not name.

Schemathesis makes valid and invalid requests from the document, the same in every run; TEST_DEEP makes more.
"""

import os
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from identity.accounts.credentials import Scope
from tests.api.no_sign_in import without_sign_in
from tests.api.world import did_of, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 60 if os.environ.get("TEST_DEEP") else 2
schemathesis.serializer.alias("application/partial-upload", "application/octet-stream")
ANYWHERE = {414, 431}
"""What any request may get for its size; docs/http.md says so once."""
MODES = list(GenerationMode)


@pytest.fixture
def client(world):
    with without_sign_in(world) as client:
        client.follow_redirects = False
        yield client


@pytest.fixture
def people(world):
    """No caller, an artist, a read-only token, an admin."""
    found = [
        world.sign_in("alice", lane=False),
        world.sign_in("alice", lane=False, scope=Scope.READ),
        world.sign_in("admin", lane=False, scope=Scope.ADMIN),
    ]
    return [{}, *(person.headers for person in found)]


@pytest.fixture
def tracks(client, world):
    return [
        upload(client, world.sign_in("alice", lane=False), seed=seed, image=samples.png()) for seed in (1, 2)
    ]


def operations(app):
    """All of them; what ends an account comes last."""
    document = schemathesis.openapi.from_asgi("/openapi.json", app)
    found = [result.ok() for result in document.get_all_operations()]
    return sorted(found, key=lambda operation: operation.method == "delete")


@pytest.mark.timeout(3600 if os.environ.get("TEST_DEEP") else 120)
def test_the_api_is_as_its_document_says(subtests, client, people, tracks):
    known = {"track_id": tracks[0]["id"], "cid": tracks[0]["file_id"], "extension": "mp3"}
    for operation in operations(client.app):
        path = {each.name: known[each.name] for each in operation.path_parameters if each.name in known}
        with subtests.test(operation.label):
            ask(operation, people, path)


def ask(operation, people, path):
    """Send what the document allows and what it does not, about things that exist and others, as every kind of caller."""
    places = [path, None] if path else [None]
    cases = st.one_of(
        [operation.as_strategy(mode, path_parameters=place) for mode in MODES for place in places]
    )

    @given(case=cases, headers=st.sampled_from(people))
    @settings(
        max_examples=EXAMPLES * len(places),
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def conforms(case, headers):
        response = case.call(headers={"Prefer": "wait=0", "If-Match": "*", **headers})
        if response.status_code not in ANYWHERE:
            case.validate_response(response, checks=CHECKS)

    with suppress(Unsatisfiable):  # some routes take nothing that could be wrong
        conforms()


STORY = [
    ("patch", "/tracks/{track_id}", {"json": {"title": "x", "tags": ["a"], "support_gate": {"type": "any"}}}),
    ("get", "/tracks/{track_id}", {}),
    ("get", "/tracks/{track_id}", {"params": {"version": 1}}),
    ("get", "/tracks", {"params": {"limit": 1}}),
    ("get", "/tracks/{track_id}/history", {}),
    ("get", "/tracks/{track_id}/diff", {"params": {"from": 0}}),
    ("get", "/tracks/{track_id}/mirror", {}),
    ("post", "/tracks/{track_id}/mirror/retry", {}),
    ("post", "/tracks/{track_id}/revert", {"json": {"to_version": 1}}),
    ("delete", "/tracks/{track_id}", {}),
    ("post", "/tracks/{track_id}/undelete", {}),
    ("get", "/audit", {}),
    ("get", "/me", {}),
    ("get", "/me/mirror", {}),
    ("get", "/me/migrate-to-pds", {}),
    ("post", "/me/migrate-to-pds", {}),
    ("get", "/auth/tokens", {}),
    ("post", "/auth/tokens", {"json": {"name": "t"}}),
    ("get", "/auth/accounts", {}),
    ("get", "/ops/lanes", {}),
    ("get", "/ops/hosts", {}),
    ("get", "/ops/failures", {}),
    ("get", "/ops/overview", {}),
    ("get", "/ops/progress", {"params": {"action": "redrive"}}),
    ("get", "/ops/lanes/{did}", {}),
    ("get", "/ops/accounts/{did}/tokens", {}),
    ("post", "/ops/accounts/{did}/tokens/end", {"json": {"reason": "r", "dry_run": True}}),
    ("post", "/ops/lanes", {"json": {"action": "pause", "did": did_of("admin"), "dry_run": True}}),
]


def test_what_succeeds_has_the_shape_that_the_document_names(subtests, client, world, admin):
    track = upload(client, admin, image=samples.png())
    world.deliver()
    document = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    for method, path, more in STORY:
        with subtests.test(f"{method} {path}"):
            address = path.format(track_id=track["id"], did=admin.did)
            answer = client.request(method, address, headers=admin.headers, **more)
            assert answer.is_success, answer.text
            assert str(answer.status_code) in document[path][method].definition.raw["responses"]
            document[path][method].validate_response(answer)
