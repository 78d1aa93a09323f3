"""The container that the settings give, and its adapters."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.config.settings import Settings
from service.wiring.bootstrap import build
from service.wiring.identity import allows


def test_nothing_connects_before_it_is_used(tmp_path: Path) -> None:
    container = build(
        Settings(
            data=tmp_path,
            database_url="postgresql://nobody@127.0.0.1:1/nothing",
            media="s3:tapes",
            s3_endpoint="http://127.0.0.1:1",
        )
    )
    assert container.services.not_ready_because() == "the database does not answer"
    asyncio.run(container.close())


@pytest.mark.parametrize(
    ("given", "attribute", "is_there"),
    [
        ({}, "sign_in", True),
        ({"app_password_login": False}, "sign_in", False),
        ({}, "supporters", False),
        ({"supporters": ("atprotofans",)}, "supporters", True),
        ({"supporters": ("attested",), "attested_brokers": ("did:web:pay.example",)}, "supporters", True),
    ],
)
def test_parts_that_are_switched_off_are_not_built(
    tmp_path: Path, given: dict[str, Any], attribute: str, is_there: bool
) -> None:
    container = build(Settings(data=tmp_path, **given))
    assert (getattr(container.services, attribute) is not None) is is_there
    asyncio.run(container.close())


@pytest.mark.parametrize(
    ("given", "scope"),
    [
        (
            {},
            "repo:app.relay.track repo:fm.plyr.like repo:fm.plyr.comment repo:fm.plyr.actor.profile repo:fm.plyr.list repo:app.relay.list blob:audio/*",
        ),
        (
            {"collection": "a.b.track", "old_collection": "a.c.track"},
            "repo:a.b.track repo:a.c.track repo:a.b.like repo:a.b.comment repo:a.b.actor.profile repo:a.b.list repo:a.c.list",
        ),
        ({"oauth_scope": "atproto transition:generic"}, "atproto transition:generic"),
    ],
)
def test_people_are_asked_for_the_collections_of_every_kind_of_record(
    tmp_path: Path, given: dict[str, Any], scope: str
) -> None:
    container = build(Settings(data=tmp_path, **given))
    assert container.services.oauth is not None
    assert scope in container.services.oauth.app.scope
    asyncio.run(container.close())


@pytest.mark.parametrize(
    ("scope", "is_offered"),
    [
        (None, True),
        ("atproto repo:fm.plyr.track", False),
        ("atproto repo:fm.plyr.like repo:fm.plyr.track", True),
        ("atproto repo:fm.plyr.like?action=create repo:fm.plyr.track", True),
        ("atproto repo:fm.plyr.likes", False),
        ("atproto transition:generic", True),
        ("atproto repo:*", True),
    ],
)
def test_a_kind_is_offered_if_the_scope_that_is_asked_for_has_its_collection(
    scope: str | None, is_offered: bool
) -> None:
    assert allows(scope, "fm.plyr.like") is is_offered
