"""A real S3 API: the juicefs gateway, which checks signatures and keeps its data."""

import functools
import os
import secrets
import subprocess
import sysconfig
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import botocore.session
import httpx
import pytest
from botocore.client import Config
from mypy_boto3_s3 import S3Client

from devpds.ports import free_port
from devpds.process import Process

# Otherwise every session reads the same megabytes of JSON.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

JUICEFS = Path(sysconfig.get_path("scripts")) / "juicefs"


@dataclass(frozen=True)
class S3Endpoint:
    url: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }

    def client(self) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}),
        )


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    folder = tmp_path_factory.mktemp("s3")
    metadata = f"sqlite3://{folder / 'metadata.db'}"
    # HOME is where juicefs would otherwise keep caches and logs.
    env = {
        "HOME": str(folder),
        "MINIO_ROOT_USER": secrets.token_hex(8),
        "MINIO_ROOT_PASSWORD": secrets.token_hex(16),
    }
    subprocess.run(
        [JUICEFS, "format", "--bucket", folder / "objects", "--trash-days", "0", metadata, "tape"],
        check=True,
        capture_output=True,
        env=os.environ | env,
    )
    port, metrics = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    options = [
        "--multi-buckets",
        "--object-meta",
        "--keep-etag",
        "--no-banner",
        "--no-usage-report",
        "--no-bgjob",
    ]
    options += [
        "--cache-dir",
        "memory",
        "--log",
        str(folder / "gateway.log"),
        "--metrics",
        f"127.0.0.1:{metrics}",
    ]
    server = Process(
        [JUICEFS, "gateway", *options, metadata, f"127.0.0.1:{port}"], log=folder / "log", env=env
    )

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/minio/health/live").is_success
        except httpx.TransportError:
            return False

    server.start(ready)
    try:
        yield S3Endpoint(url, env["MINIO_ROOT_USER"], env["MINIO_ROOT_PASSWORD"])
    finally:
        server.stop()


@pytest.fixture
def s3_bucket(s3_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket; this process and its children may use it."""
    for name, value in s3_endpoint.env.items():
        monkeypatch.setenv(name, value)
    name = f"b{uuid.uuid4().hex[:16]}"
    s3_endpoint.client().create_bucket(Bucket=name)
    return name
