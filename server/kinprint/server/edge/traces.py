"""OpenTelemetry traces of calls: off, unless the standard variables ask for them.

They are asked for by `OTEL_TRACES_EXPORTER` (`otlp` or `console`) or by an endpoint of OTLP
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`); `OTEL_SDK_DISABLED=true` and
`OTEL_TRACES_EXPORTER=none` turn them off.  Service name, sampling and batches follow the standard variables, too, which
the SDK reads itself.  Traces go over OTLP/HTTP.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger(__name__)


class TracesUnavailable(RuntimeError):  # noqa: N818
    """Traces are asked for and cannot be made; the message says what to do."""


def exporter_name(environment: Mapping[str, str]) -> str | None:
    """Where traces go by the standard variables: "otlp", "console"; None for nowhere.  Raises TracesUnavailable."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    name = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if not name:
        endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        return "otlp" if any(environment.get(key) for key in endpoints) else None
    if name not in ("none", "otlp", "console"):
        raise TracesUnavailable(f"OTEL_TRACES_EXPORTER={name} is not known here; use otlp, console or none")
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if name == "otlp" and protocol not in (None, "", "http/protobuf"):
        raise TracesUnavailable(f"traces go over http/protobuf, not {protocol}; set OTEL_EXPORTER_OTLP_PROTOCOL to it")
    return None if name == "none" else name


def tracing(version: str) -> tuple[Any, Callable[[], None]] | None:
    """An interceptor that traces calls, and what sends the last ones at the end; None where none are asked for.

    Raises TracesUnavailable.
    """
    name = exporter_name(os.environ)
    if name is None:
        return None
    try:
        from opentelemetry.instrumentation.grpc import aio_server_interceptor, filters
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

        if name == "otlp":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ModuleNotFoundError as error:
        raise TracesUnavailable(
            f"traces are asked for (OTEL_...) and {error.name} is not installed: pip install 'kinprint[traces]'"
        ) from error
    attributes = {"service.version": version}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        attributes["service.name"] = "kinprint"
    provider = TracerProvider(resource=Resource.create(attributes))
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter() if name == "console" else OTLPSpanExporter()))
    logger.info("traces of calls go to %s", name)
    interceptor = aio_server_interceptor(tracer_provider=provider, filter_=filters.negate(filters.health_check()))
    return interceptor, provider.shutdown
