"""Every answer that a PDS, or something before it, was seen to give has its meaning."""

import json

import httpx
import pytest

from outbox.verdict import LONGEST_PAUSE, Kind, Verdict, verdict_of_exception, verdict_of_reply

RECORD, LANE, HOST = "record", "lane", "host"


def named(status: int, error: str) -> httpx.Response:
    return httpx.Response(status, json={"error": error, "message": "why"})


@pytest.mark.parametrize(
    ("reply", "kind", "scope"),
    [
        # put and delete
        (named(400, "InvalidSwap"), Kind.READ_BACK, RECORD),
        (named(400, "InvalidRequest"), Kind.REJECTED, RECORD),
        (named(400, "InvalidRecord"), Kind.REJECTED, RECORD),
        (named(400, "InvalidMimeType"), Kind.REJECTED, RECORD),
        (named(400, "InvalidSize"), Kind.REJECTED, RECORD),
        (named(400, "BlobNotFound"), Kind.BLOB_MISSING, RECORD),
        (named(413, "PayloadTooLargeError"), Kind.REJECTED, RECORD),
        (named(500, "InternalServerError"), Kind.AMBIGUOUS, RECORD),
        (named(413, "PayloadTooLarge"), Kind.REJECTED, RECORD),  # an upload
        # login and account
        (named(400, "ExpiredToken"), Kind.SIGN_IN, LANE),
        (named(400, "InvalidToken"), Kind.SIGN_IN, LANE),
        (named(401, "AuthMissing"), Kind.SIGN_IN, LANE),
        (named(401, "AuthenticationRequired"), Kind.SIGN_IN, LANE),
        (named(401, "invalid_token"), Kind.SIGN_IN, LANE),
        (named(401, "use_dpop_nonce"), Kind.AMBIGUOUS, RECORD),
        (named(401, "SomethingNew"), Kind.SIGN_IN, LANE),
        (named(403, "ScopeMissingError"), Kind.SIGN_IN, LANE),
        (named(401, "AccountDeactivated"), Kind.INACTIVE, LANE),
        (named(401, "AccountTakedown"), Kind.INACTIVE, LANE),
        (named(400, "RepoDeactivated"), Kind.INACTIVE, LANE),
        (named(400, "RepoTakendown"), Kind.INACTIVE, LANE),
        (named(403, "AccountNotFound"), Kind.MOVED, LANE),
        # limits
        (named(429, "RateLimitExceeded"), Kind.PACED, LANE),
        (httpx.Response(429, text="slow down"), Kind.PACED, LANE),
        # the host, or something before it
        (named(502, "UpstreamFailure"), Kind.AMBIGUOUS, HOST),
        (named(503, "NotReady"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(504), Kind.AMBIGUOUS, HOST),
        (httpx.Response(500, html="<h1>Error</h1>"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(404, html="<h1>Not Found</h1>"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(403, html="<h1>Blocked</h1>"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(401, text="proxy"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(413, html="<h1>Too large</h1>"), Kind.REJECTED, RECORD),
        (httpx.Response(400, json={"error": {"no": "name"}}), Kind.AMBIGUOUS, HOST),
        (httpx.Response(400, json=[]), Kind.AMBIGUOUS, HOST),
        (httpx.Response(301, headers={"location": "https://elsewhere.test"}), Kind.AMBIGUOUS, HOST),
        (httpx.Response(307, headers={"location": "https://elsewhere.test"}), Kind.AMBIGUOUS, HOST),
        # success
        (httpx.Response(200, json={}), Kind.DONE, RECORD),
        (httpx.Response(200, html="<h1>Welcome</h1>"), Kind.AMBIGUOUS, HOST),
        (httpx.Response(200, json=[1]), Kind.AMBIGUOUS, HOST),
        (httpx.Response(204), Kind.AMBIGUOUS, HOST),
        (httpx.Response(200, content=b"[" * 100_000), Kind.AMBIGUOUS, HOST),
    ],
)
def test_an_answer_means_this_and_concerns_that(reply: httpx.Response, kind: Kind, scope: str) -> None:
    verdict = verdict_of_reply(reply)
    assert verdict.kind is kind
    assert verdict.concerns_host is (scope == HOST)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), Kind.NOT_SENT),
        (httpx.ConnectTimeout("slow"), Kind.NOT_SENT),
        (httpx.PoolTimeout("busy"), Kind.NOT_SENT),
        (httpx.UnsupportedProtocol("gopher"), Kind.NOT_SENT),
        (httpx.ReadTimeout("slow"), Kind.AMBIGUOUS),
        (httpx.WriteTimeout("slow"), Kind.AMBIGUOUS),
        (httpx.ReadError("reset"), Kind.AMBIGUOUS),
        (httpx.WriteError("reset"), Kind.AMBIGUOUS),
        (httpx.RemoteProtocolError("garbage"), Kind.AMBIGUOUS),
        (TimeoutError(), Kind.AMBIGUOUS),
    ],
    ids=repr,
)
def test_only_a_connection_that_never_stood_has_sent_nothing(error: Exception, kind: Kind) -> None:
    verdict = verdict_of_exception(error)
    assert (verdict.kind, verdict.concerns_host) == (kind, True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("0", 1),
        ("-5", 1),
        ("1e300", LONGEST_PAUSE),
        ("99999999", LONGEST_PAUSE),
        ("inf", None),
        ("nan", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("", None),
    ],
)
def test_a_retry_after_is_believed_within_reason(header: str, seconds: float | None) -> None:
    assert verdict_of_reply(httpx.Response(429, headers={"retry-after": header})).retry_after == seconds


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
