"""With OpenTelemetry a PATCH, its commit and its delivery are one trace, and a later attempt has a link to it."""

import logging
import sys
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from service.cli.preparing import tracer_of_environment
from service.cli.serve import asgi
from service.config.settings import Settings
from service.observability.otel import Tracer
from service.wiring.bootstrap import build
from tests.api.client import TestClient
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE
from tests.service.one_account import OneAccount, route_pds_requests_to, sign_in
from tests.waits import until

EDIT = "PATCH /tracks/{track_id}"


class FailingInternet(OneAccount):
    failures = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.failures and request.url.path.endswith("putRecord"):
            self.failures -= 1
            return httpx.Response(502)
        return await super().handle_async_request(request)


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> FailingInternet:
    made = FailingInternet()
    route_pds_requests_to(made, monkeypatch)
    return made


def named(spans: Sequence[ReadableSpan], name: str) -> list[Any]:
    return [each for each in spans if each.name == name]


def children(spans: Sequence[ReadableSpan], of: ReadableSpan) -> list[ReadableSpan]:
    return [each for each in spans if each.parent is not None and each.parent.span_id == of.context.span_id]


@ON_SQLITE
def test_a_request_its_commit_and_its_delivery_are_one_trace_and_a_second_attempt_is_linked(
    settings: Settings, internet: FailingInternet
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = asgi(build(settings, tracer=Tracer(provider)))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        sign_in(client, internet)
        track = client.post("/tracks", data={"title": "one"}, files={"file": samples.mp3(1)}).json()

        def deliveries() -> list[Any]:
            return named(exporter.get_finished_spans(), "deliver")

        until(lambda: bool(deliveries()))
        exporter.clear()
        internet.failures = 1
        client.patch(f"/tracks/{track['id']}?hidden=sentinel", json={"title": "two"})
        client.patch(f"/tracks/{track['id']}", json={"title": "two"})
        until(lambda: len(deliveries()) == 2)
        client.get("/readyz")

    spans = exporter.get_finished_spans()
    edit = named(spans, EDIT)[-1]
    first, second = deliveries()
    assert "commit" in [each.name for each in edit.events]
    assert first.context.trace_id == edit.context.trace_id
    assert first.parent.span_id == edit.context.span_id
    assert (first.attributes["mastertape.outcome"], first.attributes["error.type"]) == ("failed", "http_502")
    assert second.parent is None
    assert [each.context.span_id for each in second.links] == [edit.context.span_id]
    assert second.attributes["mastertape.outcome"] == "delivered"
    assert all(children(spans, each) for each in (first, second)), "the requests to the PDS"
    assert not [each for each in spans if each.parent is None and each.name.startswith(("SELECT", "connect"))]
    assert not [each for each in spans if "readyz" in each.name]
    assert "sentinel" not in str([each.to_json() for each in spans])


@ON_SQLITE
@pytest.mark.usefixtures("internet")
@pytest.mark.parametrize("convention", ["", "http/dup"])
def test_spans_have_as_little_of_a_secret_link_as_the_access_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, convention: str
) -> None:
    for name, value in (("_initialized", False), ("_OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING", {})):
        monkeypatch.setattr(_OpenTelemetrySemanticConventionStability, name, value)
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", convention)
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = asgi(build(settings, tracer=Tracer(provider)))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        for rest in ("", "/audio", "/no/where", "%0Ax", "?key=sentinel"):
            client.get(f"/releases/preview/sentinel{rest}", headers={"accept": "text/html"})
        client.get("http://127.0.0.1:8000//releases/preview/sentinel")

    spans = [each for each in exporter.get_finished_spans() if each.kind is SpanKind.SERVER]
    assert len(spans) == 6
    assert spans[0].name == "GET /releases/preview/{token}"
    page = spans[0].attributes or {}
    assert page["http.target"] == "/releases/preview/{token}"
    assert page.get("url.path") == ("/releases/preview/{token}" if convention else None)
    assert "sentinel" not in str([each.to_json() for each in exporter.get_finished_spans()])


def test_nothing_is_traced_unless_a_collector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert tracer_of_environment() is None


def test_a_collector_without_the_packages_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "service.observability.otel", None)
    with caplog.at_level(logging.WARNING):
        assert tracer_of_environment() is None
    [line] = [record for record in caplog.records if record.getMessage() == "tracing_off"]
    assert "mastertape[otel]" in vars(line)["next"]
