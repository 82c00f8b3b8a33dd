"""Requests to models and what they answered, as the interfaces of providers have them: all logs are made of these.

`asked_at` takes a request's body apart and `answers_at` a response's, whichever provider's they are: OpenAI's
chat completions, completions and responses, Anthropic's messages, Gemini's contents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kinprint.client.files.chat import looks_like_messages, read_messages
from kinprint.client.files.content import read_content, without_reasoning_details
from kinprint.client.files.rows import RowError
from kinprint.client.files.shapes.preset import Raw, Reading
from kinprint.client.files.values import structured


@dataclass(slots=True)
class Answer:
    """One answer: its text and reasoning, and what else was told of it."""

    text: str
    reasoning: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Asked:
    """What was asked: the last question and the system prompt."""

    prompt: str | None = None
    system_prompt: str | None = None


def is_response(body: Any) -> str | None:
    """Which interface answers like this: "completions", "responses", "anthropic", "gemini"; None: none."""
    body = structured(body)
    if not isinstance(body, Mapping):
        return None
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, (list, tuple)) and choices else None
    if isinstance(choice, Mapping) and ("message" in choice or "text" in choice):
        return "completions"
    output = body.get("output")
    if isinstance(output, (list, tuple)) and (
        body.get("object") == "response"
        or any(isinstance(item, Mapping) and item.get("type") in ("message", "reasoning") for item in output)
    ):
        return "responses"
    if isinstance(body.get("content"), (list, tuple)) and (
        body.get("type") == "message" or (body.get("role") == "assistant" and "stop_reason" in body)
    ):
        return "anthropic"
    candidates = body.get("candidates")
    if isinstance(candidates, (list, tuple)) and any(isinstance(one, Mapping) for one in candidates):
        return "gemini"
    return None


def is_request(body: Any) -> str | None:
    """Which interface is asked like this; None: none."""
    body = structured(body)
    if not isinstance(body, Mapping):
        return None
    if looks_like_messages(body.get("messages")):
        return "messages"
    if isinstance(body.get("contents"), (list, tuple, str, Mapping)):
        return "gemini"
    if "input" in body and ("model" in body or "instructions" in body):
        return "responses"
    if isinstance(body.get("prompt"), str):
        return "prompt"
    return None


def answers_at(reading: Reading, *path: Any) -> list[Answer]:
    """The answers of the response at a path of a row; empty where they are no text (calls of tools).

    Raises:
        RowError: something is there that cannot be read.
    """
    kind = is_response(reading.get(*path) if path else reading.raw)
    if kind is None:
        return []
    try:
        return _READERS[kind](reading, path)
    except ValueError as error:
        raise RowError("ANSWER_INVALID", f"the answer {error}") from None


def _choices(reading: Reading, path: tuple[Any, ...]) -> list[Answer]:
    found: list[Answer] = []
    for choice in reading.take("response", *path, "choices"):
        if not isinstance(choice, Mapping):
            continue
        extra = {"finish_reason": choice["finish_reason"]} if choice.get("finish_reason") else {}
        message = choice.get("message")
        if not isinstance(message, Mapping):
            text = choice.get("text")
            if isinstance(text, str):
                found.append(Answer(text, None, extra))
            continue
        answer = _of_message(message, reading.left)
        if answer is not None:
            answer.extra |= extra
            if choice.get("logprobs") is not None:
                reading.left["logprobs of answers"] += 1
            found.append(answer)
    if len(found) > 1:
        for number, answer in enumerate(found):
            answer.extra["choice"] = number
    return found


def _of_message(message: Mapping[str, Any], left: Counter[str]) -> Answer | None:
    """The answer in an assistant's message; None where it has no text."""
    content = read_content(message.get("content"))
    left.update(content.left)
    text, extra = content.text, {}
    if isinstance(message.get("refusal"), str) and not text:
        text, extra = message["refusal"], {"refusal": True}
    if message.get("tool_calls"):
        if text is None:
            left["answers without text (calls of tools)"] += 1
        else:
            extra["tool_calls"] = message["tool_calls"]
    if text is None:
        return None
    text, told = without_reasoning_details(text)
    beside = next((message[key] for key in ("reasoning_content", "reasoning", "thinking") if message.get(key)), None)
    if not isinstance(beside, str):
        beside = None
    return Answer(text, beside or content.reasoning or told, extra)


