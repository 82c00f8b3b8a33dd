"""Chat rows: which turns become transcripts, and what goes with them."""

from __future__ import annotations

import json

import pytest
from kinprint.client.files.chat import read_messages
from kinprint.client.files.rows import RowError, transcripts_of_row

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Eins."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "Tw"}, {"type": "image_url"}, {"type": "text", "text": "o?"}],
    },
    {"role": "assistant", "content": None, "tool_calls": [{}]},
    {"role": "tool", "content": "2"},
    {"role": "assistant", "content": "Zwei.", "reasoning_content": "zwei is two"},
]


def test_each_assistant_turn_becomes_a_transcript() -> None:
    first, second = transcripts_of_row(
        {"transcript_id": 17, "messages": CHAT, "model": "m", "prompt_id": "q", "topic": "numbers", "language": "de"}
    )
    assert (first.id, second.id) == ("17#0", "17#1")
    assert (first.prompt, first.response, first.turn) == ("One?", "Eins.", 0)
    assert (second.prompt, second.response, second.turn) == ("Two?", "Zwei.", 1)
    assert first.system_prompt == second.system_prompt == "Be brief."
    assert first.conversation_id == second.conversation_id == "17"
    assert (first.reasoning, second.reasoning) == (None, "zwei is two")
    assert (first.prompt_id, second.prompt_id) == ("q", None)
    assert first.metadata == {"topic": "numbers"}
    assert first.model == second.model == "m"


def test_an_id_of_a_chat_row_names_the_conversation_and_no_answer() -> None:
    rows = [transcripts_of_row({"id": "q1", "messages": CHAT[:3], "model": name})[0] for name in "abc"]
    assert {(row.id, row.conversation_id) for row in rows} == {(None, "q1")}
    (given,) = transcripts_of_row({"id": "q1", "messages": CHAT[:3]}, id_alias=True)
    assert given.id == "q1#0"


def test_a_row_without_an_id_gets_a_conversation_of_its_own() -> None:
    first = transcripts_of_row({"messages": CHAT})[0]
    again = transcripts_of_row({"messages": json.dumps(CHAT)})[0]
    other = transcripts_of_row({"messages": CHAT[:3]})[0]
    assert first.id is None
    assert first.conversation_id is not None
    assert first.conversation_id.startswith("c-")
    assert again.conversation_id == first.conversation_id != other.conversation_id


def test_a_given_conversation_is_kept() -> None:
    row = transcripts_of_row({"messages": CHAT, "conversation_id": "k", "transcript_id": "t"})[0]
    assert (row.id, row.conversation_id) == ("t#0", "k")


def test_a_response_beside_messages_is_the_answer_to_them() -> None:
    (row,) = transcripts_of_row({"messages": CHAT[:4], "response": "Zwei!", "transcript_id": "t"})
    assert (row.id, row.prompt, row.system_prompt, row.response) == ("t", "Two?", "Be brief.", "Zwei!")


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (CHAT[:2], "NO_ASSISTANT_TURN"),
        ([], "NO_ASSISTANT_TURN"),
        ("not json", "MESSAGES_INVALID"),
        (3, "MESSAGES_INVALID"),
        ([{"content": "x"}], "MESSAGES_INVALID"),
        (["x"], "MESSAGES_INVALID"),
        ([{"role": "assistant", "content": 3}], "MESSAGES_INVALID"),
        ([{"role": "assistant", "content": [3]}], "MESSAGES_INVALID"),
        ([{"role": "narrator", "content": "x"}, CHAT[2]], "MESSAGES_INVALID"),
    ],
)
def test_messages_that_cannot_be_read_say_why(messages: object, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        transcripts_of_row({"messages": messages})
    assert caught.value.reason == reason


def test_the_last_system_and_user_messages_before_a_turn_count() -> None:
    turns, context = read_messages(
        [*CHAT, {"role": "developer", "content": "Shout."}, {"role": "user", "content": "3?"}]
    )
    assert turns[1].system_prompt == "Be brief."
    assert (context.prompt, context.system_prompt) == ("3?", "Shout.")


def test_other_names_of_roles_and_parts_are_read() -> None:
    turns, context = read_messages(
        [
            {"from": "human", "value": "Uno?"},
            {"from": "gpt", "value": "One."},
            {"role": "USER", "content": [{"type": "input_text", "text": "Due?"}]},
            {"role": "model", "parts": [{"text": "I count", "thought": True}, {"text": "Two."}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "A boat."}]},
            {"role": "user", "content": "Tre?"},
            {"role": "assistant", "content": [{"type": "tool_use", "name": "add", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "3"}]},
            {"role": "assistant", "content": None, "refusal": "I would rather not."},
        ]
    )
    assert [(turn.prompt, turn.response, turn.reasoning) for turn in turns] == [
        ("Uno?", "One.", None),
        ("Due?", "Two.", "I count"),
        (None, "A boat.", None),
        ("Tre?", "I would rather not.", None),
    ]
    assert context.left["image_url parts"] == 1
    assert context.left["assistant messages without text (calls of tools)"] == 1


def test_what_a_message_tells_of_itself_goes_to_its_turn_alone() -> None:
    first, second = transcripts_of_row(
        {
            "messages": [
                {"role": "user", "content": "a?", "timestamp": None},
                {"role": "assistant", "content": "a!", "timestamp": "2026-02-01T10:00:00Z", "language": "German"},
                {"role": "user", "content": "b?"},
                {"role": "assistant", "content": "b!", "model": "n", "toxic": False},
            ],
            "model": "m",
            "language": "English",
            "created_at": 1_770_000_000,
            "moderation": [{"at": 0}, {"at": 1}, {"at": 2}, {"at": 3}],
            "topics": ["x", "y", "z", "w"],
        }
    )
    assert (first.language, first.model, first.created_at.isoformat()) == ("de", "m", "2026-02-01T10:00:00+00:00")
    assert (second.language, second.model, second.created_at.timestamp()) == ("en", "n", 1_770_000_000)
    assert first.metadata == {"moderation": '{"at": 1}', "topics": '["x", "y", "z", "w"]'}
    assert second.metadata == {"moderation": '{"at": 3}', "topics": '["x", "y", "z", "w"]', "toxic": "False"}
