"""Gemini: contents of parts, with the role `model`, and candidates; also tuning sets and output of batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinprint.client.files.shapes.exchange import columns_beside, read_exchange, response_path, text_at
from kinprint.client.files.shapes.preset import Raw, Reading, RowPreset
from kinprint.client.files.values import structured


def _contents_test(raw: Raw) -> float:
    contents = structured(raw.get("contents"))
    if response_path(raw, "gemini") is not None or not isinstance(contents, (list, tuple)):
        return 0.0
    return 0.95 if any(isinstance(one, Mapping) and "parts" in one for one in contents) else 0.0


def _contents(reading: Reading) -> list[dict[str, Any]]:
    contents = structured(reading.get("contents"))
    row: dict[str, Any] = {"messages": [{"role": "user", **one} for one in contents]}
    for key in ("systemInstruction", "system_instruction"):
        if (found := text_at(reading, "system_prompt", key)) is not None:
            row["system_prompt"] = found
    reading.take("prompt, response, reasoning, turn (one row for each turn of the model)", "contents")
    return [columns_beside(reading, row)]


def _response_test(raw: Raw) -> float:
    return 0.0 if response_path(raw, "gemini") is None else 0.9


PRESETS = (
    RowPreset("gemini-contents", "Gemini contents (conversations, tuning sets)", _contents_test, _contents),
    RowPreset(
        "gemini-responses",
        "Gemini responses (candidates), alone or with their requests",
        _response_test,
        read_exchange,
    ),
)
