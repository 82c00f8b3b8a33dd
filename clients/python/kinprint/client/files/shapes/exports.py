"""Exports of chat applications: Claude's, and ChatGPT's and Open WebUI's trees, of which one branch is on show.

A question that was edited, or an answer that was asked for again, leaves its earlier versions in the tree. They are
drafts that nobody kept: only the branch that the application shows is read, and the answers beside it are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kinprint.client.files.chat import looks_like_messages
from kinprint.client.files.content import read_content
from kinprint.client.files.rows import RowError
from kinprint.client.files.shapes.exchange import columns_beside
from kinprint.client.files.shapes.preset import Raw, Reading, RowPreset
from kinprint.client.files.values import structured

_OTHER_BRANCHES = "answers outside the branch that is shown (drafts)"
_HIDDEN = "hidden messages"


def branch(nodes: Mapping[str, Any], current: Any, parent: str, children: str) -> list[str]:
    """Ids from the root to the current node of a tree; without a current one, along the last children.

    Args:
        nodes: nodes by id.
        current: id of the node shown last.
        parent, children: keys of a node that name these.
    """
    if not any(node.get(parent) in nodes or node.get(children) for node in nodes.values()):
        return list(nodes)  # no tree: messages one after the other
    if current not in nodes:
        roots = [key for key, node in nodes.items() if node.get(parent) not in nodes]
        current = roots[-1] if roots else next(iter(nodes), None)
        seen = set()
        while current in nodes and current not in seen:
            seen.add(current)
            below = [key for key in nodes[current].get(children) or [] if key in nodes]
            if not below:
                break
            current = below[-1]
    path: dict[str, None] = {}  # in order, and asked often: conversations have thousands of messages
    while current in nodes and current not in path:
        path[current] = None
        current = nodes[current].get(parent)
    return [*path][::-1]


def _chatgpt_test(raw: Raw) -> float:
    mapping = structured(raw.get("mapping"))
    if not isinstance(mapping, Mapping) or not mapping:
        return 0.0
    return 1.0 if all(isinstance(node, Mapping) and "message" in node for node in list(mapping.values())[:4]) else 0.0


def _chatgpt(reading: Reading) -> list[dict[str, Any]]:
    nodes = structured(reading.take("prompt, response, turn (one row for each answer of the branch shown)", "mapping"))
    nodes = {key: node for key, node in nodes.items() if isinstance(node, Mapping)}
    shown = branch(nodes, reading.take("which branch is shown", "current_node"), "parent", "children")
    messages = [one for key in shown if (one := _chatgpt_message(nodes[key], reading)) is not None]
    on_show = set(shown)
    for key, node in nodes.items():
        if key not in on_show and _is_answer(node.get("message")):
            reading.left[_OTHER_BRANCHES] += 1
    if not any(message["role"] == "assistant" for message in messages):
        raise RowError("NO_ASSISTANT_TURN", "the branch that is shown holds no answer")
    row = {
        "messages": _joined_thoughts(messages),
        "conversation_id": reading.first("conversation_id", ("conversation_id",), ("id",)),
        "created_at": reading.take("created_at (where a message has none)", "create_time"),
        "model": reading.take("model (where a message has none)", "default_model_slug"),
    }
    if reading.get("id") == row["conversation_id"]:
        reading.take("conversation_id", "id")
    return [columns_beside(reading, row)]


def _is_answer(message: Any) -> bool:
    if not isinstance(message, Mapping) or (message.get("author") or {}).get("role") != "assistant":
        return False
    if message.get("recipient") not in (None, "all"):
        return False
    try:
        return bool((read_content(message.get("content")).text or "").strip())
    except ValueError:
        return False


def _chatgpt_message(node: Mapping[str, Any], reading: Reading) -> dict[str, Any] | None:
    message = node.get("message")
    if not isinstance(message, Mapping):
        return None
    role = (message.get("author") or {}).get("role")
    told = message.get("metadata") or {}
    if told.get("is_visually_hidden_from_conversation") or message.get("weight") == 0:
        if role != "system" or _has_text(message):
            reading.left[_HIDDEN] += 1
        return None
    if role == "assistant" and message.get("recipient") not in (None, "all"):
        reading.left["assistant messages without text (calls of tools)"] += 1
        return None
    if role == "system" and not _has_text(message):
        return None
    made = {"role": role, "content": message.get("content"), "create_time": message.get("create_time")}
    if told.get("model_slug"):
        made["model"] = told["model_slug"]
    if message.get("status") not in (None, "finished_successfully"):
        made["status"] = message["status"]
    return made


def _has_text(message: Mapping[str, Any]) -> bool:
    try:
        return bool((read_content(message.get("content")).text or "").strip())
    except ValueError:
        return True


def _joined_thoughts(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Thoughts, which are messages of their own before an answer, become its reasoning."""
    made: list[dict[str, Any]] = []
    thoughts: list[str] = []
    for message in messages:
        if message["role"] == "assistant":
            try:
                content = read_content(message["content"])
            except ValueError:
                made.append(message)
                continue
            if content.text is None and content.reasoning:
                thoughts.append(content.reasoning)
                continue
            if content.text is not None and not content.text.strip():
                continue  # what stands between the calls of tools
            if thoughts and content.text is not None:
                message = {**message, "reasoning": "\n\n".join(thoughts)}
                thoughts = []
        elif message["role"] == "user":
            thoughts = []
        made.append(message)
    return made


