"""Training sets: alpaca, prompt and completion, question and answer, preferences, and transcripts of two speakers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kinprint.client.files.chat import looks_like_messages, read_messages
from kinprint.client.files.content import read_content
from kinprint.client.files.rows import RowError
from kinprint.client.files.shapes.exchange import Asked, asked_of, columns_beside
from kinprint.client.files.shapes.preset import Raw, Reading, RowPreset
from kinprint.client.files.values import structured

_SPEAKER = re.compile(r"(?:\A|\n\n)[ \t]*(Human|H|User|Assistant|A|System):[ \t]?")
_ROLES = {"Human": "user", "H": "user", "User": "user", "Assistant": "assistant", "A": "assistant", "System": "system"}
_TRANSCRIPT_COLUMNS = ("transcript", "text", "conversation", "dialogue", "dialog", "chat", "sample")


def transcript_messages(text: str) -> list[dict[str, str]] | None:
    """The messages of "\\n\\nHuman: ...\\n\\nAssistant: ..."; None where the text is none."""
    found = list(_SPEAKER.finditer(text))
    if not found or text[: found[0].start()].strip():
        return None
    roles = [_ROLES[match.group(1)] for match in found]
    if "assistant" not in roles or "user" not in roles:
        return None
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [
        {"role": role, "content": text[match.end() : end].strip()}
        for role, match, end in zip(roles, found, ends, strict=True)
    ]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _alpaca_test(raw: Raw) -> float:
    if not isinstance(raw.get("instruction"), str) or raw.get("prompt") is not None:
        return 0.0
    answer = raw.get("output") if raw.get("output") is not None else raw.get("response")
    return 0.95 if isinstance(answer, str) else 0.0


def _alpaca(reading: Reading) -> list[dict[str, Any]]:
    answer = reading.first("response", ("output",), ("response",))
    if not isinstance(answer, str):
        raise RowError("MISSING_RESPONSE", "the row has no output")
    prompt = str(reading.take("prompt", "instruction") or "")
    given = reading.first("prompt (after the instruction)", ("input",), ("context",))
    if isinstance(given, str) and given.strip():
        prompt = f"{prompt}\n\n{given}" if prompt else given
    row = {
        "response": answer,
        "prompt": prompt or None,
        "system_prompt": reading.first("system_prompt", ("system_prompt",), ("system",)),
        "model": reading.first("model", ("model",), ("generator",), ("model_name",)),
    }
    rows = _history(reading)
    if rows:
        row["turn"] = len(rows)
    return [*rows, columns_beside(reading, row)]


def _history(reading: Reading) -> list[dict[str, Any]]:
    """Earlier turns of an alpaca row: pairs of question and answer."""
    history = structured(reading.get("history"))
    if not isinstance(history, (list, tuple)) or not all(
        isinstance(one, (list, tuple)) and len(one) == 2 for one in history
    ):
        return []
    if history:
        reading.take("prompt, response, turn (one row for each pair)", "history")
    model = reading.get("model")
    return [
        {"prompt": asked, "response": said, "turn": number, "model": model if isinstance(model, str) else None}
        for number, (asked, said) in enumerate(history)
    ]


#: Pairs of columns that hold what was asked and what was answered, and how sure they make.
_COMPLETIONS = (
    ("prompt", "completion", 0.9),
    ("text_input", "output", 0.88),
    ("input_text", "output_text", 0.88),
    ("input", "output", 0.8),
)


def _completion_pair(raw: Raw) -> tuple[str, str, float] | None:
    if raw.get("response") is not None or raw.get("instruction") is not None:
        return None
    for asked, said, sure in _COMPLETIONS:
        answer = structured(raw.get(said))
        if raw.get(asked) is None or answer is None:
            continue
        texts = isinstance(raw[asked], str) and isinstance(answer, str)
        if texts or (asked == "prompt" and (isinstance(answer, str) or looks_like_messages(answer))):
            return asked, said, sure
    return None


def _completion_test(raw: Raw) -> float:
    found = _completion_pair(raw)
    return 0.0 if found is None else found[2]


def _completion(reading: Reading) -> list[dict[str, Any]]:
    found = _completion_pair(reading.raw)
    if found is None:
        raise RowError("MISSING_RESPONSE", "the row has no completion")
    asked = _asked_in(reading, reading.take("prompt", found[0]))
    text, reasoning = _answer_in(reading, reading.take("response", found[1]))
    return [_row(reading, asked, text, reasoning)]


def _asked_in(reading: Reading, value: Any) -> Asked:
    """What a prompt asks: the last question where it is a transcript that the answer goes on."""
    messages = transcript_messages(value) if isinstance(value, str) else None
    return asked_of(value if messages is None else messages, reading.left)


def _answer_in(reading: Reading, value: Any) -> tuple[str, str | None]:
    """An answer as text, or as the last assistant message of some."""
    value = structured(value)
    try:
        if looks_like_messages(value):
            turns, context = read_messages(value)
            reading.left.update(context.left)
            if not turns:
                raise RowError("NO_ASSISTANT_TURN", "the messages hold no assistant turn with text")
            return turns[-1].response, turns[-1].reasoning
        content = read_content(value)
    except ValueError as error:
        raise RowError("ANSWER_INVALID", f"the answer {error}") from None
    if content.text is None:
        raise RowError("MISSING_RESPONSE", "the row has no answer")
    return content.text, content.reasoning


def _row(reading: Reading, asked: Asked, text: str, reasoning: str | None) -> dict[str, Any]:
    row = {
        "response": text,
        "reasoning": reasoning,
        "prompt": asked.prompt,
        "system_prompt": asked.system_prompt or reading.take("system_prompt", "system"),
        "model": reading.first("model", ("model",), ("model_name",), ("generator",)),
    }
    return columns_beside(reading, row)


_QUESTIONS = (("question",), ("query",), ("Question",), ("q",))
_ANSWERS = (("answer",), ("answers",), ("Answer",), ("a",), ("best_answer",))


def _question_test(raw: Raw) -> float:
    if raw.get("response") is not None or not any(_is_text(raw.get(path[0])) for path in _QUESTIONS):
        return 0.0
    answer = next((value for path in _ANSWERS if (value := structured(raw.get(path[0]))) is not None), None)
    return 0.85 if isinstance(answer, str) or _squad(answer) is not None else 0.0


def _squad(value: Any) -> list[str] | None:
    """The texts of answers as SQuAD has them, or as a plain list."""
    if isinstance(value, Mapping):
        value = value.get("text") if "text" in value else value.get("value")
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, str) for one in value):
        return list(value)
    return None


def _question(reading: Reading) -> list[dict[str, Any]]:
    prompt = str(reading.first("prompt", *_QUESTIONS) or "")
    context = reading.take("prompt (before the question)", "context")
    if isinstance(context, str) and context.strip():
        prompt = f"{context}\n\n{prompt}"
    answer = structured(reading.first("response", *_ANSWERS))
    texts = [answer] if isinstance(answer, str) else _squad(answer)
    if not texts:
        raise RowError("MISSING_RESPONSE", "the row has no answer")
    if isinstance(answer, Mapping):
        reading.left["places of answers in their context"] += 1
    return [_row(reading, Asked(prompt), text, None) for text in dict.fromkeys(texts)]


#: Names of the preferred answer and of the other, and of what stands beside them.
_PAIRS = (
    ("chosen", "rejected"),
    ("preferred_output", "non_preferred_output"),
    ("preferred", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("answer_chosen", "answer_rejected"),
    ("response_j", "response_k"),
    ("win", "lose"),
)
_ASKED = (("prompt",), ("question",), ("instruction",), ("query",), ("input",), ("messages",), ("history",))


def _pair_of(raw: Raw) -> tuple[str, str] | None:
    for pair in _PAIRS:
        if all(raw.get(name) not in (None, "") for name in pair):
            return pair
    return None


def _preference_test(raw: Raw) -> float:
    return 0.97 if _pair_of(raw) is not None else 0.0


def _preference(reading: Reading) -> list[dict[str, Any]]:
    pair = _pair_of(reading.raw)
    if pair is None:
        raise RowError("MISSING_RESPONSE", "the row lacks one of its two answers")
    asked = _asked_in(reading, reading.first("prompt, system_prompt", *_ASKED))
    common = {"system_prompt": reading.first("system_prompt", ("system_prompt",), ("system",))}
    common = columns_beside(reading, common)
    rows: list[dict[str, Any]] = []
    for name, kind in zip(pair, ("chosen", "rejected"), strict=True):
        value = structured(reading.take(f"response (metadata preference={kind})", name))
        context, text, reasoning, before = _told(reading, value)
        if kind == "chosen" and before:
            reading.left["earlier answers of conversations whose last answers are compared"] += before
        metadata = {"preference": kind}
        for word in dict.fromkeys((name, kind)):
            for stem in ("score", "rating"):
                for key in (f"{stem}_{word}", f"{word}_{stem}", f"{word}-{stem}"):
                    if (value := reading.take(f"metadata ({stem})", key)) is not None:
                        metadata[stem] = value
        models = [
            (key,)
            for word in dict.fromkeys((name, kind))
            for key in (f"{word}_model", f"{word}-model", f"model_{word}")
        ]
        row = {
            **common,
            "response": text,
            "reasoning": reasoning,
            "prompt": asked.prompt if asked.prompt is not None else context.prompt,
            "system_prompt": common.get("system_prompt") or asked.system_prompt or context.system_prompt,
            "metadata": metadata,
        }
        model = reading.first("model", *models)
        if model is not None:
            row["model"] = model
        rows.append(row)
    return rows


def _told(reading: Reading, value: Any) -> tuple[Asked, str, str | None, int]:
    """(what was asked, answer, reasoning, number of answers before it) of a text, transcript or list of messages."""
    if isinstance(value, str):
        messages = transcript_messages(value)
        if messages is None:
            return Asked(), value, None, 0
        value = messages
    if looks_like_messages(value):
        try:
            turns, context = read_messages(value)
        except ValueError as error:
            raise RowError("MESSAGES_INVALID", str(error)) from None
        reading.left.update(context.left)
        if not turns:
            raise RowError("NO_ASSISTANT_TURN", "the messages hold no assistant turn with text")
        last = turns[-1]
        return Asked(last.prompt, last.system_prompt), last.response, last.reasoning, len(turns) - 1
    text, reasoning = _answer_in(reading, value)
    return Asked(), text, reasoning, 0


def _transcript_column(raw: Raw) -> str | None:
    if raw.get("response") is not None:
        return None
    for name in (*_TRANSCRIPT_COLUMNS, "chosen"):
        value = raw.get(name)
        if isinstance(value, str) and transcript_messages(value) is not None:
            return name
    return None


def _transcript_test(raw: Raw) -> float:
    return 0.0 if _transcript_column(raw) is None else 0.93


def _transcript(reading: Reading) -> list[dict[str, Any]]:
    name = _transcript_column(reading.raw)
    if name is None:
        raise RowError("NO_ASSISTANT_TURN", "the text is no transcript of Human and Assistant")
    text = reading.take("prompt, response, turn (one row for each turn of the assistant)", name)
    return [columns_beside(reading, {"messages": transcript_messages(text)})]


PRESETS = (
    RowPreset("alpaca", "alpaca rows: instruction, input, output", _alpaca_test, _alpaca),
    RowPreset("prompt-completion", "prompt and completion", _completion_test, _completion),
    RowPreset("question-answer", "question and answer", _question_test, _question),
    RowPreset("preference", "two answers, chosen and rejected", _preference_test, _preference),
    RowPreset("transcripts", 'transcripts of "Human:" and "Assistant:"', _transcript_test, _transcript),
)
