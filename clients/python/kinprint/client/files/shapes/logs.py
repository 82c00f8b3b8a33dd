"""Logs of gateways and tracers: LiteLLM, Langfuse and Helicone, and those that people write themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinprint.client.files.chat import looks_like_messages, read_messages
from kinprint.client.files.content import read_content
from kinprint.client.files.rows import RowError
from kinprint.client.files.shapes.exchange import (
    Answer,
    Asked,
    answers_at,
    asked_at,
    asked_of,
    error_of,
    exchange_rows,
    is_request,
    is_response,
)
from kinprint.client.files.shapes.preset import Raw, Reading, RowPreset, inner_rows
from kinprint.client.files.values import structured


def answers_of(reading: Reading, *path: Any) -> list[Answer]:
    """The answers of what a log has as output: a response, a message, messages, or a text.

    Raises:
        RowError: it cannot be read.
    """
    value = structured(reading.get(*path))
    if is_response(value) is not None:
        return answers_at(reading, *path)
    if value in (None, ""):
        return []
    reading.take("response", *path)
    try:
        if isinstance(value, str):
            return [Answer(value)]
        if isinstance(value, Mapping):
            inner = next((value[key] for key in ("messages", "choices", "message", "output") if value.get(key)), None)
            if inner is not None and inner is not value and not isinstance(inner, str):
                value = inner
            elif not value.get("role"):
                for key in ("content", "text", "completion", "answer", "response", "output", "generated_text"):
                    if isinstance(value.get(key), str):
                        return [Answer(value[key])]
                content = read_content(value)
                return [] if content.text is None else [Answer(content.text, content.reasoning)]
        if isinstance(value, Mapping):
            value = [value]
        if looks_like_messages(value):
            turns, context = read_messages(value)
            reading.left.update(context.left)
            return [Answer(turns[-1].response, turns[-1].reasoning)] if turns else []
        content = read_content(value)
    except ValueError as error:
        raise RowError("ANSWER_INVALID", f"the answer {error}") from None
    return [] if content.text is None else [Answer(content.text, content.reasoning)]


def input_of(reading: Reading, *path: Any) -> Asked:
    """What a log has as input: a request's body, messages, or a text.

    Raises:
        RowError: it cannot be read.
    """
    value = structured(reading.get(*path))
    if is_request(value) is not None or isinstance(value, (list, tuple, str)):
        return asked_at(reading, *path)
    if isinstance(value, Mapping):
        if value.get("role"):
            reading.take("prompt", *path)
            return asked_of([value], reading.left)
        for key in ("messages", "prompt", "input", "question", "query", "text", "content"):
            if value.get(key):
                return asked_of(reading.take("prompt, system_prompt", *path, key), reading.left)
    return Asked()


def _litellm_test(raw: Raw) -> float:
    calls = any(key in raw for key in ("call_type", "litellm_call_id", "litellm_params", "standard_logging_object"))
    timed = any(key in raw for key in ("startTime", "start_time"))
    if not calls or not timed:
        return 1.0 if "standard_logging_object" in raw else 0.0
    return 1.0


def _litellm(reading: Reading) -> list[dict[str, Any]]:
    top = ("standard_logging_object",) if isinstance(reading.get("standard_logging_object"), Mapping) else ()
    answers = answers_of(reading, *top, "response")
    if not answers:
        raise RowError("NO_ANSWER", f"the call has no answer with text{error_of(reading)}")
    return exchange_rows(
        reading,
        answers,
        _asked_or(reading, (*top, "messages"), (*top, "proxy_server_request", "body"), (*top, "proxy_server_request")),
        model=reading.first("model", (*top, "model"), (*top, "model_group"), (*top, "response", "model")),
        created_at=reading.first("created_at", (*top, "startTime"), (*top, "start_time")),
        account_id=reading.first(
            "account_id",
            (*top, "end_user"),
            (*top, "metadata", "user_api_key_end_user_id"),
            (*top, "metadata", "user_api_key_user_id"),
            (*top, "user"),
            (*top, "metadata", "user_api_key_hash"),
            (*top, "api_key"),
        ),
        conversation_id=reading.first("conversation_id", (*top, "session_id"), (*top, "trace_id")),
        prompt_id=reading.take("prompt_id", "prompt_id"),
    )


def _asked_or(reading: Reading, *paths: tuple[Any, ...]) -> Asked:
    for path in paths:
        asked = input_of(reading, *path)
        if asked.prompt is not None or asked.system_prompt is not None:
            return asked
    return Asked()


_LANGFUSE_TYPES = (
    *("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"),
)


def _langfuse_test(raw: Raw) -> float:
    if "output" not in raw and "observations" not in raw:
        return 0.0
    traced = any(key in raw for key in ("traceId", "trace_id"))
    if traced and str(raw.get("type")).upper() in _LANGFUSE_TYPES:
        return 1.0
    spanned = any(key in raw for key in ("startTime", "start_time")) and any(
        key in raw
        for key in ("modelParameters", "model_parameters", "provided_model_name", "promptTokens", "usageDetails")
    )
    trace = any(key in raw for key in ("sessionId", "session_id", "userId", "user_id", "release", "htmlPath")) and (
        "timestamp" in raw and "input" in raw
    )
    return (
        0.95 if (traced and spanned) or isinstance(structured(raw.get("observations")), list) else 0.9 if trace else 0.0
    )


def _langfuse(reading: Reading) -> list[dict[str, Any]]:
    observations = structured(reading.get("observations"))
    if isinstance(observations, (list, tuple)) and any(isinstance(one, Mapping) for one in observations):
        rows = _langfuse_trace(reading, observations)
        if rows:
            return rows
    kind = str(reading.get("type") or "GENERATION").upper()
    if kind != "GENERATION" and kind in _LANGFUSE_TYPES and not reading.get("model"):
        raise RowError("NOT_A_GENERATION", f"an observation of type {kind}, which no model answered")
    answers = answers_of(reading, "output")
    if not answers:
        raise RowError("NO_ANSWER", f"the observation has no output with text{error_of(reading)}")
    return exchange_rows(
        reading,
        answers,
        input_of(reading, "input"),
        model=reading.first("model", ("model",), ("provided_model_name",), ("providedModelName",)),
        created_at=reading.first("created_at", ("startTime",), ("start_time",), ("timestamp",), ("createdAt",)),
        account_id=reading.first("account_id", ("userId",), ("user_id",)),
        conversation_id=reading.first("conversation_id", ("sessionId",), ("session_id",), ("traceId",), ("trace_id",)),
    )


def _langfuse_trace(reading: Reading, observations: Any) -> list[dict[str, Any]]:
    """The generations of a trace that holds its observations."""
    common = {
        "account_id": reading.first("account_id", ("userId",), ("user_id",)),
        "conversation_id": reading.first("conversation_id", ("sessionId",), ("session_id",), ("id",)),
    }
    rows: list[dict[str, Any]] = []
    for one in observations:
        if not isinstance(one, Mapping):
            continue
        if str(one.get("type")).upper() != "GENERATION":
            reading.left["observations that no model answered"] += 1
            continue
        try:
            found = inner_rows(reading, one, "observations[]", _langfuse)
        except RowError as error:
            reading.left[f"generations without an answer ({error.reason.lower()})"] += 1
            continue
        rows += [{**row, **{key: value for key, value in common.items() if value is not None}} for row in found]
    if rows:
        reading.take("prompt and response, observation by observation", "observations")
        reading.skip("the generations have theirs", "input")
        reading.skip("the generations have theirs", "output")
    return rows


_HELICONE_BODIES = (("request_body", "response_body"), ("requestBody", "responseBody"))


def _helicone_test(raw: Raw) -> float:
    if any(all(key in raw for key in pair) for pair in _HELICONE_BODIES):
        marks = ("request_id", "request_created_at", "response_created_at", "helicone_user", "request_path", "provider")
        return 1.0 if any(key in raw for key in marks) else 0.9
    others = ("helicone-id", "heliconeId", "request_created_at", "helicone_user", "request_properties")
    return 0.95 if any(key in raw for key in others) and ("response" in raw or "response_body" in raw) else 0.0


def _helicone(reading: Reading) -> list[dict[str, Any]]:
    bodies = (("response_body",), ("responseBody",), ("response", "body"), ("response",))
    response: tuple[str, ...] = next((path for path in bodies if reading.get(*path) not in (None, "")), ())
    answers = answers_of(reading, *response) if response else []
    if not answers:
        raise RowError("NO_ANSWER", f"the request has no answer with text{error_of(reading)}")
    asking = next(
        (
            path
            for path in (("request_body",), ("requestBody",), ("request", "body"), ("request",))
            if reading.get(*path) not in (None, "")
        ),
        ("request_body",),
    )
    return exchange_rows(
        reading,
        answers,
        input_of(reading, *asking),
        model=reading.first(
            "model",
            ("model",),
            ("response_model",),
            (*response, "model"),
            ("model_override",),
            ("request_model",),
            (*asking, "model"),
        ),
        created_at=reading.first(
            "created_at", ("request_created_at",), ("requestCreatedAt",), ("created_at",), ("response_created_at",)
        ),
        account_id=reading.first(
            "account_id", ("request_user_id",), ("helicone_user",), ("user_id",), ("userId",), (*asking, "user")
        ),
        conversation_id=reading.first(
            "conversation_id",
            ("request_properties", "Helicone-Session-Id"),
            ("properties", "Helicone-Session-Id"),
            ("session_id",),
        ),
    )


_REQUESTS = (("request", "body"), ("request",), ("request_body",), ("input",), ("messages",))
_REPLIES = (
    ("response", "body"),
    ("response",),
    ("response_body",),
    ("output",),
    ("completion",),
    ("answer",),
    ("reply",),
)


def _sides(raw: Raw) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Where a row has a request as an interface takes it, and an answer that is a text, a message or messages."""
    reading = Reading(raw)
    for asking in _REQUESTS:
        asked = structured(reading.get(*asking))
        if is_request(asked) not in ("messages", "gemini", "responses") and not looks_like_messages(asked):
            continue
        for replying in _REPLIES:
            said = structured(reading.get(*replying))
            if is_response(said) is None and _is_said(said):
                return asking, replying
    return None