def _items(reading: Reading, path: tuple[Any, ...]) -> list[Answer]:
    texts: list[str] = []
    thoughts: list[str] = []
    for item in reading.take("response, reasoning", *path, "output"):
        if not isinstance(item, Mapping):
            continue
        kind = item.get("type") or "message"
        if kind == "reasoning":
            for key in ("summary", "content"):
                told = read_content(
                    [{**one, "type": "text"} for one in item.get(key) or [] if isinstance(one, Mapping)]
                )
                if told.text:
                    thoughts.append(told.text)
        elif kind == "message" and item.get("role", "assistant") == "assistant":
            content = read_content(item.get("content"))
            reading.left.update(content.left)
            if content.text is not None:
                texts.append(content.text)
        elif kind != "message":
            reading.left[f"output items of type {kind}"] += 1
    reading.skip("the same as output", *path, "output_text")
    return [Answer("\n\n".join(texts), "\n\n".join(thoughts) or None)] if texts else []


def _blocks(reading: Reading, path: tuple[Any, ...]) -> list[Answer]:
    content = read_content(reading.take("response, reasoning", *path, "content"))
    reading.left.update(content.left)
    if content.text is None:
        reading.left["answers without text (calls of tools)"] += 1
        return []
    for key in ("type", "role"):
        reading.take("response (its kind)", *path, key)
    return [Answer(content.text, content.reasoning)]


def _candidates(reading: Reading, path: tuple[Any, ...]) -> list[Answer]:
    found: list[Answer] = []
    for candidate in reading.take("response, reasoning", *path, "candidates"):
        if not isinstance(candidate, Mapping):
            continue
        content = read_content(candidate.get("content"))
        reading.left.update(content.left)
        reason = candidate.get("finishReason") or candidate.get("finish_reason")
        if content.text is None:
            reading.left[f"answers without text ({reason or 'calls of tools'})"] += 1
            continue
        found.append(Answer(content.text, content.reasoning, {"finish_reason": reason} if reason else {}))
    if len(found) > 1:
        for number, answer in enumerate(found):
            answer.extra["choice"] = number
    return found


_READERS = {
    "completions": _choices,
    "responses": _items,
    "anthropic": _blocks,
    "gemini": _candidates,
}


def asked_at(reading: Reading, *path: Any) -> Asked:
    """What the request at a path of a row asks; an empty one where nothing does.

    Raises:
        RowError: its messages cannot be read.
    """
    body = structured(reading.get(*path)) if path else reading.raw
    if isinstance(body, (list, tuple, str)):
        reading.take("prompt" if isinstance(body, str) else "prompt, system_prompt", *path)
        return asked_of(body, reading.left)
    kind = is_request(body)
    asked = Asked()
    if kind == "messages":
        asked = asked_of(reading.take("prompt, system_prompt", *path, "messages"), reading.left)
    elif kind == "gemini":
        asked = asked_of(reading.take("prompt", *path, "contents"), reading.left)
        for key in ("systemInstruction", "system_instruction"):
            asked.system_prompt = text_at(reading, "system_prompt", *path, key) or asked.system_prompt
    elif kind == "responses":
        asked = asked_of(reading.take("prompt, system_prompt", *path, "input"), reading.left)
    elif kind == "prompt":
        asked.prompt = reading.take("prompt", *path, "prompt")
    asked.system_prompt = _instructions_at(reading, path) or asked.system_prompt
    return asked


def _instructions_at(reading: Reading, path: tuple[Any, ...]) -> str | None:
    """The system prompt that stands beside the messages, at a path of a row."""
    for key in ("system", "instructions", "system_prompt"):
        given = reading.get(*path, key)
        if isinstance(given, (str, list, Mapping)) and given:
            reading.take("system_prompt", *path, key)
            return _text(given, reading.left)
    return None


def text_at(reading: Reading, home: str, *path: Any) -> str | None:
    """The text of the content at a path of a row, which goes to `home`; None where there is none.

    Raises:
        RowError: it cannot be read.
    """
    return _text(reading.take(home, *path), reading.left)


def _text(value: Any, left: Counter[str]) -> str | None:
    if value is None:
        return None
    try:
        if looks_like_messages(value):
            return asked_of(value, left).system_prompt
        return read_content(structured(value)).text
    except ValueError as error:
        raise RowError("SYSTEM_PROMPT_NOT_TEXT", f"the system prompt {error}") from None


def asked_of(value: Any, left: Counter[str]) -> Asked:
    """What messages, items of the Responses interface, contents of Gemini, or a text ask.

    Raises:
        RowError: they cannot be read.
    """
    value = structured(value)
    if value is None:
        return Asked()
    if isinstance(value, str):
        return Asked(value)
    if isinstance(value, Mapping):
        if "messages" in value:
            return asked_of(value["messages"], left)
        value = [value]
    if all(isinstance(one, str) for one in value):
        return Asked("\n\n".join(value) or None)
    try:
        _, context = read_messages([_message(one) for one in value if _message(one) is not None])
    except ValueError as error:
        raise RowError("MESSAGES_INVALID", str(error)) from None
    left.update(context.left)
    return Asked(context.prompt, context.system_prompt)


