"""OpenTelemetry's conventions for generative models: spans and events, as JSON a line or as OTLP's batches.

Read are operations that hold what was asked and answered: attributes `gen_ai.input.messages`, `gen_ai.output.messages`
and `gen_ai.system_instructions` of spans or of the event `gen_ai.client.inference.operation.details`; the older events
`gen_ai.user.message`, `gen_ai.choice` ... of one span, when the span holds them or one record lists them; and the
numbered attributes `gen_ai.prompt.0.content`, `gen_ai.completion.0.content`. Events of one operation that stand in
lines of their own are put together (`Otel`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kinprint.client.files.chat import read_messages
from kinprint.client.files.content import read_content
from kinprint.client.files.rows import RowError
from kinprint.client.files.shapes.exchange import Answer, Asked, asked_of, exchange_rows
from kinprint.client.files.shapes.preset import Raw, Reading, RowPreset, Shaped, inner_rows
from kinprint.client.files.values import plain, structured

_NUMBERED = re.compile(r"gen_ai\.(prompt|completion)\.(\d+)\.(\w+)")
_ROLE_OF_EVENT = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
#: OTLP's batches: of what, by which scope, and the records in it.
_BATCHES = (
    ("resourceSpans", "scopeSpans", "spans"),
    ("resourceLogs", "scopeLogs", "logRecords"),
    ("resource_spans", "scope_spans", "spans"),
    ("resource_logs", "scope_logs", "log_records"),
)
_INPUT = ("gen_ai.input.messages", "gen_ai.prompt", "input.messages", "gen_ai.request.messages")
_OUTPUT = ("gen_ai.output.messages", "gen_ai.completion", "gen_ai.response.messages")
_ACCOUNTS = ("enduser.id", "user.id", "gen_ai.request.user", "gen_ai.user.id")


def any_value(value: Any) -> Any:
    """A value of OTLP's JSON as Python has it; others as they are."""
    if isinstance(value, Mapping) and len(value) == 1:
        kind, inner = next(iter(value.items()))
        if kind in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
            return inner
        if kind == "intValue":
            return int(inner)
        if kind == "arrayValue":
            return [any_value(one) for one in inner.get("values") or []]
        if kind == "kvlistValue":
            return {one.get("key"): any_value(one.get("value")) for one in inner.get("values") or []}
    return value


def attributes_of(record: Any) -> dict[str, Any]:
    """Attributes of a span or event by name, whether they are a mapping, nested, or OTLP's list of key and value."""
    found = structured(record.get("attributes")) if isinstance(record, Mapping) else None
    if isinstance(found, (list, tuple)):
        return {
            str(one["key"]): any_value(one.get("value")) for one in found if isinstance(one, Mapping) and "key" in one
        }
    if not isinstance(found, Mapping):
        return {}
    flat: dict[str, Any] = {}
    for key, value in found.items():
        if key == "gen_ai" and isinstance(value, Mapping):
            flat |= {f"gen_ai.{name}": one for name, one in _flat(value).items()}
        else:
            flat[str(key)] = any_value(plain(value))
    return flat


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, one in value.items():
        name = f"{prefix}{key}"
        if isinstance(one, Mapping):
            flat |= _flat(one, f"{name}.")
        else:
            flat[name] = one
    return flat


def event_name(record: Raw) -> str:
    """Name of an event or log record; "" for none."""
    attributes = attributes_of(record)
    for found in (
        record.get("event_name"),
        record.get("eventName"),
        record.get("EventName"),
        attributes.get("event.name"),
    ):
        if isinstance(found, str) and found:
            return found
    name = record.get("name")
    return name if isinstance(name, str) else ""


def body_of(record: Raw) -> dict[str, Any]:
    """What an event says: its body, or its attributes where it has none."""
    for key in ("body", "Body", "event_data"):
        found = any_value(structured(record.get(key)))
        if isinstance(found, Mapping):
            return dict(found)
    attributes = {key: structured(value) for key, value in attributes_of(record).items()}
    return {
        **{key: value for key, value in record.items() if key in ("content", "message", "role", "finish_reason")},
        **attributes,
    }


