"""Presets: what each recognised form becomes, what is told of it, and forms that are given by paths."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.client.errors import SourceError
from kinprint.client.files.rows import RowError
from kinprint.client.files.shapes import Mapper, parse_map, presets, recognise
from kinprint.client.types import Transcript

SAMPLES = Path(__file__).parent.parent / "data" / "shapes"
Q1, Q2 = "Why do ferries whistle in fog?", "And at night?"
R1, R2 = "Because a ship that is heard is seldom hit.", "Then their lamps do the talking."
BOTH = [(Q1, R1), (Q2, R2)]


def raw_rows(name: str) -> list[Mapping[str, Any]]:
    """The rows of a sample, whatever it is kept in."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    if name.endswith(".csv"):
        return list(csv.DictReader(text.splitlines()))
    if text.lstrip().startswith("["):
        rows: list[Mapping[str, Any]] = json.loads(text)
        return rows
    return [json.loads(line) for line in text.splitlines()]


def shaped(
    rows: Iterable[Mapping[str, Any]], mapper: Mapper | None = None
) -> tuple[list[Transcript], list[RowError], Mapper]:
    """Transcripts and refusals of rows, and the mapper with its account."""
    mapper = mapper or Mapper()
    mapper.begin("rows")
    found = [made for number, row in enumerate(rows, 1) for made in mapper.rows("rows", number, row)]
    found += mapper.end()
    good = [row.item for row in found if isinstance(row.item, Transcript)]
    bad = [row.item for row in found if isinstance(row.item, RowError)]
    return good, bad, mapper


#: Sample, preset, and (prompt, response) of its transcripts.
EXPECTED: list[tuple[str, str, list[tuple[str | None, str]]]] = [
    ("columns.jsonl", "columns", BOTH),
    ("messages.jsonl", "messages", [(Q1, R1), (Q2, "I cannot say.")]),
    ("openai-completions.jsonl", "openai-completions", [(Q1, R1), (Q1, "Fog hides them."), (Q2, R2)]),
    ("stored-completions.jsonl", "openai-completions", [(Q1, R1), (None, R2)]),
    ("openai-responses.jsonl", "openai-responses", BOTH),
    ("openai-batch.jsonl", "openai-batch", [(None, R1), (None, R2)]),
    ("anthropic-messages.jsonl", "anthropic-messages", BOTH),
    ("anthropic-responses.jsonl", "anthropic-responses", BOTH),
    ("anthropic-batch.jsonl", "anthropic-batch", [(None, R1), (None, R2)]),
    ("gemini-contents.jsonl", "gemini-contents", BOTH),
    ("gemini-responses.jsonl", "gemini-responses", [(Q1, R1)]),
    ("sharegpt.json", "sharegpt", [*BOTH, (Q1, R1)]),
    ("lmsys.jsonl", "lmsys", BOTH),
    ("wildchat.jsonl", "wildchat", BOTH),
    ("arena.jsonl", "arena", [(Q1, R1), (Q1, "They like the sound.")]),
    ("arena-pairs.jsonl", "arena", [*BOTH, (Q1, "They like it.")]),
    ("mt-bench.jsonl", "mt-bench", [(None, R1), (None, R2), (None, "They like it."), (None, "At night they sleep.")]),
    ("arena-hard.jsonl", "arena-hard", [(Q1, R1)]),
    ("chatgpt.json", "chatgpt", BOTH),
    ("open-webui.json", "open-webui", BOTH),
    ("claude.json", "claude", BOTH),
    ("exchange.jsonl", "exchange", BOTH),
    ("litellm.jsonl", "litellm", BOTH),
    ("langfuse.jsonl", "langfuse", BOTH),
    ("otel.jsonl", "otel", BOTH),
    ("otel-events.jsonl", "otel", BOTH),
    ("helicone.jsonl", "helicone", BOTH),
    ("alpaca.json", "alpaca", [(f"Answer the question.\n\n{Q1}", R1), (Q2, R2)]),
    ("alpaca.csv", "alpaca", [(f"Answer the question.\n\n{Q1}", R1), (Q2, R2)]),
    ("prompt-completion.jsonl", "prompt-completion", BOTH),
    ("input-output.jsonl", "prompt-completion", BOTH),
    ("question-answer.jsonl", "question-answer", [(Q1, R1), (f"It is dark.\n\n{Q2}", R2)]),
    ("preference.jsonl", "preference", [(Q1, R1), (Q1, "They like it."), (Q2, R2), (Q2, "They sleep.")]),
    ("hh-preference.jsonl", "preference", [(Q2, R2), (Q2, "They sleep.")]),
    ("transcripts.jsonl", "transcripts", BOTH),
]


