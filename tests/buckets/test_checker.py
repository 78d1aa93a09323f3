import re

import pytest

from service.schema.tables import metadata
from tests.buckets.checker import CLOCK, DIVIDED, OF_ACCOUNTS, Reach, verdict
from tests.buckets.watch import DOCUMENT

NOWHERE, ONE, PART, LISTED, MANY, REFUSED = Reach
STATEMENTS = {
    "select 1": NOWHERE,
    "select host from pds_host for update": NOWHERE,
    "insert into media (cid) values ($1)": NOWHERE,
    "select * from tracks where did = $1 and bucket = $2::smallint": ONE,
    "select * from tracks where did = %(did_1)s and bucket = %(bucket_1)s": ONE,
    "select * from tracks where track_id = $3 and (did = $1 and bucket = $2::smallint) for update": ONE,
    "select * from tracks t join history h on h.did = t.did and h.bucket = t.bucket where t.did = $1 and t.bucket = $2::smallint": ONE,
    "select (select max(gen) from delivery_attempt a where a.bucket = l.bucket) from mirror_lane l where l.host = 'h' and l.did = $1 and l.bucket = $2": ONE,
    "with held as (select bucket, host from mirror_lane where did = $1 and bucket = $2::smallint for update) select host from held": ONE,
    "insert into mirror_lane (did, bucket) values ($1, $2) on conflict (did, bucket) do nothing": ONE,
    "insert into observed_account (did, bucket) select did, bucket from mirror_lane where bucket = $1": ONE,
    "select did from mirror_lane where bucket between 256 and 511 for update skip locked": PART,
    "select did from mirror_lane where bucket is not null": MANY if DIVIDED else PART,
    "select did from mirror_lane where bucket is null": MANY,
    "select did from mirror_lane where bucket between $1 and $2": MANY,
    "select did from mirror_lane l where bucket between 256 and 511 and exists (select 1 from job j where j.account = l.did and j.bucket = l.bucket)": PART,
    "select * from tracks where did in ($1, $2) and bucket in ($3, $4)": LISTED,
    "select * from tracks where bucket = any($1)": LISTED,
    "insert into mirror_lane (did, bucket) values ($1, $2), ($3, $4)": LISTED,
    "select * from tracks where did = $1": MANY,
    "select * from tracks where bucket = $1 or title = $2": MANY,
    "select * from tracks where not bucket = $1": MANY,
    "update delivery_attempt set outcome = $1 where id = $2": MANY,
    "select * from tracks where did = $1 and bucket = $2::smallint union select * from tracks where title = $3": MANY,
    "select host from pds_host p where exists (select 1 from mirror_lane l where l.host = p.host)": MANY,
}
BROKEN = {
    "select did from mirror_lane l where bucket between 0 and 255 and (select count(*) from mirror_lane m where m.host = l.host) < $3": (
        "a correlated sub-select that does not name the bucket"
    ),
    "select did from mirror_lane where host = $1 for update skip locked": "row locks in more than one bucket",
    "select * from tracks join mirror_target on subject_id = tracks.track_id": "a join that does not name the bucket",
    "update mirror_lane l set due_at = (select min(not_before) from mirror_target t where t.did = l.did) where did = $1 and bucket = $2::smallint": (
        "a correlated sub-select that does not name the bucket"
    ),
    "insert into mirror_lane (did) values ($1)": "an INSERT without the bucket",
    "insert into mirror_lane (did, bucket) values ($1, $2) on conflict (did) do nothing": "ON CONFLICT without the bucket",
    "update tracks set bucket = $3 where did = $1 and bucket = $2::smallint": "an UPDATE of the bucket",
    "select host from mirror_lane l group by host having count(*) > (select count(*) from tracks t where t.bucket = l.bucket)": (
        "a correlated sub-select in HAVING"
    ),
}


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_reaches(sql: str) -> None:
    assert verdict(sql).reach == STATEMENTS[sql]


@pytest.mark.parametrize("sql", BROKEN)
def test_what_a_divided_cluster_refuses_is_refused_by_its_rule(sql: str) -> None:
    assert verdict(sql)[:2] == (REFUSED, BROKEN[sql])


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("select due_at, clock_timestamp() from mirror_lane where bucket = $1", CLOCK),
        ("delete from credential where bucket = $1 and expires_at <= now()", CLOCK),
        ("select clock_timestamp() as now from pds_host", ""),
    ],
)
def test_the_time_is_asked_for_apart_from_rows_of_accounts(sql: str, rule: str) -> None:
    assert verdict(sql).rule == rule


def test_each_table_without_a_bucket_has_its_reason() -> None:
    section = DOCUMENT.read_text().partition("## Tables without a bucket")[2].partition("##")[0]
    listed = {
        name
        for line in section.splitlines()
        for name in re.findall(r"\w+", line.split("|")[1] if "|" in line else "")
    }
    assert listed - {"table", "alembic_version"} == metadata.tables.keys() - OF_ACCOUNTS
