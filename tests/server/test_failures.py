"""Failures: each has its reason and its status, the contract lists them all, and they cross a process whole."""

from __future__ import annotations

import ast
import importlib
import pickle
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import grpc
import kinprint.server
import pytest
from kinprint.server import failures
from kinprint.server.edge.errors import code_of, status_of
from kinprint.server.failures import FIELD_REASONS, Failure, FormatTooNew, InvalidField, StorageFailed

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT / "proto" / "kinprint" / "v1"
#: Why a set of texts is not attributed to a model: no error, though the contract calls it a reason.
NOT_ERRORS = {"NO_USABLE_TEXT", "MAY_BE_UNKNOWN", "TOO_CLOSE", "NO_POWER"}


def _below(kind: type[Failure]) -> Iterator[type[Failure]]:
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


KINDS = [Failure, *_below(Failure)]


def _sources() -> Iterator[Path]:
    yield from Path(kinprint.server.__file__).parent.rglob("*.py")


def _contract() -> dict[str, str]:
    """Status by reason, as `types.proto` lists them."""
    head = (CONTRACT / "types.proto").read_text(encoding="utf-8").partition("syntax")[0]
    listed = re.sub(r"\s*\n//\s*", " ", head.partition("by status:")[2])
    found = {}
    for status, reasons in re.findall(r"([A-Z_]+)(?: \([^)]*\))?: ([^.]*)\.", listed):
        for reason in re.findall(r"\b[A-Z_]{4,}\b", re.sub(r"\([^)]*\)", "", reasons)):
            found[reason] = status
    return found


def test_all_are_in_one_place() -> None:
    for module in pkgutil.walk_packages(kinprint.server.__path__, "kinprint.server."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert {kind.__module__ for kind in _below(Failure)} == {failures.__name__}


@pytest.mark.parametrize("kind", KINDS)
def test_each_has_a_reason_and_a_status(kind: type[Failure]) -> None:
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", kind.reason)
    assert kind.code in grpc.StatusCode.__members__
    assert kind.__doc__


def test_reasons_are_unique() -> None:
    own = [k for k in KINDS if "reason" in vars(k)]
    assert len({k.reason for k in own}) == len(own)
    assert not {k.reason for k in own if k is not InvalidField} & FIELD_REASONS
    assert {k for k in KINDS if k not in own} == {*FormatTooNew.__subclasses__(), *StorageFailed.__subclasses__()}


def test_the_contract_lists_each_reason_with_its_status() -> None:
    ours = {kind.reason: kind.code for kind in KINDS} | dict.fromkeys(FIELD_REASONS, InvalidField.code)
    assert _contract() == ours


@pytest.mark.parametrize("path", sorted(CONTRACT.glob("*.proto")), ids=lambda path: path.name)
def test_what_a_service_says_of_reasons_is_true(path: Path) -> None:
    listed = _contract()
    text = re.sub(r"\s*\n\s*//\s*", " ", path.read_text(encoding="utf-8"))
    for status, reason in re.findall(r"([A-Z_]{5,}) reasons? ([A-Z_]{5,})", text):
        assert listed[reason] == status
    comments = " ".join(re.findall(r"//(.*)", path.read_text(encoding="utf-8")))
    named = set(re.findall(r"\b(?:[A-Z]+_)+[A-Z]+\b", comments)) - NOT_ERRORS
    statuses = set(grpc.StatusCode.__members__)
    values = set(re.findall(r"^\s*([A-Z_]+) = \d+;", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert named - statuses - values <= set(listed)


def test_fields_are_refused_with_listed_reasons() -> None:
    used = set()
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "InvalidField":
                given = node.args[2] if len(node.args) > 2 else None
                for part in ast.walk(given) if given is not None else ():
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        used.add(part.value)
    assert used | {"FIELD_INVALID"} == FIELD_REASONS


@pytest.mark.parametrize("kind", KINDS)
def test_crosses_a_process_whole(kind: type[Failure]) -> None:
    if kind is InvalidField:
        failure: Failure = InvalidField("batch.texts[3]", "the text is blank", "TEXT_BLANK")
    else:
        failure = kind("say what to do", field="corpus", retry_after=0.5)
    failure.add_note("of a worker")
    back = pickle.loads(pickle.dumps(failure))
    assert type(back) is kind
    assert str(back) == str(failure)
    assert vars(back) == vars(failure)
    assert (back.message, back.field, back.retry_after) == (failure.message, failure.field, failure.retry_after)
    assert (back.reason, back.code) == (failure.reason, failure.code)
    assert status_of(back).SerializeToString() == status_of(failure).SerializeToString()
    assert code_of(back) is grpc.StatusCode[kind.code]