def is_message_event(record: Any) -> bool:
    """Whether it is one of the events that each hold one message."""
    return isinstance(record, Mapping) and event_name(record) in _ROLE_OF_EVENT


def operations(raw: Raw) -> list[Raw]:
    """The spans and log records of a row: itself, or those in an OTLP batch."""
    found: list[Raw] = []
    for outer, middle, inner in _BATCHES:
        for batch in structured(raw.get(outer)) or []:
            whose = {"resource": batch["resource"]} if batch.get("resource") else {}
            for scope in batch.get(middle) or []:
                found += [{**one, **whose} for one in scope.get(inner) or [] if isinstance(one, Mapping)]
    return found or [raw]


def _events(record: Raw) -> list[Mapping[str, Any]]:
    found = structured(record.get("events") or record.get("Events"))
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, (list, tuple)) else []


def _otel_test(raw: Raw) -> float:
    if any(outer in raw for outer, *_ in _BATCHES):
        return 1.0
    if any(key.startswith("gen_ai.") for key in attributes_of(raw)) or is_message_event(raw):
        return 1.0
    if any(str(key).startswith("gen_ai.") for key in raw):
        return 0.95
    return 0.9 if any(event_name(one).startswith("gen_ai.") for one in _events(raw)) else 0.0


def _otel(reading: Reading) -> list[dict[str, Any]]:
    records = operations(reading.raw)
    if len(records) == 1 and records[0] is reading.raw:
        return _operation(reading)
    rows: list[dict[str, Any]] = []
    problem: RowError | None = None
    loose: dict[tuple[Any, Any], list[Raw]] = {}
    whole: list[tuple[Raw, Callable[[Reading], list[dict[str, Any]]]]] = []
    for record in records:
        if is_message_event(record):
            loose.setdefault(span_of(record), []).append(record)
        else:
            whole.append((record, _operation))
    whole += [(events[-1], partial(rows_of_events, events=events)) for events in loose.values()]
    for record, read in whole:
        try:
            rows += inner_rows(reading, record, "spans and events[]", read)
        except RowError as error:
            problem = error
            reading.left[f"spans and events without an answer ({error.reason.lower()})"] += 1
    if not rows:
        raise problem or RowError("NO_ANSWER", "no span or event in this batch")
    for outer, *_ in _BATCHES:
        reading.take("prompt and response, span by span", outer)
    return rows


def span_of(record: Raw) -> tuple[Any, Any]:
    """(trace, span) that a record belongs to."""
    found = record.get("context")
    context: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    return (
        next((record[k] for k in ("trace_id", "traceId", "TraceId") if record.get(k)), context.get("trace_id")),
        next((record[k] for k in ("span_id", "spanId", "SpanId") if record.get(k)), context.get("span_id")),
    )


def _operation(reading: Reading) -> list[dict[str, Any]]:
    """The rows of a span or event that holds both what was asked and what was answered."""
    record = reading.raw
    attributes = {**{k: v for k, v in record.items() if str(k).startswith("gen_ai.")}, **attributes_of(record)}
    events = _events(record)
    for event in events:
        for key, value in attributes_of(event).items():
            attributes.setdefault(key, value)
    spoken = [event for event in events if is_message_event(event)]
    body = any_value(structured(record.get("body")))
    if isinstance(body, Mapping):
        attributes |= {key: value for key, value in body.items() if str(key).startswith("gen_ai.")}
    output = next((attributes[key] for key in _OUTPUT if attributes.get(key)), None)
    asked_value = next((attributes[key] for key in _INPUT if attributes.get(key)), None)
    numbered = _numbered(attributes)
    if output is None and numbered["completion"]:
        output = numbered["completion"]
    if asked_value is None and numbered["prompt"]:
        asked_value = numbered["prompt"]
    if output is None and spoken:
        return rows_of_events(reading, events=spoken, span=record)
    if output is None:
        raise RowError(
            "NO_ANSWER", "the operation holds no gen_ai.output.messages (content is recorded only on request)"
        )
    answers = _answers(reading, output)
    asked = _asked(reading, asked_value)
    system = attributes.get("gen_ai.system_instructions")
    if system is not None:
        asked.system_prompt = _text_of(structured(system)) or asked.system_prompt
    if not answers:
        raise RowError("NO_ANSWER", "the operation's output holds no text (a call of a tool?)")
    return _rows(reading, attributes, answers, asked)


