"""A service with S3_PUBLIC_URL, on a real S3 API."""

import asyncio

import pytest

from service.config.settings import Settings
from tests.api.public_audio.copies import CDN, Public
from tests.api.world import World, did_of


@pytest.fixture
def world(tmp_path, migrated_url, s3_endpoint, s3_bucket):
    made = World(
        Settings(
            data=tmp_path / "data",
            database_url=migrated_url,
            media=f"s3:{s3_bucket}",
            s3_endpoint=s3_endpoint.url,
            s3_public_url=CDN,
            admin_dids=(did_of("admin"),),
        )
    )
    yield made
    asyncio.run(made.made.close())


@pytest.fixture
def public(s3_endpoint, s3_bucket):
    return Public(s3_endpoint.client(), s3_bucket)


@pytest.fixture
def publisher(world):
    return world.made.publisher
