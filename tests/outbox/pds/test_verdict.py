"""Every answer that a PDS, or something before it, was seen to give has its meaning."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest

from outbox.mirror.failure_causes import Cause
from outbox.pds.verdict import (
    DEFAULT_PAUSE,
    Kind,
    Phase,
    Scope,
    Verdict,
    kind_of_failure,
    verdict_of_exception,
    verdict_of_fault,
    verdict_of_reply,
)
from tests.outbox.rigs.hosts import limited

RECORD, LANE, HOST, BLOBS = Scope.RECORD, Scope.LANE, Scope.HOST, Scope.BLOBS
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
over = partial(limited, 0, status=429)


def named(status: int, error: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": error, "message": "why"}, headers=headers)


def kind_by_cause(verdict: Verdict) -> Kind:
    """The kind of a failure, by nothing but what is kept of its cause."""
    return kind_of_failure(verdict.phase, verdict.status, Cause.of("https://pds.test", verdict).error)


@pytest.mark.parametrize(
    ("reply", "kind", "scope"),
    [
        # put and delete
        (named(400, "InvalidSwap"), Kind.READ_BACK, RECORD),
        (named(400, "InvalidRequest"), Kind.REJECTED, RECORD),
        (named(400, "BlobNotFound"), Kind.BLOB_MISSING, RECORD),
        (named(413, "PayloadTooLargeError"), Kind.REJECTED, RECORD),
        (named(500, "InternalServerError"), Kind.AMBIGUOUS, RECORD),
        (named(400, "UnknownError"), Kind.REJECTED, RECORD),
        # login and account
        (named(400, "ExpiredToken"), Kind.SIGN_IN, LANE),
        (named(400, "InvalidToken"), Kind.SIGN_IN, LANE),
        (named(401, "AuthMissing"), Kind.SIGN_IN, LANE),
        (named(401, "AuthenticationRequired"), Kind.SIGN_IN, LANE),
        (named(401, "invalid_token"), Kind.SIGN_IN, LANE),
        (named(401, "use_dpop_nonce"), Kind.AMBIGUOUS, RECORD),
        (named(401, "SomethingNew"), Kind.SIGN_IN, LANE),
        (named(403, "ScopeMissingError"), Kind.SIGN_IN, LANE),
        (named(403, "insufficient_scope"), Kind.SIGN_IN, LANE),
        (named(401, "AccountDeactivated"), Kind.INACTIVE, LANE),
        (named(401, "AccountTakedown"), Kind.INACTIVE, LANE),
        (named(400, "RepoDeactivated"), Kind.INACTIVE, LANE),
        (named(400, "RepoTakendown"), Kind.INACTIVE, LANE),
        (named(400, "RepoSuspended"), Kind.INACTIVE, LANE),
        (named(401, "AccountSuspended"), Kind.INACTIVE, LANE),
        (named(403, "AccountNotFound"), Kind.MOVED, LANE),
        (named(400, "RepoNotFound"), Kind.MOVED, LANE),
        (httpx.Response(507, html="<h1>Full</h1>"), Kind.FULL, LANE),
        (named(403, "AccountQuotaExceeded"), Kind.FULL, LANE),
        (named(403, "StorageFull"), Kind.FULL, LANE),
        # limits
        (named(429, "QuotaExceeded"), Kind.PACED, LANE),
        (named(429, "RateLimitExceeded"), Kind.PACED, LANE),
        (named(400, "RateLimitExceeded"), Kind.PACED, LANE),
        (httpx.Response(429, text="slow down"), Kind.PACED, LANE),
        (over("100;w=3600"), Kind.PACED, LANE),
        (over("100;w=300"), Kind.PACED, HOST),
        (over(None), Kind.PACED, LANE),
        # the host, or something before it
        (named(502, "UpstreamFailure"), Kind.AMBIGUOUS, HOST),
        (named(503, "NotReady"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(504), Kind.AMBIGUOUS, HOST),
        (httpx.Response(500, html="<h1>Error</h1>"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(401, text="proxy"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(413, html="<h1>Too large</h1>"), Kind.REJECTED, RECORD),
        (httpx.Response(400, json={"error": {"no": "name"}}), Kind.AMBIGUOUS, HOST),
        (named(400, "Bad Request"), Kind.AMBIGUOUS, HOST),
        (named(403, "Forbidden"), Kind.AMBIGUOUS, HOST),
        (named(404, "XRPCNotSupported"), Kind.AMBIGUOUS, HOST),
        (named(500, "Internal Server Error"), Kind.AMBIGUOUS, HOST),
        (named(501, "MethodNotImplemented"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(301, headers={"location": "https://elsewhere.test"}), Kind.AMBIGUOUS, HOST),
        # success
        (httpx.Response(200, json={}), Kind.DONE, RECORD),
        (httpx.Response(200, html="<h1>Welcome</h1>"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(204), Kind.AMBIGUOUS, HOST),
        (httpx.Response(200, content=b"[" * 100_000), Kind.AMBIGUOUS, HOST),
    ],
)
def test_an_answer_to_a_write_means_this_and_concerns_that(
    reply: httpx.Response, kind: Kind, scope: Scope
) -> None:
    verdict = verdict_of_reply(reply)
    assert (verdict.kind, verdict.scope) == (kind, scope)
    assert kind is Kind.DONE or kind_by_cause(verdict) is kind


@pytest.mark.parametrize(
    ("reply", "kind", "scope"),
    [
        (httpx.Response(200, json={"blob": {}}), Kind.DONE, RECORD),
        (named(413, "PayloadTooLarge"), Kind.REJECTED, RECORD),
        (named(400, "InvalidRequest"), Kind.REJECTED, RECORD),
        (named(400, "InvalidSwap"), Kind.REJECTED, RECORD),  # nothing to read back
        (named(400, "BlobNotFound"), Kind.REJECTED, RECORD),  # nothing to upload first
        (named(500, "InternalServerError"), Kind.AMBIGUOUS, RECORD),
        (named(400, "ExpiredToken"), Kind.SIGN_IN, LANE),
        (named(401, "AccountTakedown"), Kind.INACTIVE, LANE),
        (named(403, "AccountNotFound"), Kind.MOVED, LANE),
        (named(403, "QuotaExceeded"), Kind.FULL, LANE),
        (named(400, "BlobQuotaExceeded"), Kind.FULL, LANE),
        (named(413, "BlobQuotaExceeded"), Kind.FULL, LANE),
        (httpx.Response(507), Kind.FULL, LANE),
        (named(429, "RateLimitExceeded"), Kind.PACED, BLOBS),
        (over("100;w=86400"), Kind.PACED, BLOBS),
        (over("100;w=300"), Kind.PACED, HOST),
        (named(403, "Forbidden"), Kind.AMBIGUOUS, HOST),
        (named(404, "Not Found"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(413, html="<h1>Too large</h1>"), Kind.REJECTED, RECORD),
        (httpx.Response(502), Kind.AMBIGUOUS, HOST),
    ],
)
def test_an_answer_to_an_upload_means_this_and_concerns_that(
    reply: httpx.Response, kind: Kind, scope: Scope
) -> None:
    verdict = verdict_of_reply(reply, Phase.UPLOAD)
    assert (verdict.kind, verdict.scope) == (kind, scope)
    assert kind is Kind.DONE or kind_by_cause(verdict) is kind


@pytest.mark.parametrize(
    ("reply", "kind", "scope"),
    [
        (httpx.Response(200, json={"value": {}}), Kind.DONE, RECORD),
        (named(400, "RecordNotFound"), Kind.AMBIGUOUS, RECORD),
        (named(400, "InvalidRequest"), Kind.AMBIGUOUS, RECORD),  # "Could not locate record"
        (named(400, "RepoDeactivated"), Kind.INACTIVE, LANE),
        (named(401, "AuthMissing"), Kind.AMBIGUOUS, RECORD),
        (named(400, "ExpiredToken"), Kind.AMBIGUOUS, RECORD),
        (named(403, "AccountNotFound"), Kind.AMBIGUOUS, RECORD),
        (named(400, "InvalidSwap"), Kind.AMBIGUOUS, RECORD),
        (named(413, "PayloadTooLarge"), Kind.AMBIGUOUS, RECORD),
        (named(404, "Not Found"), Kind.AMBIGUOUS, HOST),
        (named(507, "InsufficientStorage"), Kind.AMBIGUOUS, HOST),  # a read fills no account
        (named(502, "UpstreamFailure"), Kind.AMBIGUOUS, HOST),
        (named(429, "RateLimitExceeded"), Kind.PACED, HOST),  # a read shows no account
        (over("100;w=300"), Kind.PACED, HOST),
    ],
)
def test_an_answer_to_a_read_condemns_neither_login_nor_record(
    reply: httpx.Response, kind: Kind, scope: Scope
) -> None:
    verdict = verdict_of_reply(reply, Phase.READ)
    assert (verdict.kind, verdict.scope) == (kind, scope)
    assert kind is Kind.DONE or kind_by_cause(verdict) is kind


@pytest.mark.parametrize(
    ("reply", "is_well"),
    [
        (httpx.Response(200, json={}), True),
        (named(401, "AuthMissing"), True),
        (named(429, "RateLimitExceeded"), True),
        (httpx.Response(507), True),
        (named(500, "InternalServerError"), False),
        (httpx.Response(502), False),
        (named(403, "Forbidden"), False),
        (httpx.Response(200, html="<h1>Welcome</h1>"), False),
    ],
)
def test_a_host_is_well_when_it_answers_itself_and_is_not_at_fault(
    reply: httpx.Response, is_well: bool
) -> None:
    assert verdict_of_reply(reply).host_is_well is is_well


def test_the_message_of_a_proxy_is_kept() -> None:
    verdict = verdict_of_reply(httpx.Response(404, json={"status": 404, "error": "Not Found"}))
    assert (verdict.error, verdict.message) == ("http_404", "Not Found")


def test_what_was_never_asked_says_nothing_of_the_host() -> None:
    assert Verdict(Kind.SIGN_IN, error="sign_in_required").host_is_well is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), Kind.NOT_SENT),
        (httpx.ConnectTimeout("slow"), Kind.NOT_SENT),
        (httpx.PoolTimeout("busy"), Kind.NOT_SENT),
        (httpx.UnsupportedProtocol("gopher"), Kind.NOT_SENT),
        (httpx.ReadTimeout("slow"), Kind.AMBIGUOUS),
        (httpx.RemoteProtocolError("garbage"), Kind.AMBIGUOUS),
        (TimeoutError(), Kind.AMBIGUOUS),
    ],
    ids=repr,
)
def test_only_a_connection_that_never_stood_has_sent_nothing(error: Exception, kind: Kind) -> None:
    verdict = verdict_of_exception(error)
    assert (verdict.kind, verdict.scope) == (kind, HOST)
    assert kind_by_cause(verdict) is kind
    assert verdict.host_is_well is (None if isinstance(error, httpx.PoolTimeout) else False)


def test_a_request_that_http_does_not_let_us_send_is_our_own_fault() -> None:
    verdict = verdict_of_exception(httpx.LocalProtocolError("Too little data"), Phase.UPLOAD)
    assert (verdict.kind, verdict.scope, verdict.phase) == (Kind.BROKEN, RECORD, Phase.UPLOAD)
    assert verdict.host_is_well is None
    assert kind_by_cause(verdict) is kind_by_cause(verdict_of_fault(KeyError("x"))) is Kind.BROKEN


@pytest.mark.parametrize(
    ("reply", "pause"),
    [
        (named(429, "RateLimitExceeded", **{"retry-after": "120"}), timedelta(seconds=120)),
        (over("100;w=3600"), timedelta(seconds=91)),
        (named(429, "RateLimitExceeded"), DEFAULT_PAUSE),
        (named(503, "NotReady", **{"retry-after": "30"}), timedelta(seconds=30)),
        (named(503, "NotReady"), timedelta()),
        (over("100;w=3600", status=200), timedelta()),
    ],
)
def test_a_limit_is_kept_until_the_later_of_what_was_named(reply: httpx.Response, pause: timedelta) -> None:
    assert verdict_of_reply(reply).requested_pause(NOW) == pause


def test_every_response_reports_its_budget() -> None:
    for status in (200, 204, 400, 429, 500):
        budget = verdict_of_reply(limited(7, "100;w=300", status=status)).budget
        assert budget is not None
        assert (budget.left, budget.is_of_host) == (7, True)


def test_what_a_pds_says_can_be_written_down_on_every_database() -> None:
    said = {"error": "a\0b\ud800" + "x" * 1000, "message": "\0\ud800" + "y" * 1000}
    content = json.dumps(said).encode()
    verdict = verdict_of_reply(httpx.Response(400, content=content))
    for text in (verdict.error, verdict.message):
        assert text is not None
        assert "\0" not in text
        assert len(text.encode()) <= 310


@pytest.mark.parametrize("body", [None, [], {}, {"cid": 1, "commit": []}, {"cid": {}, "commit": {"rev": 5}}])
def test_a_cid_and_a_rev_that_are_no_text_are_none(body: object) -> None:
    verdict = Verdict(Kind.DONE, body=body)
    assert (verdict.cid, verdict.rev) == (None, None)
