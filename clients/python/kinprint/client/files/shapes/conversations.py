"""Published sets of conversations: ShareGPT, LMSYS, WildChat, MT-Bench and the arenas of two models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinprint.client.files.chat import looks_like_messages, read_messages
from kinprint.client.files.content import read_content
from kinprint.client.files.rows import RowError
from kinprint.client.files.shapes.exchange import columns_beside
from kinprint.client.files.shapes.preset import Raw, Reading, RowPreset
from kinprint.client.files.values import structured

_TURNS = "prompt, response, system_prompt, turn (one row for each assistant turn)"


def _sharegpt_test(raw: Raw) -> float:
    for key in ("conversations", "conversation", "messages", "items"):
        if looks_like_messages(raw.get(key), keys=("from",)):
            return 0.9
    return 0.7 if looks_like_messages(raw.get("conversations")) else 0.0


def _sharegpt(reading: Reading) -> list[dict[str, Any]]:
    for key in ("conversations", "conversation", "messages", "items"):
        if looks_like_messages(reading.get(key)):
            reading.take(_TURNS, key)
            row = {"messages": reading.get(key), "system_prompt": reading.take("system_prompt", "system")}
            return [columns_beside(reading, row)]
    raise RowError("MESSAGES_INVALID", "the row has no conversations of from and value")


def _conversation_of(raw: Raw) -> bool:
    return looks_like_messages(raw.get("conversation"), keys=("role",))


def _lmsys_test(raw: Raw) -> float:
    if not _conversation_of(raw) or "conversation_hash" in raw:
        return 0.0
    return 0.9 if "model" in raw or "conversation_id" in raw else 0.75


def _lmsys(reading: Reading) -> list[dict[str, Any]]:
    reading.take(_TURNS, "conversation")
    return [columns_beside(reading, {"messages": reading.get("conversation")})]


def _wildchat_test(raw: Raw) -> float:
    return 1.0 if _conversation_of(raw) and "conversation_hash" in raw else 0.0


def _wildchat(reading: Reading) -> list[dict[str, Any]]:
    reading.take(_TURNS, "conversation")
    row = {
        "messages": reading.get("conversation"),
        "conversation_id": reading.take("conversation_id", "conversation_hash"),
        "created_at": reading.take("created_at (of the conversation, where a message has none)", "timestamp"),
        "account_id": reading.first("account_id", ("account_id",), ("hashed_ip",)),
    }
    return [columns_beside(reading, row)]


def _arena_test(raw: Raw) -> float:
    if raw.get("model_a") is None or raw.get("model_b") is None:
        return 0.0
    if looks_like_messages(raw.get("conversation_a")) and looks_like_messages(raw.get("conversation_b")):
        return 1.0
    return 0.95 if raw.get("response_a") is not None and raw.get("response_b") is not None else 0.0


def _arena(reading: Reading) -> list[dict[str, Any]]:
    common = {
        "created_at": reading.first("created_at", ("created_at",), ("tstamp",), ("timestamp",)),
        "language": reading.take("language", "language"),
        "account_id": reading.first("account_id", ("account_id",), ("judge",), ("user_id",)),
        "prompt_id": reading.first("prompt_id (of the first turn)", ("prompt_id",), ("question_id",)),
    }
    reading.skip("it holds both conversations again", "full_conversation")
    battle = reading.first(
        "conversation_id (with -a and -b)", ("conversation_id",), ("id",), ("evaluation_session_id",)
    )
    rows: list[dict[str, Any]] = []
    asked = _texts(reading.take("prompt", "prompt"))
    for side in ("a", "b"):
        name = f"conversation_{side}" if reading.get(f"conversation_{side}") is not None else f"response_{side}"
        said = reading.take("response (one row for each of its turns)", name)
        if name.startswith("response"):
            said = _paired(asked, _texts(said))
        row = {
            **common,
            "messages": said,
            "model": reading.take("model", f"model_{side}"),
            "metadata": {"side": side},
        }
        if battle is not None:
            row["conversation_id"] = f"{battle}-{side}"
        rows.append(row)
    return rows


def _texts(value: Any) -> list[str | None]:
    """The turns of a column that holds one text, or a list of them as JSON."""
    value = structured(value)
    if value is None:
        return []
    return (
        [one if isinstance(one, str) else None for one in value] if isinstance(value, (list, tuple)) else [str(value)]
    )


def _paired(asked: list[str | None], said: list[str | None]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for number, answer in enumerate(said):
        if number < len(asked):
            messages.append({"role": "user", "content": asked[number]})
        messages.append({"role": "assistant", "content": answer})
    return messages


def _mtbench_test(raw: Raw) -> float:
    choices = structured(raw.get("choices"))
    if not isinstance(choices, (list, tuple)) or not choices or not isinstance(choices[0], Mapping):
        return 0.0
    return 1.0 if isinstance(choices[0].get("turns"), (list, tuple)) else 0.0


def _mtbench(reading: Reading) -> list[dict[str, Any]]:
    choices = structured(reading.take("response (one row for each turn of each choice)", "choices"))
    question = reading.take("prompt_id (of later turns with -2, -3 ...)", "question_id")
    model = reading.first("model", ("model_id",), ("model",))
    created_at = reading.first("created_at", ("tstamp",), ("created_at",))
    answer = reading.take("conversation_id", "answer_id")
    rows: list[dict[str, Any]] = []
    for place, choice in enumerate(choices):
        for number, turn in enumerate(choice.get("turns") or []):
            try:
                content = read_content(turn)
            except ValueError as error:
                raise RowError("ANSWER_INVALID", f"turn {number} {error}") from None
            if content.text is None:
                continue
            row: dict[str, Any] = {"response": content.text, "reasoning": content.reasoning, "turn": number}
            row |= {"model": model, "created_at": created_at}
            if question is not None:
                row["prompt_id"] = f"{question}" if number == 0 else f"{question}-{number + 1}"
            if answer is not None:
                row["conversation_id"] = str(answer) if len(choices) == 1 else f"{answer}-{place}"
            if len(choices) > 1:
                row["metadata"] = {"choice": choice.get("index", place)}
            rows.append(row)
    return rows


def _arena_hard_test(raw: Raw) -> float:
    return 0.97 if "uid" in raw and "ans_id" in raw and looks_like_messages(raw.get("messages")) else 0.0


def _arena_hard(reading: Reading) -> list[dict[str, Any]]:
    messages = reading.take(_TURNS, "messages")
    try:
        turns, context = read_messages(messages)
    except ValueError as error:
        raise RowError("MESSAGES_INVALID", str(error)) from None
    reading.left.update(context.left)
    row = {
        "messages": messages,
        "prompt_id": reading.take("prompt_id (of the first turn)", "uid"),
        "conversation_id": reading.take("conversation_id", "ans_id"),
        "created_at": reading.take("created_at", "tstamp"),
    }
    return [columns_beside(reading, row)] if turns else []


PRESETS = (
    RowPreset("sharegpt", "ShareGPT conversations of from and value", _sharegpt_test, _sharegpt),
    RowPreset("lmsys", "LMSYS conversations", _lmsys_test, _lmsys),
    RowPreset("wildchat", "WildChat conversations", _wildchat_test, _wildchat),
    RowPreset("arena", "arena battles: two models answer one user", _arena_test, _arena),
    RowPreset("mt-bench", "MT-Bench answers: turns of choices", _mtbench_test, _mtbench),
    RowPreset("arena-hard", "Arena-Hard answers", _arena_hard_test, _arena_hard),
)
