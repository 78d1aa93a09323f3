"""Rate limits per account, address and route."""

from functools import partial
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from api.middleware import rate_limits
from api.middleware.rate_limits import (
    MINUTE_SECONDS,
    SLOTS_PER_BUCKET,
    FullTimes,
    RateLimits,
    address_of,
    memory_file,
)
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def Allowance(limit, clock, memory=None):  # noqa: N802
    times = FullTimes(memory_file() if memory is None else memory)
    return rate_limits.Allowance("requests", limit, times, clock)


def test_after_the_reset_all_of_it_is_there_again(clock):
    allowance = Allowance(10, clock)
    for _ in range(7):
        last = allowance.take("a")
    clock.now += last.reset
    assert allowance.take("a").remaining == 9


@given(st.lists(st.floats(0, 30), min_size=1, max_size=200), st.integers(1, 50))
def test_in_no_minute_more_is_taken_than_twice_the_limit(pauses, limit):
    clock, times = Clock(), []
    allowance = Allowance(limit, clock)
    for pause in pauses:
        clock.now += pause
        if allowance.take("a").retry_after is None:
            times.append(clock.now)
    for begin in times:
        in_a_minute = sum(begin <= at < begin + MINUTE_SECONDS for at in times)
        assert in_a_minute <= 2 * limit


def test_processes_that_share_the_memory_share_the_allowance(clock):
    memory = memory_file()
    first, second = Allowance(2, clock, memory), Allowance(2, clock, memory)
    taken = [each.take("a").retry_after is None for each in (first, second, first, second)]
    assert taken == [True, True, False, False]


def test_ever_new_callers_take_the_places_of_those_with_the_fullest_allowances(clock, monkeypatch):
    monkeypatch.setattr(rate_limits, "BUCKETS", 1)
    allowance = Allowance(10, clock)
    for _ in range(10):
        allowance.take("busy")
    for number in range(20 * SLOTS_PER_BUCKET):
        assert allowance.take(str(number)).remaining == 9
        assert allowance.take("busy").retry_after is not None


@pytest.fixture
def limited(world, clock):
    """The service with limits, on a clock that stands still."""
    with world.serve(rate_limits=RateLimits(clock=clock)) as client:
        yield client


def statuses(count, ask):
    return [ask().status_code for _ in range(count)]


def request_for(path, method="GET"):
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    return Request(scope | {"client": ("testclient", 1)})


def count(limited, times, path="/tracks", did=None):
    """As so many requests are counted that came before."""
    for _ in range(times):
        limited.app.state.services.rate_limits.take(request_for(path), did)


def test_after_a_hundred_requests_in_a_minute_a_principal_waits(limited, alice, bob, clock):
    ask = partial(limited.get, "/me", headers=alice.headers)
    count(limited, 98, did=alice.did)
    assert statuses(2, ask) == [200] * 2
    refused = ask()
    assert refusal(refused) == (429, "rate_limited")
    assert int(refused.headers["retry-after"]) == 1
    assert limited.get("/me", headers=bob.headers).status_code == 200
    clock.now += 1
    assert ask().status_code == 200


