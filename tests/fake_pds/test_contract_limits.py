"""How a PDS counts requests, the fake and the real one alike. The real one's limits cannot be made smaller."""

import asyncio
import math
from email.utils import parsedate_to_datetime
from itertools import pairwise

import pytest

from tests.fake_pds.contract import Door, error, song

pytestmark = pytest.mark.anyio


def told(answer):
    """Limit, remaining points and window of the tightest bucket."""
    headers = answer.headers
    limit, window = headers["ratelimit-policy"].split(";w=")
    assert headers["ratelimit-limit"] == limit
    return int(limit), int(headers["ratelimit-remaining"]), int(window)


async def test_a_host_without_limits_does_not_speak_of_them(door: Door):
    answer = await door.put(door.person(), "a", song())
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


async def test_a_host_tells_the_time_by_which_its_resets_count(limited_door: Door):
    answer = await limited_door.put(limited_door.person(), "a", song())
    now = parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert 0 <= int(answer.headers["ratelimit-reset"]) - now <= 300


async def test_reads_count_as_one_request_of_the_caller(limited_door: Door):
    person = limited_door.person()
    first = await limited_door.get("com.atproto.sync.getLatestCommit", did=person.did)
    second = await limited_door.get("com.atproto.sync.getLatestCommit", did=person.did)
    assert told(first)[0::2] == (3000, 300)
    assert told(second)[1] == told(first)[1] - 1


async def test_the_headers_are_of_the_tightest_bucket(limited_door: Door):
    person = limited_door.person()
    assert told(await limited_door.put(person, "a", song()))[0] == 3000
    await limited_door.use_points(person, 4000)
    assert told(await limited_door.put(person, "a", song("two"))) == (5000, 5000 - 4004, 3600)


async def test_a_put_costs_2_a_create_3_and_a_delete_1_point_whatever_comes_of_it(limited_door: Door):
    person = limited_door.person()
    await limited_door.use_points(person, 4000)
    body = {"repo": person.did, "collection": "fm.plyr.track", "rkey": "b", "record": song()}
    calls = [
        limited_door.put(person, "a", song()),
        limited_door.put(person, "a", song()),
        limited_door.put(person, "a", song("two"), swapRecord=None),
        limited_door.post("com.atproto.repo.createRecord", token=person.access, json=body),
        limited_door.delete(person, "none"),
    ]
    left = [1000, *[told(await call)[1] for call in calls]]
    assert [before - after for before, after in pairwise(left)] == [2, 2, 2, 3, 1]


async def test_a_body_that_is_no_request_costs_nothing(limited_door: Door):
    person = limited_door.person()
    await limited_door.use_points(person, 4000)
    refused = await limited_door.put(person, "a", song(), swapRecord="abc")
    assert error(refused) == (400, "InvalidRequest")
    assert told(await limited_door.put(person, "a", song()))[1] == 998


async def test_an_account_over_its_points_hears_when_to_come_back(limited_door: Door):
    person = limited_door.person()
    await limited_door.use_points(person, 5000)
    answer = await limited_door.put(person, "a", song())
    assert error(answer) == (429, "RateLimitExceeded")
    assert told(answer) == (5000, 0, 3600)
    assert 3500 < int(answer.headers["retry-after"]) <= 3600
    assert int(answer.headers["ratelimit-reset"]) > 1_700_000_000
    assert error(await limited_door.read(person, "a")) == (400, "RecordNotFound")


async def test_what_is_refused_for_its_cost_is_spent_all_the_same(limited_door: Door):
    person = limited_door.person()
    await limited_door.use_points(person, 4999)
    assert error(await limited_door.put(person, "a", song())) == (429, "RateLimitExceeded")
    assert error(await limited_door.delete(person, "a")) == (429, "RateLimitExceeded")


async def test_somebody_else_is_not_concerned(limited_door: Door):
    person, other = limited_door.person(), limited_door.person()
    await limited_door.use_points(person, 5000)
    assert (await limited_door.put(other, "a", song())).status_code == 200


async def test_uploads_are_counted_by_caller_and_day(limited_door: Door):
    answer = await limited_door.upload(limited_door.person(), b"sound")
    assert told(answer) == (1000, 999, 86400)


async def test_the_31st_login_in_5_minutes_is_refused(limited_door: Door):
    person = limited_door.person()
    answers = await asyncio.gather(*(limited_door.login(person.did, "wrong") for _ in range(30)))
    assert {error(answer) for answer in answers} == {(401, "AuthenticationRequired")}
    last = await limited_door.login(person.did, person.password)
    assert error(last) == (429, "RateLimitExceeded")
    assert told(last) == (30, 0, 300)
    assert math.isclose(int(last.headers["retry-after"]), 300, abs_tol=60)