def _webui_chat(raw: Raw) -> Mapping[str, Any] | None:
    chat = structured(raw.get("chat"))
    chat = chat if isinstance(chat, Mapping) else raw
    history = structured(chat.get("history"))
    if isinstance(history, Mapping) and isinstance(structured(history.get("messages")), Mapping):
        return chat
    # Chats that were written by hand for an import have a list of messages alone.
    return chat if chat is not raw and looks_like_messages(chat.get("messages")) else None


def _webui_test(raw: Raw) -> float:
    return 0.0 if _webui_chat(raw) is None else 1.0


def _webui(reading: Reading) -> list[dict[str, Any]]:
    top = ("chat",) if isinstance(structured(reading.get("chat")), Mapping) else ()
    what = "prompt, response, turn (one row for each answer of the branch shown)"
    nodes = structured(reading.take(what, *top, "history", "messages"))
    if not nodes:
        listed = structured(reading.take(what, *top, "messages"))
        nodes = {str(number): message for number, message in enumerate(listed)}
    nodes = {key: node for key, node in nodes.items() if isinstance(node, Mapping)}
    shown = branch(
        nodes, reading.take("which branch is shown", *top, "history", "currentId"), "parentId", "childrenIds"
    )
    on_show = set(shown)
    reading.left[_OTHER_BRANCHES] += sum(
        1
        for key, node in nodes.items()
        if key not in on_show and node.get("role") == "assistant" and str(node.get("content") or "").strip()
    )
    reading.skip("the branch that is shown again", *top, "messages")
    system = reading.first("system_prompt", (*top, "system"), (*top, "params", "system"))
    messages = [_webui_message(nodes[key]) for key in shown]
    if not any(message["role"] == "assistant" and message["content"] for message in messages):
        raise RowError("NO_ASSISTANT_TURN", "the branch that is shown holds no answer")
    row = {
        "messages": messages,
        "system_prompt": system if isinstance(system, str) else None,
        "conversation_id": reading.first("conversation_id", ("id",), (*top, "id")),
        "account_id": reading.first("account_id", ("user_id",)),
        "created_at": reading.first(
            "created_at (where a message has none)", ("created_at",), (*top, "timestamp"), ("timestamp",)
        ),
    }
    models = structured(reading.get(*top, "models"))
    if isinstance(models, (list, tuple)) and len(models) == 1:
        row["model"] = models[0]
        reading.take("model (where a message has none)", *top, "models")
    return [columns_beside(reading, row)]


def _webui_message(node: Mapping[str, Any]) -> dict[str, Any]:
    content = node.get("content")
    made = {"role": node.get("role"), "content": None if content == "" else content}
    for key in ("timestamp", "model", "reasoning_content"):
        if node.get(key) is not None:
            made[key] = node[key]
    return made


def _claude_test(raw: Raw) -> float:
    return 0.95 if looks_like_messages(raw.get("chat_messages"), keys=("sender",)) else 0.0


def _claude(reading: Reading) -> list[dict[str, Any]]:
    messages = []
    for message in structured(reading.take("prompt, response, turn (one row for each answer)", "chat_messages")):
        made = {key: message[key] for key in ("sender", "created_at") if message.get(key)}
        # The blocks hold the text again, and the thinking apart from it.
        made["content"] = message.get("content") or message.get("text") or None
        messages.append(made)
    row = {
        "messages": messages,
        "conversation_id": reading.take("conversation_id", "uuid"),
        "account_id": reading.take("account_id", "account", "uuid"),
        "created_at": reading.take("created_at (where a message has none)", "created_at"),
    }
    return [columns_beside(reading, row)]


PRESETS = (
    RowPreset("claude", "Claude's export of chats (conversations.json)", _claude_test, _claude),
    RowPreset("chatgpt", "ChatGPT's export (conversations.json)", _chatgpt_test, _chatgpt),
    RowPreset("open-webui", "Open WebUI's export of chats", _webui_test, _webui),
)
