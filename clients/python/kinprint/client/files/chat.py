"""Chat rows: a list of messages with role and content becomes one transcript for each assistant turn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kinprint.client.identity import derive_conversation_id

_SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Turn:
    """An assistant turn: its answer, the last user message before it, and its place among the answers."""

    response: str
    prompt: str | None
    system_prompt: str | None
    turn: int
    reasoning: str | None
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Context:
    """What stands at the end of the messages: the last user message, and the system prompt."""

    prompt: str | None
    system_prompt: str | None


def read_messages(value: Any) -> tuple[list[Turn], Context]:
    """Take a conversation apart.

    Args:
        value: a list of `{"role", "content"}` (or that list as JSON text); `content` is a string, or a list
            of parts, of which those of type "text" count. `reasoning_content` or `reasoning` beside an
            assistant's content is its reasoning. Assistant messages without text (calls of tools) and
            messages of other roles are passed over.

    Returns:
        The assistant turns, numbered from 0, each with a conversation id derived from all messages; and the
        context at the end.

    Raises:
        ValueError: not a list of such messages.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("messages is text, but not JSON") from None
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"messages is {type(value).__name__}, not a list")
    prompt: str | None = None
    system_prompt: str | None = None
    answers: list[tuple[str, str | None, str | None, str | None]] = []
    plain: list[tuple[str, str | None]] = []
    for place, message in enumerate(value):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ValueError(f"message {place} has no role")
        role: str = message["role"].lower()
        content = _content(message.get("content"), place)
        plain.append((role, content))
        if role in _SYSTEM_ROLES:
            system_prompt = content
        elif role == "user":
            prompt = content
        elif role == "assistant" and content is not None:
            reasoning = message.get("reasoning_content") or message.get("reasoning")
            answers.append((content, prompt, system_prompt, reasoning if isinstance(reasoning, str) else None))
    conversation_id = derive_conversation_id(json.dumps(plain)) if answers else ""
    turns = [
        Turn(response, asked, system, number, reasoning, conversation_id)
        for number, (response, asked, system, reasoning) in enumerate(answers)
    ]
    return turns, Context(prompt, system_prompt)


def _content(value: Any, place: int) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        parts: list[str] = []
        for part in value:
            if isinstance(part, str):
                parts.append(part)
            elif isinstance(part, Mapping):
                text = part.get("text")
                if part.get("type", "text") == "text" and isinstance(text, str):
                    parts.append(text)
            else:
                raise ValueError(f"message {place} has a content part that is {type(part).__name__}")
        return "".join(parts) if parts else None
    raise ValueError(f"message {place} has content that is {type(value).__name__}, not text")
