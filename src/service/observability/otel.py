"""Traces from the request to the commit to the delivery, with OpenTelemetry; imported only where that is configured.

The spans of requests, statements and requests to PDSes are those of the libraries' own instrumentations. A delivery is a child
of the request whose commit it delivers; a later attempt, and a verification, is a trace of its own with a link to it.
"""

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx
import sqlalchemy as sa
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes
from sqlalchemy import event

from api.middleware.http_layer import loggable
from outbox.ports import Tracing, trace_parent
from outbox.relay.delivery_task import DeliveryTask
from outbox.relay.result import Outcome, Result

NAME: Final = "mastertape"
UNTRACED: Final = "/healthz$,/readyz$,/metrics$"
ROOT_KINDS: Final = frozenset({SpanKind.SERVER, SpanKind.CONSUMER})
ADDRESSES: Final = ("http.url", "http.target", "http.route", "url.full", "url.path")
QUERY: Final = "url.query"
PARENT: Final = "traceparent"
WRITES: Final = "sqlite_immediate"
"""The option of a transaction that may write, on either database."""
W3C: Final = TraceContextTextMapPropagator()


def exporting() -> TracerProvider:
    """Return a provider that sends spans to the collector of the environment, as OpenTelemetry's variables say."""
    os.environ.setdefault("OTEL_SERVICE_NAME", NAME)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class Tracer(Tracing):
    """Traces the parts of one process: implements outbox/ports.py."""

    def __init__(self, provider: TracerProvider) -> None:
        provider.sampler = RequestsAndDeliveries(provider.sampler)
        self._provider: Final = provider
        self._tracer: Final = provider.get_tracer(NAME)

    def watch(self, engine: sa.Engine, clients: Iterable[httpx.AsyncClient]) -> None:
        SQLAlchemyInstrumentor().instrument(
            engine=engine,
            tracer_provider=self._provider,
            skip_dep_check=True,  # it is made for SQLAlchemy 2.0, and uses no more of 2.1
        )

        @event.listens_for(engine, "commit")
        def add_commit(connection: sa.Connection) -> None:
            if connection.get_execution_options().get(WRITES, False):
                trace.get_current_span().add_event("commit")

        async def hide_secrets(span: Span, _request: Any) -> None:
            _hide_secrets(span)

        for client in clients:
            HTTPXClientInstrumentor.instrument_client(
                client, tracer_provider=self._provider, request_hook=hide_secrets
            )

    def watch_app(self, app: FastAPI) -> None:
        """Trace the requests of this application, and keep each one's context for what it commits."""

        def on_request(span: Span, _scope: dict[str, Any]) -> None:
            _hide_secrets(span)
            carrier: dict[str, str] = {}
            W3C.inject(carrier, trace.set_span_in_context(span))
            trace_parent.set(carrier.get(PARENT))

        FastAPIInstrumentor.instrument_app(
            app,
            tracer_provider=self._provider,
            excluded_urls=UNTRACED,
            exclude_spans=["receive", "send"],
            server_request_hook=on_request,
        )

    @contextmanager
    def delivery(self, task: DeliveryTask) -> Generator[Callable[[Result], None]]:
        """Trace a delivery during the block, which reports its result."""
        of_commit = W3C.extract({PARENT: task.trace}, Context()) if task.trace is not None else Context()
        committed = trace.get_current_span(of_commit).get_span_context()
        is_first = task.is_open and task.attempts == 0
        links = [Link(committed)] if committed.is_valid and not is_first else []
        with self._tracer.start_as_current_span(
            "deliver",
            context=of_commit if is_first else Context(),
            kind=SpanKind.CONSUMER,
            links=links,
            attributes={
                "mastertape.record": task.key.uri,
                "mastertape.generation": task.gen,
                "mastertape.attempt": task.attempts + 1,
            },
        ) as span:
            yield lambda result: _report(span, result)

    def close(self) -> None:
        SQLAlchemyInstrumentor().uninstrument()
        self._provider.shutdown()


class RequestsAndDeliveries(Sampler):
    """Begins traces with requests and deliveries alone: the polls of a relay would be most of all spans."""

    def __init__(self, configured: Sampler) -> None:
        self._configured: Final = configured

    def should_sample(  # noqa: PLR0917 - as OpenTelemetry has it
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Drop the span if it begins a trace and is of another kind; otherwise ask the configured sampler."""
        has_parent = trace.get_current_span(parent_context).get_span_context().is_valid
        if not has_parent and kind not in ROOT_KINDS:
            return SamplingResult(Decision.DROP)
        return self._configured.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        return f"RequestsAndDeliveries({self._configured.get_description()})"


def _hide_secrets(span: Span) -> None:
    """Keep in the addresses of a request's span, of which its name may be one, what the access log has too."""
    attributes = getattr(span, "attributes", None) or {}
    for name in ADDRESSES:
        if name in attributes:
            span.set_attribute(name, loggable(str(attributes[name])))
    if QUERY in attributes:
        span.set_attribute(QUERY, "")
    if (named := getattr(span, "name", None)) is not None:
        span.update_name(loggable(named))


def _report(span: Span, result: Result) -> None:
    span.set_attribute("mastertape.outcome", result.outcome.value)
    if result.outcome is Outcome.FAILED:
        error = result.verdict.error or result.verdict.kind.value
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR, error))