def _is_said(value: Any) -> bool:
    """Whether a value may be an answer: a text, a message, or messages."""
    if isinstance(value, Mapping):
        return any(value.get(key) for key in ("content", "text", "parts", "message", "messages"))
    return (isinstance(value, str) and bool(value)) or looks_like_messages(value)


def _exchange_test(raw: Raw) -> float:
    sides = _sides(raw)
    if sides is None:
        return 0.0
    # Messages with a text as `response` beside them are among the project's own columns.
    return 0.0 if sides == (("messages",), ("response",)) and isinstance(raw["response"], str) else 0.92


def _exchange(reading: Reading) -> list[dict[str, Any]]:
    sides = _sides(reading.raw)
    answers = answers_of(reading, *sides[1]) if sides is not None else []
    if sides is None or not answers:
        raise RowError("NO_ANSWER", f"no request with an answer that is text{error_of(reading)}")
    asking = sides[0]
    return exchange_rows(
        reading,
        answers,
        input_of(reading, *asking),
        model=reading.first("model", ("model",), (*sides[1], "model"), (*asking, "model")),
        created_at=reading.first("created_at", ("created_at",), ("timestamp",), ("time",), ("created",)),
        account_id=reading.first("account_id", ("account_id",), ("user_id",), ("user",), (*asking, "user")),
        conversation_id=reading.first("conversation_id", ("conversation_id",), ("session_id",)),
        prompt_id=reading.first("prompt_id", ("prompt_id",), ("custom_id",)),
        language=reading.take("language", "language"),
        transcript_id=reading.take("transcript_id", "transcript_id"),
    )


PRESETS = (
    RowPreset("exchange", "requests with their answers as text or messages", _exchange_test, _exchange),
    RowPreset("litellm", "LiteLLM's logs of calls", _litellm_test, _litellm),
    RowPreset("langfuse", "Langfuse's observations and traces", _langfuse_test, _langfuse),
    RowPreset("helicone", "Helicone's requests", _helicone_test, _helicone),
)
