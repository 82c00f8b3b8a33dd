"""OpenAI: chat rows (`messages`), chat completions, responses, batch output, and pairs of preferred answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinprint.client.files.chat import looks_like_messages
from kinprint.client.files.shapes.exchange import columns_beside, read_exchange, response_path, text_at
from kinprint.client.files.shapes.preset import Raw, Reading, RowPreset
from kinprint.client.files.values import structured


def _chat_test(raw: Raw) -> float:
    if not looks_like_messages(raw.get("messages")):
        return 0.0
    # A response beside the messages is the answer to them: the project's own columns have that, too.
    return 0.5 if any(raw.get(key) is not None for key in ("response", "choices", "output", "completion")) else 0.8


def _chat(reading: Reading) -> list[dict[str, Any]]:
    reading.take("prompt, response, system_prompt, turn (one row for each assistant turn)", "messages")
    row = {"messages": reading.get("messages"), "system_prompt": text_at(reading, "system_prompt", "system")}
    return [columns_beside(reading, row)]


def _batch_test(raw: Raw) -> float:
    if "custom_id" not in raw:
        return 0.0
    response = structured(raw.get("response"))
    if isinstance(response, Mapping) and ("body" in response or "status_code" in response):
        return 1.0
    return 0.9 if raw.get("response") is None and raw.get("error") is not None else 0.0


def _completions_test(raw: Raw) -> float:
    path = response_path(raw, "completions")
    return 0.0 if path is None else 0.85


def _responses_test(raw: Raw) -> float:
    path = response_path(raw, "responses")
    return 0.0 if path is None else 0.86


PRESETS = (
    RowPreset("messages", "chat rows: messages of role and content", _chat_test, _chat),
    RowPreset(
        "openai-completions",
        "OpenAI chat completions, alone or with their requests",
        _completions_test,
        read_exchange,
    ),
    RowPreset(
        "openai-responses",
        "OpenAI responses, alone or with their requests",
        _responses_test,
        read_exchange,
    ),
    RowPreset("openai-batch", "output of OpenAI batches", _batch_test, read_exchange),
)
