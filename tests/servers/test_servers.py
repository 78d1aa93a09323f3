"""The test servers behave as the other tests assume."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import create_engine, text

from devpds.ports import free_port
from devpds.process import Process, ProcessError
from devpds.server import DevPds, XrpcError
from tests.servers.atproto import PdsAccount
from tests.servers.databases import temporary_database
from tests.servers.postgres import PostgresServer
from tests.servers.s3 import S3Endpoint

COLLECTION = "fm.plyr.track"


def test_process_does_not_outlive_its_parent(tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    script = f"""
import os, signal
from pathlib import Path
from devpds.process import Process
Process(["sleep", "600"], log=Path({str(log)!r})).start(lambda: True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        log.read_bytes()  # returns once no process holds the other end: the child is gone
    assert parent.returncode == -signal.SIGKILL


def test_process_that_ends_at_once_says_why(tmp_path: Path) -> None:
    process = Process(["sh", "-c", "echo no such luck; exit 3"], log=tmp_path / "log")
    with pytest.raises(ProcessError, match="no such luck"):
        process.start(lambda: False)


def test_a_server_that_is_down_keeps_its_port() -> None:
    ours = free_port()
    script = f"""
import random
from devpds.ports import free_port
drawn = iter([{ours}, {ours}, 31999])
random.randint = lambda *bounds: next(drawn, None) or random.randrange(*bounds)
print(free_port())
"""
    theirs = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    assert int(theirs.stdout) != ours


def test_database_is_empty_and_ours(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("create table mine (id integer)"))
    engine.dispose()


@pytest.mark.postgres
def test_clones_are_isolated(postgres_url: str) -> None:
    with temporary_database(postgres_url) as template:
        engine = create_engine(template)
        with engine.begin() as connection:
            connection.execute(text("create table t (v text)"))
        engine.dispose()
        name = str(engine.url.database)
        with temporary_database(postgres_url, name) as one, temporary_database(postgres_url, name) as other:
            for url, rows in ((one, 1), (other, 0)):
                engine = create_engine(url)
                with engine.begin() as connection:
                    if rows:
                        connection.execute(text("insert into t values ('x')"))
                    assert connection.execute(text("select count(*) from t")).scalar() == rows
                engine.dispose()


@pytest.mark.postgres
def test_durable_postgres_survives_a_crash(durable_postgres: PostgresServer) -> None:
    conninfo = durable_postgres.url.replace("+psycopg", "")
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("show synchronous_commit").fetchone() == ("on",)
        connection.execute("create table t as select 1 as v")
    durable_postgres.kill()
    durable_postgres.start()
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("select v from t").fetchone() == (1,)


@pytest.mark.pds
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_pds_keeps_accounts_tokens_and_records(pds: DevPds, pds_account: PdsAccount, end: str) -> None:
    did = pds_account.did
    written = pds.put_record(did, COLLECTION, "a", {"$type": COLLECTION, "title": "one"})
    pid, url = pds.pid, pds.url
    getattr(pds, end)()
    assert not pds.running
    pds.start()
    assert pds.pid != pid
    assert pds.url == url
    found = pds.get_record(did, COLLECTION, "a")
    assert found is not None
    assert found["cid"] == written["cid"]
    pds.put_record(did, COLLECTION, "b", {"$type": COLLECTION, "title": "two"})  # with the same token
    assert [record["value"]["title"] for record in pds.list_records(did, COLLECTION)] == ["two", "one"]
    assert pds.sign_in(pds_account.handle, pds_account.app_password) == did


@pytest.mark.pds
def test_plc_keeps_its_documents(pds: DevPds, pds_account: PdsAccount) -> None:
    pds.plc.kill()
    pds.plc.start()
    document = pds.plc.document(pds_account.did)
    assert document["alsoKnownAs"] == [f"at://{pds_account.handle}"]
    assert document["service"][0]["serviceEndpoint"] == pds.url


@pytest.mark.pds
def test_pds_takes_a_blob_of_a_normal_track(pds: DevPds, pds_account: PdsAccount) -> None:
    did, content = pds_account.did, os.urandom(6 * 1024 * 1024)
    blob = pds.upload_blob(did, content, "audio/mpeg")
    pds.put_record(did, COLLECTION, "a", {"$type": COLLECTION, "audioBlob": blob})
    assert pds.get_blob(did, blob["ref"]["$link"]) == content
    assert pds.query("com.atproto.server.describeServer")["blobUploadLimit"] == 100 * 1024 * 1024


@pytest.mark.pds
def test_pds_error_has_its_name(pds: DevPds, pds_account: PdsAccount) -> None:
    with pytest.raises(XrpcError) as caught:
        pds.put_record(pds_account.did, COLLECTION, "a", {"$type": COLLECTION}, swapRecord="bafkqaaa")
    assert caught.value.error == "InvalidSwap"
    assert pds.get_record(pds_account.did, COLLECTION, "a") is None


@pytest.mark.s3
def test_s3_round_trip(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    client = s3_endpoint.client()
    client.put_object(Bucket=s3_bucket, Key="a/b", Body=b"0123456789", ContentType="audio/mpeg")
    assert client.get_object(Bucket=s3_bucket, Key="a/b")["Body"].read() == b"0123456789"
    part = client.get_object(Bucket=s3_bucket, Key="a/b", Range="bytes=2-4")
    assert part["Body"].read() == b"234"
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert client.head_object(Bucket=s3_bucket, Key="a/b")["ContentType"] == "audio/mpeg"


@pytest.mark.s3
def test_s3_refuses_a_bad_signature(s3_endpoint: S3Endpoint, s3_bucket: str) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3_endpoint.client("wrong").list_objects_v2(Bucket=s3_bucket)
