"""No text that comes from outside makes a pattern, a filter or a parser work for long: `re` holds the interpreter, in a thread too.

Patterns, filters and readers of JSON are found, not listed: a new one is tried on hostile text by itself, and has to be linear.
"""

import ast
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from jinja2 import nodes
from jinja2.exceptions import FilterArgumentError, UndefinedError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from aggregates.values import DESCRIPTION_BYTES, tag_as_stored
from api.errors import UnknownFieldError
from api.middleware.http_layer import HEADERS_BYTES, URL_BYTES
from api.pipeline.media_request import range_of
from api.requests.parameters import versions_of, wait_of
from eventstore.untrusted import parsed, whole_number
from identity.errors import UnsafeAddressError
from identity.resolution.address_policy import AddressPolicy
from outbox.pds.verdict import budget_of, retry_after_of
from projections.tracks.search import escaped
from projections.tracks.table import normalized
from service.observability.logging import without_secrets
from tests.cpu_time import problem_of
from tests.patterns import fillers, hostile, made_elsewhere, patterns, statements
from web.rendering import LINK, templates

SIZES = {LINK: DESCRIPTION_BYTES}
"""What is cut to fewer characters before it reaches a pattern; others get as much as headers may have."""


def test_every_pattern_is_a_constant_and_found():
    assert made_elsewhere() == []
    assert {each.pattern for each, methods in patterns().items() if not methods} == set()


def test_a_pattern_is_linear(subtests):
    for pattern, methods in patterns().items():
        for method in sorted(methods):
            read = {
                "sub": lambda text, pattern=pattern: pattern.sub(lambda found: found[0], text),
                "finditer": lambda text, pattern=pattern: list(pattern.finditer(text)),
            }.get(method, getattr(pattern, method))
            encoded = str.encode if isinstance(pattern.pattern, bytes) else str
            call = lambda text, read=read, encoded=encoded: read(encoded(text))  # noqa: E731
            with subtests.test(f"{method} of {pattern.pattern[:40]}"):
                for text_of in hostile(pattern):
                    assert problem_of(call, text_of, SIZES.get(pattern, HEADERS_BYTES)) is None


def test_a_filter_of_templates_is_linear(subtests):
    environment = templates()
    context = environment.from_string("").new_context({"base_url": "https://tape.example"})
    for name, arguments, named in filters_of(environment):

        def read(text, name=name, arguments=arguments, named=named):
            try:
                result = environment.call_filter(name, text, arguments, named, context=context)
                return result if isinstance(result, (str, int)) else list(result)
            except (TypeError, ValueError, AttributeError, FilterArgumentError, UndefinedError):
                return None  # it is not for texts

        with subtests.test(f"{name} {arguments} {named}"):
            for text_of in fillers(ends=("", "!")):
                assert problem_of(read, text_of, DESCRIPTION_BYTES) is None


def filters_of(environment):
    """The filters that templates use, each with the arguments that they give it."""
    found = {}
    for name in environment.list_templates(["html"]):
        source, _, _ = environment.loader.get_source(environment, name)
        for node in environment.parse(source).find_all(nodes.Filter):
            try:
                arguments = [each.as_const() for each in node.args]
                named = {each.key: each.value.as_const() for each in node.kwargs}
            except nodes.Impossible:
                arguments, named = [], {}
            if node.name not in ("groupby", "map"):  # of items, by an attribute: they read no text
                found[f"{node.name} {arguments} {named}"] = (node.name, arguments, named)
    return list(found.values())


def attempted(read, *errors):
    def attempt(text):
        try:
            return read(text)
        except errors:
            return None

    return attempt


def without_cache(check):
    def checked(text):
        urlsplit.cache_clear()
        check(f"https://{text}")

    return checked


def request_with(name, text):
    return Request({"type": "http", "headers": [(name, text.encode("latin-1", "replace"))]})


