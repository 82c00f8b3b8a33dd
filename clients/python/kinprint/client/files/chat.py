"""Chat rows: a list of messages becomes one transcript for each assistant turn.

Messages are `{"role", "content"}` as OpenAI and Anthropic have them, `{"from", "value"}` of ShareGPT, and their
relatives; roles have their usual other names.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kinprint.client.files.content import read_content, without_reasoning_details
from kinprint.client.files.values import plain, read_time, structured
from kinprint.client.identity import derive_conversation_id

_ROLES = {
    "system": ("system", "developer", "system_prompt"),
    "user": ("user", "human", "prompter", "customer", "person", "question", "instruction"),
    "assistant": (
        *("assistant", "gpt", "model", "bot", "ai", "chatbot", "agent", "chatgpt", "bing", "bard", "claude", "gemini"),
        *("llm", "answer", "response"),
    ),
    # What tools are called with and give is no answer.
    "tool": (
        *("tool", "function", "function_call", "function_response", "function-call", "function-response", "ipython"),
        *("tool_call", "tool_response", "tool_calls", "observation", "environment", "tools", "context", "critic"),
    ),
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names}
_ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
_CONTENT_KEYS = ("content", "value", "parts", "text", "message")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "reasoning_text")
_TIME_KEYS = ("created_at", "timestamp", "create_time", "createdAt")
_USED = frozenset((*_ROLE_KEYS, *_CONTENT_KEYS, *_REASONING_KEYS, "refusal", "model", "language", "tool_calls"))


@dataclass(frozen=True, slots=True)
class Turn:
    """An assistant turn: its answer, the last user message before it, and its place among the answers.

    `place` is the message's number; `model`, `language` and `created_at` are what the message itself tells, and
    `extra` whatever else it holds.
    """

    response: str
    prompt: str | None
    system_prompt: str | None
    turn: int
    reasoning: str | None
    conversation_id: str
    place: int = 0
    model: str | None = None
    language: str | None = None
    created_at: datetime | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What stands at the end of the messages (the last user message, the system prompt), and what was left out."""

    prompt: str | None
    system_prompt: str | None
    left: Counter[str] = field(default_factory=Counter)
    messages: int = 0


def role_of(message: Mapping[str, Any]) -> str | None:
    """A message's role: system, user, assistant or tool; None where it names none.

    Raises:
        ValueError: it names one that is not known.
    """
    for key in _ROLE_KEYS:
        value = message.get(key)
        if isinstance(value, Mapping):
            value = value.get("role") or value.get("name")
        if isinstance(value, str) and value:
            known = _ROLE_OF.get(value.strip().lower())
            if known is None:
                raise ValueError(f"the role {value[:40]!r}, which is none of system, user, assistant and tool")
            return known
    return None


def _content_of(message: Mapping[str, Any]) -> Any:
    for key in _CONTENT_KEYS:
        if message.get(key) is not None:
            return message[key]
    return None


def read_messages(value: Any) -> tuple[list[Turn], Context]:
    """Take a conversation apart.

    Args:
        value: a list of messages (or that list as JSON text). `reasoning_content` or `reasoning` beside an
            assistant's content, or thinking parts in it, are its reasoning; a `refusal` stands for absent content.
            Assistant messages without text (calls of tools) and messages of tools are passed over, and counted in
            `Context.left` together with parts that are no text.

    Returns:
        The assistant turns, numbered from 0, each with a conversation id derived from all messages; and the
        context at the end.

    Raises:
        ValueError: not a list of such messages, or one of a role that is not known.
    """
    value = structured(value)
    if isinstance(value, str):
        raise ValueError("messages is text, but not JSON")
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"messages is {type(value).__name__}, not a list")
    prompt: str | None = None
    system_prompt: str | None = None
    answers: list[Turn] = []
    plain_messages: list[tuple[str, str | None]] = []
    left: Counter[str] = Counter()
    for place, message in enumerate(value):
        if not isinstance(message, Mapping):
            raise ValueError(f"message {place} has no role")
        try:
            role = role_of(message)
            content = read_content(_content_of(message))
        except ValueError as error:
            raise ValueError(f"message {place} has {str(error).removeprefix('has ')}") from None
        if role is None:
            raise ValueError(f"message {place} has no role")
        left.update(content.left)
        text = content.text
        # What ids of conversations are derived from stays as it was before refusals were read.
        plain_messages.append((_said_role(message), text))
        if text is None and isinstance(message.get("refusal"), str):
            text = message["refusal"]
        if role == "system":
            system_prompt = text
        elif role == "user":
            # What a tool gave comes back as a user's message, and asks nothing; a picture alone is a question.
            if text is not None or not content.left or not all(_of_tools(kind) for kind in content.left):
                prompt = text
        elif role == "tool":
            left["messages of tools"] += 1
        elif text is None:
            left["assistant messages without text (calls of tools)"] += 1
        else:
            text, told = without_reasoning_details(text)
            beside = next((plain(message.get(k)) for k in _REASONING_KEYS if isinstance(message.get(k), str)), None)
            reasoning = beside or content.reasoning or told
            answers.append(_turn(message, text, prompt, system_prompt, len(answers), reasoning, place))
    conversation_id = derive_conversation_id(json.dumps(plain_messages)) if answers else ""
    turns = [_in_conversation(turn, conversation_id) for turn in answers]
    return turns, Context(prompt, system_prompt, left, len(value))


def _of_tools(kind: str) -> bool:
    return "tool" in kind or "function" in kind


def _said_role(message: Mapping[str, Any]) -> str:
    for key in _ROLE_KEYS:
        if isinstance(message.get(key), str):
            return str(message[key]).lower()
    return role_of(message) or ""


def _turn(
    message: Mapping[str, Any],
    text: str,
    prompt: str | None,
    system_prompt: str | None,
    number: int,
    reasoning: str | None,
    place: int,
) -> Turn:
    created_at, extra = None, {}
    for key, value in message.items():
        value = plain(value)
        if value is None or key in _USED or (isinstance(value, (list, tuple, Mapping)) and not value):
            continue
        if key in _TIME_KEYS and created_at is None:
            try:
                created_at = read_time(value)
                continue
            except ValueError:
                pass
        extra[str(key)] = value
    if message.get("tool_calls"):
        extra["tool_calls"] = message["tool_calls"]
    model, language = plain(message.get("model")), plain(message.get("language"))
    return Turn(
        response=text,
        prompt=prompt,
        system_prompt=system_prompt,
        turn=number,
        reasoning=reasoning,
        conversation_id="",
        place=place,
        model=model if isinstance(model, str) and model else None,
        language=language if isinstance(language, str) else None,
        created_at=created_at,
        extra=extra,
    )


def _in_conversation(turn: Turn, conversation_id: str) -> Turn:
    values = {name: getattr(turn, name) for name in Turn.__dataclass_fields__}
    return Turn(**{**values, "conversation_id": conversation_id})


def looks_like_messages(value: Any, *, keys: Sequence[str] = _ROLE_KEYS) -> bool:
    """Whether a value is a list of messages that name their roles by one of `keys`."""
    value = structured(value)
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(isinstance(one, Mapping) and any(one.get(key) for key in keys) for one in value[:4])