def _message(item: Any) -> Any:
    """A message of what may be an item: calls and results of tools are none, contents without a role the user's."""
    if not isinstance(item, Mapping):
        return {"role": "user", "content": item}
    if item.get("role") or item.get("from"):
        return item
    if item.get("type") in (None, "message") or "parts" in item:
        return {"role": "user", **item}
    return None


def exchange_rows(reading: Reading, answers: Sequence[Answer], asked: Asked, **fields: Any) -> list[dict[str, Any]]:
    """A row for each answer, with what was asked and further columns."""
    return [
        {
            "response": answer.text,
            "reasoning": answer.reasoning,
            "prompt": asked.prompt,
            "system_prompt": asked.system_prompt,
            **{name: value for name, value in fields.items() if value not in (None, "")},
            "metadata": {**(fields.get("metadata") or {}), **answer.extra},
        }
        for answer in answers
    ]


#: Where logs keep the two sides of an exchange, beside a response at the top.
REQUESTS = (("request", "body"), ("request",), ("request_body",), ("body",), ("input",), ("prompt",), ())
RESPONSES = (("response", "body"), ("response",), ("response_body",), ("completion",), ("output",), ("body",), ())


def response_path(raw: Raw, *kinds: str) -> tuple[str, ...] | None:
    """Where a row has a response of one of the interfaces; None: nowhere."""
    reading = Reading(raw)
    for path in RESPONSES:
        if is_response(reading.get(*path) if path else raw) in kinds:
            return path
    return None


def request_path(raw: Raw, response: tuple[str, ...]) -> tuple[str, ...] | None:
    """Where a row has the request; None: nowhere."""
    reading = Reading(raw)
    for path in REQUESTS:
        if path and path == response:
            continue
        value = structured(reading.get(*path)) if path else raw
        if is_request(value) is not None:
            return path
        if path in (("input",), ("prompt",), ("request",)) and (
            looks_like_messages(value) or (isinstance(value, str) and value)
        ):
            return path
    return None


def read_exchange(reading: Reading) -> list[dict[str, Any]]:
    """The rows of a logged request and response, or of a response alone, whichever provider's: logs mix them.

    Raises:
        RowError: there is no response, or none with text.
    """
    where = response_path(reading.raw, *_READERS)
    if where is None:
        problem = error_of(reading)
        raise RowError("NO_ANSWER", f"no answer in this row{problem}")
    asking = request_path(reading.raw, where)
    answers = answers_at(reading, *where)
    asked = asked_at(reading, *(where if asking is None else asking))
    for path in ((), where):
        if not asked.system_prompt:
            asked.system_prompt = _instructions_at(reading, path)
    if not answers:
        raise RowError("NO_ANSWER", f"the answer holds no text{held(reading)}")
    return exchange_rows(
        reading,
        answers,
        asked,
        model=reading.first(
            "model", (*where, "model"), (*where, "modelVersion"), ("model",), (*(asking or ()), "model")
        ),
        created_at=reading.first(
            "created_at",
            (*where, "created"),
            (*where, "created_at"),
            (*where, "createTime"),
            ("created_at",),
            ("timestamp",),
            ("time",),
        ),
        account_id=reading.first("account_id", ("account_id",), ("user",), (*(asking or ()), "user"), (*where, "user")),
        conversation_id=reading.first(
            "conversation_id", ("conversation_id",), ("session_id",), (*where, "conversation", "id")
        ),
        prompt_id=reading.first("prompt_id", ("prompt_id",), ("custom_id",), ("key",)),
        language=reading.first("language", ("language",)),
        transcript_id=reading.first("transcript_id", ("transcript_id",)),
    )


def held(reading: Reading) -> str:
    """What a row held in place of text, for a message."""
    return f": {', '.join(reading.left)}" if reading.left else ""


def error_of(reading: Reading) -> str:
    """What a row says why there is no answer, for a message."""
    for path in (("error",), ("response", "error"), ("response", "body", "error"), ("result", "error"), ("error_str",)):
        found = reading.get(*path)
        while isinstance(found, Mapping):
            found = next((found[key] for key in ("error", "message", "code", "type") if found.get(key)), None)
        if found:
            return f": {str(found)[:120]}"
    return ""


#: Columns of a chat row that keep their meaning beside the messages.
_BESIDE = ("model", "language", "account_id", "created_at", "conversation_id", "prompt_id", "system_prompt")


def columns_beside(reading: Reading, row: dict[str, Any]) -> dict[str, Any]:
    """A row with the project's own columns as they stand beside; `id` names the conversation of chat rows."""
    for name in (*_BESIDE, "transcript_id"):
        if row.get(name) in (None, ""):
            value = reading.take(name, name)
            if value not in (None, ""):
                row[name] = value
    if "messages" in row and row.get("conversation_id") is None and row.get("transcript_id") is None:
        row["conversation_id"] = reading.take("conversation_id", "id")
    return row