PARSERS = {
    "Range": (lambda text: range_of(request_with(b"range", f"bytes={text}"), "", 9), HEADERS_BYTES),
    "If-Match": (versions_of, HEADERS_BYTES),
    "Prefer": (lambda text: wait_of([text]), HEADERS_BYTES),
    "a header with options": (
        lambda text: parse_options_header(f"form-data; name={text}".encode()),
        URL_BYTES,
    ),
    "a query": (lambda text: parse_qsl(text, keep_blank_values=True), URL_BYTES),
    "a whole number": (whole_number, HEADERS_BYTES),
    "JSON": (attempted(lambda text: parsed(text.encode()), ValueError), HEADERS_BYTES),
    "the text of JSON": (attempted(lambda text: parsed(f'["{text}"]'.encode()), ValueError), HEADERS_BYTES),
    "a tag": (tag_as_stored, HEADERS_BYTES),
    "a search": (lambda text: escaped(normalized(text)), HEADERS_BYTES),
    "an unknown field": (lambda text: UnknownFieldError(text, ["title", "description"]), HEADERS_BYTES),
    "an address": (attempted(without_cache(AddressPolicy().check), UnsafeAddressError), HEADERS_BYTES),
    "a date": (attempted(parsedate_to_datetime, ValueError), HEADERS_BYTES),
    "a PDS's rate limits": (
        lambda text: budget_of(
            dict.fromkeys(("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"), "9")
            | {"ratelimit-policy": text}
        ),
        HEADERS_BYTES,
    ),
    "a PDS's pause": (lambda text: retry_after_of({"retry-after": text, "date": text}), HEADERS_BYTES),
    "a line of the log": (without_secrets, HEADERS_BYTES),
}


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_is_linear(name):
    read, size = PARSERS[name]
    for text_of in fillers():
        assert problem_of(read, text_of, size) is None


READERS = {
    ("loads", "json", "model_validate_json", "validate_json", "literal_eval"): {
        "api.examples": "a file of ours",
        "api.plyr.surface": "an error that the API has just made",
        "web.app": "an error that the API has just made",
        "eventstore.streams.snapshots": "what we stored",
        "eventstore.untrusted": "the one reader of what comes from outside",
        "identity.accounts.sign_in": "a `UntrustedReply`",
        "identity.oauth.flows": "a `UntrustedReply`",
        "identity.oauth.sign_in": "what we encrypted",
        "identity.resolution.http_responses": "a `UntrustedReply`",
        "identity.sessions.app_password_grants": "a `UntrustedReply`",
        "identity.sessions.key_pairs": "our own keys",
        "identity.sessions.session_store": "what we encrypted",
        "outbox.record.kind": "a file of ours",
        "replay.dump": "an operator's dump",
        "replay.repair.plan": "what we stored",
        "service.schema.distribution": "what our database answers",
        "service.wiring.supporters": "a `UntrustedReply`",
        "storage.formats.program": "what the service asks",
        "web.ask": "the API in this process",
        "web.state_words": "a file of ours",
    },
    ("urlsplit", "urlparse"): {
        "identity.oauth.sign_in": "a setting",
        "identity.resolution.address_policy": "checks the length first",
        "outbox.record.kind": "cut to HOST_CHARACTERS",
        "replay.adoption.intake": "what the address policy has read",
        "replay.derived": "at most 600 characters",
        "service.config.settings": "a setting",
        "web.rendering": "at most DESCRIPTION_BYTES, and no host beyond ASCII",
        "web.app": "the length was checked with the authorization server's metadata",
    },
    ("normalize",): {
        "aggregates.values": "names and slugs of at most ALBUM_BYTES",
        "api.plyr.track": "at most ALBUM_BYTES",
        "api.requests.fields": "at most MAX_NAME_LENGTH",
        "eventstore.untrusted": "cut to MAX_FILE_NAME_BYTES",
        "projections.tracks.table": "cut to MAX_SEARCHED_CHARACTERS",
    },
}
"""Readers whose work may grow faster than the text, and why each place that uses one has a bound."""


@pytest.mark.parametrize("names", READERS, ids=lambda names: names[0])
def test_a_costly_reader_is_used_only_where_its_text_has_a_bound(names):
    def is_called(node):
        called = node.func if isinstance(node, ast.Call) else None
        return getattr(called, "attr", getattr(called, "id", None)) in names

    used = {module.__name__ for module, _, nodes in statements() if any(map(is_called, nodes))}
    assert used - set(READERS[names]) == set()


def test_no_pattern_of_a_model_leaves_the_linear_engine_of_pydantic():
    assert not [
        module.__name__
        for module, _, nodes in statements()
        for node in nodes
        if isinstance(node, ast.keyword) and node.arg == "regex_engine"
    ]
