"""How a PDS counts requests, the fake and the real one alike. The real one's limits cannot be made smaller."""

import asyncio
import math
from email.utils import parsedate_to_datetime
from itertools import pairwise

import pytest

from outbox.record.dag_cbor import record_cid
from tests.fake_pds.contract import ContractHost, error, song

pytestmark = pytest.mark.anyio


def limit_headers(answer):
    """Limit, remaining points and window of the tightest bucket."""
    headers = answer.headers
    limit, window = headers["ratelimit-policy"].split(";w=")
    assert headers["ratelimit-limit"] == limit
    return int(limit), int(headers["ratelimit-remaining"]), int(window)


async def test_a_host_without_limits_does_not_speak_of_them(host: ContractHost):
    answer = await host.put(host.person(), "a", song())
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


async def test_a_host_tells_the_time_by_which_its_resets_count(limited_host: ContractHost):
    answer = await limited_host.put(limited_host.person(), "a", song())
    now = parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert 0 <= int(answer.headers["ratelimit-reset"]) - now <= 300


async def test_reads_count_as_one_request_of_the_caller(limited_host: ContractHost):
    person = limited_host.person()
    first = await limited_host.get("com.atproto.sync.getLatestCommit", did=person.did)
    second = await limited_host.get("com.atproto.sync.getLatestCommit", did=person.did)
    assert limit_headers(first)[0::2] == (3000, 300)
    assert limit_headers(second)[1] == limit_headers(first)[1] - 1


async def test_the_headers_are_of_the_tightest_bucket(limited_host: ContractHost):
    person = limited_host.person()
    assert limit_headers(await limited_host.put(person, "a", song()))[0] == 3000
    await limited_host.use_points(person, 4000)
    assert limit_headers(await limited_host.put(person, "a", song("two"))) == (5000, 5000 - 4004, 3600)


async def test_a_put_costs_2_and_a_delete_1_point_whatever_comes_of_it(limited_host: ContractHost):
    person = limited_host.person()
    await limited_host.use_points(person, 4000)
    calls = [
        limited_host.put(person, "a", song()),
        limited_host.put(person, "a", song()),
        limited_host.put(person, "a", song("two"), swapRecord=None),
        limited_host.delete(person, "none"),
    ]
    left = [1000, *[limit_headers(await call)[1] for call in calls]]
    assert [before - after for before, after in pairwise(left)] == [2, 2, 2, 1]
    no_request = await limited_host.put(person, "a", song(), swapRecord="abc")
    assert error(no_request) == (400, "InvalidRequest")
    assert limit_headers(await limited_host.put(person, "a", song()))[1] == left[-1] - 2


async def test_a_batch_costs_what_its_writes_cost_even_when_it_is_refused(limited_host: ContractHost):
    person = limited_host.person()
    await limited_host.put(person, "a", song())
    await limited_host.use_points(person, 3998)
    before = 1000
    for writes, swap, cost in (
        ([("create", "b", song()), ("create", "c", song())], {}, 6),
        ([("update", "b", song("two")), ("delete", "c", None)], {}, 3),
        ([("create", "d", song())], {"swapCommit": record_cid(song("never"))}, 3),
        ([("create", "a", song())], {}, 3),
    ):
        left = limit_headers(await limited_host.apply(person, *writes, **swap))[1]
        assert before - left == cost
        before = left


async def test_an_account_over_its_points_gets_a_retry_after_and_another_is_not_limited(
    limited_host: ContractHost,
):
    person, other = limited_host.person(), limited_host.person()
    await limited_host.use_points(person, 5000)
    answer = await limited_host.put(person, "a", song())
    assert error(answer) == (429, "RateLimitExceeded")
    assert limit_headers(answer) == (5000, 0, 3600)
    assert 3500 < int(answer.headers["retry-after"]) <= 3600
    assert int(answer.headers["ratelimit-reset"]) > 1_700_000_000
    assert error(await limited_host.read(person, "a")) == (400, "RecordNotFound")
    assert (await limited_host.put(other, "a", song())).status_code == 200


async def test_what_is_refused_for_its_cost_is_spent_all_the_same(limited_host: ContractHost):
    person = limited_host.person()
    await limited_host.use_points(person, 4999)
    assert error(await limited_host.put(person, "a", song())) == (429, "RateLimitExceeded")
    assert error(await limited_host.delete(person, "a")) == (429, "RateLimitExceeded")


async def test_uploads_are_counted_by_caller_and_day(limited_host: ContractHost):
    answer = await limited_host.upload(limited_host.person(), b"sound")
    assert limit_headers(answer) == (1000, 999, 86400)


async def test_the_31st_login_in_5_minutes_is_refused(limited_host: ContractHost):
    person = limited_host.person()
    answers = await asyncio.gather(*(limited_host.login(person.did, "wrong") for _ in range(30)))
    assert {error(answer) for answer in answers} == {(401, "AuthenticationRequired")}
    last = await limited_host.login(person.did, person.password)
    assert error(last) == (429, "RateLimitExceeded")
    assert limit_headers(last) == (30, 0, 300)
    assert math.isclose(int(last.headers["retry-after"]), 300, abs_tol=60)