def _numbered(attributes: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Messages whose parts are attributes of their own: gen_ai.prompt.0.role, gen_ai.prompt.0.content."""
    found: dict[str, dict[int, dict[str, Any]]] = {"prompt": {}, "completion": {}}
    for key, value in attributes.items():
        match = _NUMBERED.fullmatch(key)
        if match:
            found[match.group(1)].setdefault(int(match.group(2)), {})[match.group(3)] = value
    return {kind: [by_number[number] for number in sorted(by_number)] for kind, by_number in found.items()}


def _answers(reading: Reading, output: Any) -> list[Answer]:
    output = structured(output)
    if isinstance(output, str):
        return [Answer(output)]
    found: list[Answer] = []
    for message in [output] if isinstance(output, Mapping) else output:
        if isinstance(message, str):
            found.append(Answer(message))
            continue
        within = message.get("message")
        inner: Mapping[str, Any] = within if isinstance(within, Mapping) else message
        value = inner.get("parts") if inner.get("parts") is not None else inner.get("content")
        try:
            content = read_content(structured(value))
        except ValueError as error:
            raise RowError("ANSWER_INVALID", f"the answer {error}") from None
        reading.left.update(content.left)
        if content.text is None:
            reading.left["answers without text (calls of tools)"] += 1
            continue
        reason = message.get("finish_reason")
        found.append(Answer(content.text, content.reasoning, {"finish_reason": reason} if reason else {}))
    if len(found) > 1:
        for number, answer in enumerate(found):
            answer.extra["choice"] = number
    return found


def _asked(reading: Reading, value: Any) -> Asked:
    value = structured(value)
    if isinstance(value, (list, tuple)):
        value = [
            {**one, "content": structured(one["content"])} if isinstance(one, Mapping) and one.get("content") else one
            for one in value
        ]
    return asked_of(value, reading.left)


def _text_of(value: Any) -> str | None:
    try:
        return read_content(value).text
    except ValueError:
        return None


def rows_of_events(reading: Reading, *, events: Sequence[Raw], span: Raw | None = None) -> list[dict[str, Any]]:
    """The rows of the events of one operation, each of which holds one message.

    Raises:
        RowError: none of them is a choice with text.
    """
    messages: list[dict[str, Any]] = []
    answers: list[Answer] = []
    attributes: dict[str, Any] = {}
    for event in events:
        name, body = event_name(event), body_of(event)
        attributes |= attributes_of(event)
        if name == "gen_ai.choice":
            message = structured(body.get("message", body))
            found = _answers(reading, message if isinstance(message, (Mapping, str)) else body)
            if body.get("finish_reason"):
                for answer in found:
                    answer.extra["finish_reason"] = body["finish_reason"]
            answers += found
        else:
            messages.append(
                {"role": body.get("role") or _ROLE_OF_EVENT[name], "content": structured(body.get("content"))}
            )
    if not answers:
        raise RowError("NO_ANSWER", "no gen_ai.choice with text among the events of this operation")
    try:
        _, context = read_messages(messages)
    except ValueError as error:
        raise RowError("MESSAGES_INVALID", str(error)) from None
    reading.left.update(context.left)
    attributes |= attributes_of(span) if span is not None else {}
    return _rows(reading, attributes, answers, Asked(context.prompt, context.system_prompt))


def _rows(
    reading: Reading, attributes: Mapping[str, Any], answers: Sequence[Answer], asked: Asked
) -> list[dict[str, Any]]:
    """Rows of an operation; what is no text of it becomes metadata."""
    used = {*_INPUT, *_OUTPUT, "gen_ai.system_instructions", "content", "message", "role"}
    model = next((attributes[k] for k in ("gen_ai.response.model", "gen_ai.request.model") if attributes.get(k)), None)
    account = next((attributes[k] for k in _ACCOUNTS if attributes.get(k)), None)
    conversation = next((attributes[k] for k in ("gen_ai.conversation.id", "session.id") if attributes.get(k)), None)
    used |= {"gen_ai.response.model", "gen_ai.conversation.id", *(k for k in _ACCOUNTS if attributes.get(k) == account)}
    for name, home in (
        ("gen_ai.input.messages", "prompt"),
        ("gen_ai.output.messages", "response, reasoning"),
        ("gen_ai.system_instructions", "system_prompt"),
        ("gen_ai.response.model", "model"),
        ("gen_ai.conversation.id", "conversation_id"),
    ):
        if attributes.get(name):
            reading.homes[name] = home
    metadata = {
        key: value
        for key, value in attributes.items()
        if key not in used and not _NUMBERED.fullmatch(key) and value not in (None, "", [], {})
    }
    for key in ("attributes", "events", "Events", "body", "Body", "event_data"):
        if reading.get(key) is not None:
            reading.take("prompt, response and metadata, by their names", key)
    for key in attributes:
        if key in reading.raw:
            reading.take(reading.homes.get(key, "metadata"), key)
    for key, value in attributes_of(structured(reading.get("resource")) or {}).items():
        metadata[f"resource.{key}"] = value
        reading.take("metadata", "resource")
    created_at = reading.first("created_at", *((key,) for key in _TIMES if reading.get(key) not in (0, "0")))
    return exchange_rows(
        reading,
        answers,
        asked,
        model=model,
        account_id=account,
        conversation_id=conversation,
        created_at=created_at,
        metadata=metadata,
    )


_TIMES = (
    *("startTimeUnixNano", "start_time_unix_nano", "timeUnixNano", "time_unix_nano", "observedTimeUnixNano"),
    *("start_time", "startTime", "timestamp", "Timestamp", "time", "observed_timestamp"),
)


_ROWS = RowPreset("otel", "OpenTelemetry spans and events of generative models", _otel_test, _otel)
#: Operations whose questions are kept until their choice comes; older ones are forgotten.
_WAITING = 10_000


class Otel:
    """The rows of spans and events. Events that each hold one message wait for the choice of their span."""

    name = _ROWS.name
    title = _ROWS.title

    def __init__(self) -> None:
        self._waiting: dict[tuple[Any, Any], list[Raw]] = {}

    def begin(self) -> Otel:
        """One that waits for nothing yet."""
        return Otel()

    def recognise(self, rows: Sequence[Raw]) -> float:
        """The mean over the rows."""
        return _ROWS.recognise(rows)

    def shape(self, raw: Raw) -> Shaped:
        """The rows of an operation; none for an event before its choice.  Raises RowError."""
        if not is_message_event(raw):
            return _ROWS.shape(raw)
        key = span_of(raw)
        events = self._waiting.setdefault(key, [])
        if event_name(raw) != "gen_ai.choice":
            if events and event_name(events[-1]) == "gen_ai.choice":
                events.clear()  # the next operation, where no span tells them apart
            events.append(raw)
            if len(self._waiting) > _WAITING:
                del self._waiting[next(iter(self._waiting))]
            return Shaped([], {"event.name, body": "prompt, response (events of one span together)"})
        reading = Reading(raw)
        asked = [event for event in events if event_name(event) != "gen_ai.choice"]
        rows = rows_of_events(reading, events=[*asked, raw])
        events.append(raw)
        return reading.shaped(rows)


PRESETS = (Otel(),)