def test_every_preset_is_documented() -> None:
    text = (SAMPLES.parent.parent.parent / "docs" / "your-data.md").read_text(encoding="utf-8")
    assert [preset.name for preset in presets() if f"| `{preset.name}` |" not in text] == []


def test_every_sample_and_every_preset_is_tried() -> None:
    assert {name for name, _, _ in EXPECTED} == {path.name for path in SAMPLES.iterdir()}
    assert {preset for _, preset, _ in EXPECTED} == {preset.name for preset in presets()}


@pytest.mark.parametrize(("name", "preset", "expected"), EXPECTED, ids=[name for name, _, _ in EXPECTED])
def test_a_form_is_recognised_and_read(name: str, preset: str, expected: list[tuple[str | None, str]]) -> None:
    rows = raw_rows(name)
    good, _, mapper = shaped(rows)
    assert list(mapper.account.presets) == [preset]
    assert [(row.prompt, row.response) for row in good] == expected
    given_by_name, _, _ = shaped(rows, Mapper(preset))
    assert given_by_name == good
    # Each row alone tells what it is, unless the model failed there: which one is first does not decide.
    for row in rows:
        found = recognise([row])
        assert found is None or found.name in (preset, "columns")


@pytest.mark.parametrize("name", [name for name, _, _ in EXPECTED])
def test_nothing_of_a_row_is_lost_in_silence(name: str) -> None:
    rows = raw_rows(name)
    _, bad, mapper = shaped(rows)
    told = {path.split(".")[0].split("[")[0] for path in mapper.account.homes}
    told |= {path.removeprefix("spans and events[].").removeprefix("observations[].") for path in mapper.account.homes}
    for row in rows:
        for column, value in row.items():
            if value in (None, "", [], {}):
                continue
            assert column in told or bad, column


def by_field(name: str, field: str) -> list[Any]:
    """One field of all transcripts of a sample."""
    return [getattr(row, field) for row in shaped(raw_rows(name))[0]]


@pytest.mark.parametrize(
    ("name", "field", "expected"),
    [
        ("messages.jsonl", "system_prompt", ["Be brief.", None]),
        ("messages.jsonl", "conversation_id", ["q1", "q2"]),
        ("openai-completions.jsonl", "model", ["heron-1"] * 3),
        ("openai-completions.jsonl", "account_id", ["acct-1", "acct-1", "acct-2"]),
        ("openai-completions.jsonl", "system_prompt", ["Be brief.", "Be brief.", None]),
        ("openai-responses.jsonl", "reasoning", ["Ships must be heard.", None]),
        ("openai-responses.jsonl", "system_prompt", ["Be brief.", None]),
        ("openai-batch.jsonl", "prompt_id", ["fog-1", "fog-2"]),
        ("openai-batch.jsonl", "model", ["heron-1", "heron-1"]),
        ("anthropic-messages.jsonl", "system_prompt", ["Be brief.", "Be brief."]),
        ("anthropic-messages.jsonl", "reasoning", ["Ships must be heard.", None]),
        ("anthropic-responses.jsonl", "reasoning", ["Ships must be heard.", None]),
        ("anthropic-batch.jsonl", "model", ["egret-2", "egret-2"]),
        ("gemini-contents.jsonl", "system_prompt", ["Be brief.", "Be brief."]),
        ("gemini-contents.jsonl", "reasoning", [None, "Lamps speak."]),
        ("gemini-responses.jsonl", "model", ["tern-3"]),
        ("lmsys.jsonl", "language", ["en", "pt"]),
        ("wildchat.jsonl", "language", ["en", "zh"]),
        ("wildchat.jsonl", "account_id", ["ip1", "ip2"]),
        ("arena.jsonl", "model", ["heron-1", "egret-2"]),
        ("arena.jsonl", "account_id", ["arena_user_7"] * 2),
        ("mt-bench.jsonl", "prompt_id", ["81", "81-2"] * 2),
        ("arena-hard.jsonl", "reasoning", ["Ships must be heard."]),
        ("chatgpt.json", "model", ["heron-1", "heron-2"]),
        ("chatgpt.json", "reasoning", [None, "Lamps\nLamps speak."]),
        ("open-webui.json", "model", ["heron-1", "egret-2"]),
        ("open-webui.json", "reasoning", ["Ships must be heard.", None]),
        ("claude.json", "reasoning", ["Ships must be heard.", None]),
        ("claude.json", "account_id", ["a1", "a1"]),
        ("exchange.jsonl", "model", ["heron-1", "heron-1"]),
        ("exchange.jsonl", "system_prompt", ["Be brief.", None]),
        ("exchange.jsonl", "account_id", ["acct-1", "acct-2"]),
        ("litellm.jsonl", "account_id", ["acct-1", None]),
        ("langfuse.jsonl", "conversation_id", ["s1", "s1"]),
        ("otel.jsonl", "system_prompt", ["Be brief.", None]),
        ("otel.jsonl", "model", ["heron-1", "heron-1"]),
        ("otel-events.jsonl", "system_prompt", ["Be brief.", None]),
        ("helicone.jsonl", "model", ["heron-1", "egret-2"]),
        ("preference.jsonl", "model", ["heron-1", "egret-2", None, None]),
    ],
)
def test_fields_of_forms(name: str, field: str, expected: list[Any]) -> None:
    assert by_field(name, field) == expected


