"""The content of a message, in whatever form an interface gives it: text, parts, blocks; reasoning told apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kinprint.client.files.values import plain, structured

#: Parts that hold no text of the message: pictures, files, calls of tools and what these gave.
_NOT_TEXT = frozenset(
    (
        *("image", "image_url", "input_image", "image_file", "image_asset_pointer", "file", "input_file", "document"),
        *("audio", "input_audio", "output_audio", "audio_url", "video", "video_url", "blob", "uri", "media"),
        *("tool_use", "tool_result", "tool_call", "tool_calls", "tool_call_response", "function_call"),
        *("function_call_output", "server_tool_use", "server_tool_call", "web_search_tool_result", "web_search_call"),
        *("code_execution_tool_result", "code_execution_tool_call", "mcp_tool_use", "mcp_tool_result"),
        *("redacted_thinking", "container_upload", "search_result", "item_reference", "computer_call"),
        *("encrypted_reasoning", "server_tool_call_response", "custom_tool_call", "fallback"),
    )
)
_REASONING = frozenset(("thinking", "reasoning", "reasoning_text", "summary_text", "thoughts", "thought"))
_DETAILS = re.compile(r"<details\s+type=\"reasoning\"[^>]*>(.*?)</details>\s*", re.DOTALL)


@dataclass(slots=True)
class Content:
    """What a message holds: its text (None: none at all), its reasoning, and what was left, by kind of part."""

    text: str | None = None
    reasoning: str | None = None
    left: Counter[str] = field(default_factory=Counter)


def read_content(value: Any) -> Content:
    """Take content apart.

    Args:
        value: text; a list of texts and parts of OpenAI (`text`, `input_text`, `output_text`, `refusal`), Anthropic
            (`text`, `thinking`), Gemini (`{"text", "thought"}`) or OpenTelemetry (`{"type": "text", "content"}`);
            one such part; ChatGPT's `{"content_type", "parts"}`; or `{"answer", "thought"}`.

    Raises:
        ValueError: it is of another form; the message says which.
    """
    value = plain(value)
    if value is None:
        return Content()
    if isinstance(value, str):
        return Content(value)
    if isinstance(value, Mapping):
        value = _parts(value)
        if isinstance(value, Content):
            return value
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"has content that is {type(value).__name__}, not text")
    texts: list[str] = []
    thoughts: list[str] = []
    left: Counter[str] = Counter()
    for part in value:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping):
            _read_part(part, texts, thoughts, left)
        elif part is not None:
            raise ValueError(f"has a content part that is {type(part).__name__}")
    return Content("".join(texts) if texts else None, "\n\n".join(filter(None, thoughts)) or None, left)


def _parts(value: Mapping[str, Any]) -> Any:
    """The parts of content that is an object."""
    kind = value.get("content_type")
    if kind is not None:
        if kind in ("text", "multimodal_text"):
            return [part.get("text") if _spoken(part) else part for part in value.get("parts") or []]
        if kind == "code" and isinstance(value.get("text"), str):
            return Content(None, None, Counter({"code given to tools": 1}))
        if kind == "thoughts":
            told = [_thought(one) for one in value.get("thoughts") or [] if isinstance(one, Mapping)]
            return Content(None, "\n\n".join(filter(None, told)) or None)
        return Content(None, None, Counter({f"content of type {kind}": 1}))
    if isinstance(value.get("parts"), (list, tuple)):
        return value["parts"]
    if isinstance(value.get("answer"), str):
        thought = value.get("thought")
        return Content(value["answer"], thought if isinstance(thought, str) else None)
    if not value:
        return Content()
    if set(value) == {"content"}:
        return read_content(value["content"])
    return [value]


def _spoken(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("content_type") == "audio_transcription"


def _thought(one: Mapping[str, Any]) -> str:
    return "\n".join(text for key in ("summary", "content") if isinstance(text := one.get(key), str) and text)


def _read_part(part: Mapping[str, Any], texts: list[str], thoughts: list[str], left: Counter[str]) -> None:
    kind = str(part.get("type") or part.get("content_type") or ("text" if "text" in part else ""))
    if part.get("thought") is True or kind in _REASONING:
        for key in ("thinking", "reasoning", "text", "content", "summary"):
            found = part.get(key)
            if isinstance(found, (list, tuple)):
                found = "\n\n".join(str(one.get("text") or "") for one in found if isinstance(one, Mapping))
            if isinstance(found, str) and found:
                thoughts.append(found)
                return
        return
    if kind in _NOT_TEXT:
        left[f"{kind} parts"] += 1
        return
    if kind == "refusal" and isinstance(part.get("refusal"), str):
        texts.append(part["refusal"])
        return
    for key in ("text", "content", "value"):
        found = part.get(key)
        if isinstance(found, Mapping) and isinstance(found.get("value"), str):
            found = found["value"]  # the Assistants interface: {"text": {"value", "annotations"}}
        if isinstance(found, str):
            texts.append(found)
            return
    left[f"{kind or next(iter(part), 'empty')} parts"] += 1


def without_reasoning_details(text: str) -> tuple[str, str | None]:
    """(text, reasoning) of an answer as Open WebUI stores it, reasoning in `<details type="reasoning">`."""
    found = _DETAILS.findall(text)
    if not found:
        return text, None
    told = []
    for block in found:
        lines = re.sub(r"<summary>.*?</summary>", "", block, flags=re.DOTALL).strip().splitlines()
        told.append("\n".join(re.sub(r"^(?:>|&gt;) ?", "", line) for line in lines))
    return _DETAILS.sub("", text).lstrip(), "\n\n".join(told).strip() or None


def text_or_content(value: Any) -> Content:
    """`read_content` of a value that may be JSON text."""
    return read_content(structured(value))
