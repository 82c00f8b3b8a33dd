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
        {"id": 17, "messages": CHAT, "model": "m", "prompt_id": "q", "topic": "numbers", "language": "de"}
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