def test_times_of_forms() -> None:
    times = [
        str(time)
        for name in ("wildchat.jsonl", "arena.jsonl", "otel.jsonl", "litellm.jsonl")
        for time in by_field(name, "created_at")
    ]
    assert times == [
        "2026-01-01 10:00:07+00:00",
        "2026-01-02 10:00:00+00:00",
        *["2026-01-01 00:00:00.250000+00:00"] * 2,
        "2026-01-01 00:00:01+00:00",
        "2026-01-01 00:00:02+00:00",
        "2026-01-01 00:00:00.500000+00:00",
        "2026-01-01 00:00:05+00:00",
    ]


def test_the_two_answers_of_a_preference_are_told_apart() -> None:
    assert [row["preference"] for row in by_field("preference.jsonl", "metadata")] == ["chosen", "rejected"] * 2


def test_drafts_of_a_tree_are_left_and_counted() -> None:
    for name in ("chatgpt.json", "open-webui.json"):
        _, _, mapper = shaped(raw_rows(name))
        assert mapper.account.left["answers outside the branch that is shown (drafts)"] == 1


def test_failures_say_why() -> None:
    assert "too busy" in shaped(raw_rows("openai-completions.jsonl"))[1][0].message
    assert "too late" in shaped(raw_rows("openai-batch.jsonl"))[1][0].message
    assert "Overloaded" in shaped(raw_rows("anthropic-batch.jsonl"))[1][0].message
    assert "SAFETY" in shaped(raw_rows("gemini-responses.jsonl"))[1][0].message
    assert "timeout" in shaped(raw_rows("litellm.jsonl"))[1][0].message
    assert shaped(raw_rows("langfuse.jsonl"))[1][0].reason == "NOT_A_GENERATION"


def test_the_account_tells_whether_models_and_prompts_are_there() -> None:
    account = shaped(raw_rows("openai-batch.jsonl"))[2].account
    assert (account.transcripts, account.models, account.prompts) == (2, 2, 2)
    account = shaped(raw_rows("sharegpt.json"))[2].account
    assert (account.transcripts, account.models, account.prompts) == (3, 0, 3)


def test_a_failed_first_row_does_not_hide_what_a_file_is() -> None:
    rows = raw_rows("openai-completions.jsonl")
    good, bad, mapper = shaped([rows[2], *rows[:2]])
    assert list(mapper.account.presets) == ["openai-completions"]
    assert (len(good), len(bad)) == (3, 1)


def test_answers_of_interfaces_that_list_are_opened() -> None:
    rows = raw_rows("stored-completions.jsonl")
    assert shaped([{"object": "list", "data": rows, "has_more": False}])[0] == shaped(rows)[0]


def test_a_chat_without_a_tree_is_read_in_its_order() -> None:
    messages = [{"role": "user", "content": Q1}, {"role": "assistant", "content": R1}]
    ((row,), _, mapper) = shaped([{"id": "w", "chat": {"title": "Fog", "messages": messages}}])
    assert list(mapper.account.presets) == ["open-webui"]
    assert (row.prompt, row.response) == (Q1, R1)


def test_logs_that_mix_providers_are_read_whole() -> None:
    rows = [raw_rows(f"{name}.jsonl")[0] for name in ("openai-completions", "anthropic-responses", "gemini-responses")]
    rows.append(raw_rows("openai-responses.jsonl")[0])
    for shift in range(4):
        good, bad, _ = shaped([*rows[shift:], *rows[:shift]])
        assert {row.model for row in good} == {"heron-1", "egret-2", "tern-3"}
        assert not bad


def test_two_that_are_equally_sure_are_named() -> None:
    row = {**raw_rows("chatgpt.json")[0], **raw_rows("open-webui.json")[0]}
    with pytest.raises(SourceError, match="chatgpt or open-webui"):
        shaped([row] * 2)
    assert shaped([row], Mapper("chatgpt"))[0]


