"""Anthropic: messages with a system prompt at the top, responses, and results of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinprint.client.files.chat import looks_like_messages
from kinprint.client.files.content import read_content
from kinprint.client.files.rows import RowError
from kinprint.client.files.shapes.exchange import (
    answers_at,
    asked_at,
    columns_beside,
    error_of,
    exchange_rows,
    held,
    is_response,
    read_exchange,
    response_path,
)
from kinprint.client.files.shapes.preset import Raw, Reading, RowPreset
from kinprint.client.files.values import structured


def _messages_test(raw: Raw) -> float:
    messages = structured(raw.get("messages"))
    if not looks_like_messages(messages) or response_path(raw, "anthropic", "completions", "responses") is not None:
        return 0.0
    if raw.get("response") is not None or raw.get("choices") is not None:
        return 0.0
    blocks = any(
        isinstance(part, Mapping) and part.get("type") in ("thinking", "tool_use", "tool_result", "redacted_thinking")
        for message in messages
        if isinstance(message.get("content"), (list, tuple))
        for part in message["content"]
    )
    return 0.9 if blocks or (isinstance(structured(raw.get("system")), (str, list)) and raw.get("system")) else 0.0


def _messages(reading: Reading) -> list[dict[str, Any]]:
    reading.take("prompt, response, reasoning, turn (one row for each assistant turn)", "messages")
    row: dict[str, Any] = {"messages": reading.get("messages")}
    system = reading.take("system_prompt", "system")
    if system is not None:
        try:
            row["system_prompt"] = read_content(structured(system)).text
        except ValueError as error:
            raise RowError("SYSTEM_PROMPT_NOT_TEXT", f"system {error}") from None
    return [columns_beside(reading, row)]


def _response_test(raw: Raw) -> float:
    return 0.0 if response_path(raw, "anthropic") is None else 0.88


def _batch_test(raw: Raw) -> float:
    result = structured(raw.get("result"))
    return 1.0 if "custom_id" in raw and isinstance(result, Mapping) and "type" in result else 0.0


def _batch(reading: Reading) -> list[dict[str, Any]]:
    if is_response(reading.get("result", "message")) is None:
        kind = reading.get("result", "type")
        raise RowError("NO_ANSWER", f"the request {kind}{error_of(reading)}")
    answers = answers_at(reading, "result", "message")
    if not answers:
        raise RowError("NO_ANSWER", f"the answer holds no text{held(reading)}")
    return exchange_rows(
        reading,
        answers,
        asked_at(reading, "params"),
        model=reading.take("model", "result", "message", "model"),
        prompt_id=reading.take("prompt_id", "custom_id"),
    )


PRESETS = (
    RowPreset("anthropic-messages", "Anthropic messages with a system prompt or blocks", _messages_test, _messages),
    RowPreset(
        "anthropic-responses",
        "Anthropic responses, alone or with their requests",
        _response_test,
        read_exchange,
    ),
    RowPreset("anthropic-batch", "results of Anthropic batches", _batch_test, _batch),
)