def test_answers_say_what_is_left(limited, alice):
    first = limited.get("/me", headers=alice.headers).headers
    assert [first[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["100", "99", "1"]


def test_a_request_under_plyr_counts_once(limited, alice):
    paths = (
        "/tracks/",
        "/tracks/me",
        "/tracks/tags",
        "/search/?q=xy",
        "/artists/me",
        "/artists/nobody",
        "/queue/",
    )
    for used, path in enumerate(paths, 1):
        left = limited.get(f"/plyr{path}", headers=alice.headers).headers["ratelimit-remaining"]
        assert left == str(100 - used), path


def test_an_edit_with_a_cover_counts_as_an_upload_and_one_without_does_not(limited, alice):
    address = f"/tracks/{upload(limited, alice)['id']}"

    def edit(**body):
        return limited.patch(address, headers=alice.headers, **body)

    covers = [edit(files={"image": ("x.png", samples.png(8, 8))}) for _ in range(20)]
    assert [each.status_code for each in covers] == [200] * 19 + [429]
    assert covers[0].headers["RateLimit-Limit"] == "20"
    form = edit(data={"title": "new"}, files={"image": ("", b"")})
    assert (form.status_code, form.headers["RateLimit-Limit"]) == (200, "100")


def test_uploads_have_a_smaller_limit_and_a_refused_one_changes_nothing(limited, world, alice):
    track = upload(limited, alice)
    path, audio = f"/tracks/{track['id']}/audio", {"file": ("a.mp3", b"no sound", "audio/mpeg")}
    ask = partial(limited.put, path, files=audio, headers=alice.headers)
    assert set(statuses(19, ask)) == {400}
    before = world.state()
    assert refusal(ask()) == (429, "rate_limited")
    assert world.state() == before
    assert limited.get("/me", headers=alice.headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("GET", "/plyr/audio/bafy", 600),
        ("GET", "/plyr/audio/bafy.mp3", 600),
        ("GET", "/plyr/audio/bafy/download", 600),
        ("POST", "/plyr/tracks/", 20),
        ("POST", "/plyr/tracks", 20),
        ("PUT", "/plyr/tracks/7/audio", 20),
        ("PATCH", "/tracks", 20),
        ("GET", "/plyr/tracks/7", 100),
        ("GET", "/plyrs/audio/bafy", 100),
    ],
)
def test_a_path_under_plyr_counts_as_the_route_behind_it(clock, method, path, limit):
    request = request_for(path, method)
    RateLimits(clock=clock).take(request, "did:plc:a")
    assert request.state.rate_limit.limit == limit


def test_tokens_cannot_be_guessed_quickly(limited, alice):
    count(limited, 98)
    answers = [limited.get("/me", headers={"Authorization": f"Bearer mt_{n}"}).status_code for n in range(3)]
    assert answers == [401, 401, 429]
    assert limited.get("/me", headers=alice.headers).status_code == 200


def test_looking_up_a_browsers_accounts_is_counted_too(limited, alice):
    """Each such request asks the database about up to five tokens."""
    cookie = {"Cookie": f"mastertape_session={alice.token}"}
    count(limited, 98)
    assert statuses(3, partial(limited.get, "/auth/accounts", headers=cookie)) == [200, 200, 429]
    assert limited.post("/auth/logout", headers=cookie).status_code == 429


def test_errors_and_documents_are_counted(subtests, limited, clock):
    paths = ("/nowhere", "/tracks/x/y", "/@unknown", "/docs", "/docs/x", "/openapi.json")
    for path, accept in product(paths, ("text/html", "application/json")):
        with subtests.test(f"{path} {accept}"):
            clock.now += MINUTE_SECONDS
            ask = partial(limited.get, path, headers={"Accept": accept})
            count(limited, 98)
            found = statuses(3, ask)
            assert found == [found[0], found[0], 429]
            assert ask().headers["ratelimit-remaining"] == "0"
            assert refusal(limited.get("/tracks")) == (429, "rate_limited")


def test_an_error_page_names_no_account_unless_it_was_counted(limited, alice):
    """Else it would say of any number of tokens whether they are valid."""
    cookie = {"Cookie": f"mastertape_session={alice.token}", "Accept": "text/html"}
    count(limited, 98)
    pages = [limited.get("/nowhere", headers=cookie) for _ in range(3)]
    assert [page.status_code for page in pages] == [404, 404, 429]
    assert ["@alice.test" in page.text for page in pages] == [True, True, False]
    free = [limited.get(path, headers=cookie) for path in ("/static/x/y", "/jwks.json")]
    assert [(page.status_code, "@alice.test" in page.text) for page in free] == [(404, False)] * 2


def test_what_machines_ask_for_is_free(limited):
    paths = (
        "/healthz",
        "/readyz",
        "/metrics",
        "/jwks.json",
        "/oauth-client-metadata.json",
        "/static/x/site.css",
    )
    count(limited, 99)
    for path in (*paths, "/static/x/nothing.css"):
        answer = limited.get(path)
        assert answer.status_code != 429
        assert "ratelimit-limit" not in answer.headers
    assert statuses(2, partial(limited.get, "/tracks")) == [200, 429]


def test_sign_ins_are_few(limited):
    answers = statuses(11, partial(limited.get, "/auth/callback"))
    assert [status == 429 for status in answers] == [False] * 10 + [True]
    assert limited.post("/auth/app-password", json={}).status_code == 429


def test_bytes_have_a_limit_that_no_player_reaches(limited, alice):
    track = upload(limited, alice)
    address = track["audio_url"].removeprefix(limited.app.state.services.base_url)
    ask = partial(limited.head, address)
    count(limited, 598, address)
    assert statuses(3, ask) == [200, 200, 429]
    assert limited.get("/tracks").status_code == 200
    assert limited.head(address, headers=alice.headers).status_code == 200


def test_without_limits_nothing_is_counted(client, alice):
    assert "ratelimit-limit" not in client.get("/me", headers=alice.headers).headers


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("testclient", "testclient", True),
    ],
)
def test_requests_of_an_ipv6_caller_are_counted_by_its_network(one, other, same):
    addresses = [address_of(Request({"type": "http", "client": (host, 1)})) for host in (one, other)]
    assert (addresses[0] == addresses[1]) == same