def test_what_nothing_knows_comes_with_what_may_be_meant() -> None:
    with pytest.raises(SourceError, match="--rename Response=response"):
        shaped([{"Response": "x", "score": 1}])
    with pytest.raises(SourceError, match="no preset 'sharegtp'; did you mean 'sharegpt'"):
        Mapper("sharegtp")


def test_columns_that_look_like_known_ones_are_pointed_out() -> None:
    _, _, mapper = shaped([{"response": "x", "Prompt": "y", "model_name": "m", "score": 1}])
    assert mapper.account.near == {"Prompt": "prompt", "model_name": "model"}
    assert mapper.account.homes["score"] == "metadata"


def test_a_rename_of_a_column_that_is_not_there_is_an_error() -> None:
    with pytest.raises(SourceError, match=r"no column 'anser' to rename \(did you mean 'answer'\?\)"):
        shaped([{"answer": "x"}], Mapper(rename={"anser": "response"}))
    with pytest.raises(SourceError, match=r"no column 'anser' to rename"):
        shaped([{"answer": "x", "response": "y"}], Mapper(rename={"anser": "response"}))
    with pytest.raises(SourceError, match="there is such a column already"):
        shaped([{"answer": "x", "response": "y"}], Mapper(rename={"answer": "response"}))


NESTED = {
    "request": {"model": "heron-1", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": Q1}]},
    "response": {"body": {"choices": [{"message": {"content": R1}}]}},
    "app": {"name": "quay"},
    "kind": "x",
}


def test_paths_reach_into_rows() -> None:
    paths = parse_map(
        [
            "prompt=request.messages[?role=='user'].content | [-1],response=response.body.choices[0].message.content",
            "model=request.model,metadata.app=app.name",
        ]
    )
    (row,), _, mapper = shaped([NESTED], Mapper(paths=paths))
    assert (row.prompt, row.response, row.model) == (Q1, R1, "heron-1")
    assert row.metadata == {"app": "quay", "kind": "x"}
    assert mapper.account.homes["request"] == "prompt, model (what else it holds is left out)"
    assert mapper.account.homes["kind"] == "metadata"


def test_paths_go_into_json_in_cells() -> None:
    row = {key: json.dumps(value) for key, value in NESTED.items()}
    paths = parse_map(["messages=request.messages,response=response.body.choices[0].message.content"])
    good, _, _ = shaped([row], Mapper(paths=paths))
    assert [(one.prompt, one.response, one.system_prompt) for one in good] == [(Q1, R1, "s")]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["response"], "COLUMN=PATH"),
        (["respons=a"], "did you mean 'response'"),
        (["response=a["], "no JMESPath expression"),
        (["prompt=a"], "neither a response nor messages"),
        (["response=nowhere.at.all"], "finds nothing in the first 1 rows"),
    ],
)
def test_paths_that_cannot_be_meant_say_so(texts: list[str], message: str) -> None:
    with pytest.raises(SourceError, match=message.replace("[", r"\[")):
        shaped([NESTED], Mapper(paths=parse_map(texts)))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    (
        *("messages", "conversations", "conversation", "from", "value", "role", "content", "parts", "response"),
        *("choices", "message", "output", "input", "mapping", "chat", "history", "request", "body", "attributes"),
        *("events", "resourceSpans", "observations", "instruction", "prompt", "completion", "question", "answer"),
        *("chosen", "rejected", "model_a", "model_b", "conversation_a", "conversation_b", "contents", "candidates"),
        *("custom_id", "result", "request_body", "response_body", "call_type", "startTime", "traceId", "type"),
        *("name", "turns"),
    )
)


@given(st.sampled_from([name for name, _, _ in EXPECTED]), st.data())
def test_malformed_rows_cost_themselves_alone(name: str, data: st.DataObject) -> None:
    rows = raw_rows(name)
    bent = json.loads(json.dumps(data.draw(st.sampled_from(rows))))
    place: Any = bent
    while isinstance(place, (dict, list)) and place:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(VALUES | st.dictionaries(KEYS, VALUES, max_size=3))
            break
        place = place[key]
    good, _, _ = shaped([*rows, bent], Mapper(next(preset for file, preset, _ in EXPECTED if file == name)))
    before, _, _ = shaped(rows)
    assert good[: len(before)] == before


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=5), min_size=1, max_size=3))
def test_rows_of_no_known_form_are_refused_and_nothing_worse(rows: list[dict[str, Any]]) -> None:
    try:
        shaped(rows)
    except SourceError:
        return
