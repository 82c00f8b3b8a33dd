"""Reasons of refusals that take much to reach on the wire: what a caller is told of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kinprint.server.authorship import sets as sending
from kinprint.server.authorship.sets import Sent, Sets
from kinprint.server.edge.call import CALL, Call
from kinprint.server.edge.errors import status_of
from kinprint.server.embed import QueueFull
from kinprint.server.failures import AuditUnavailable, Failure, InvalidField, Overloaded, PanelDamaged
from kinprint.server.jobs import registry
from kinprint.server.limits import Budget
from kinprint.server.services import lineage
from kinprint.server.startup import Startup
from kinprint.v1 import lineage_pb2
from kinprint.v1.google_rpc import error_details_pb2


def _told(error: BaseException) -> tuple[int, str, list[str], float | None]:
    """Status number, reason, violated fields and seconds to wait."""
    status = status_of(error)
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    fields: list[str] = []
    wait = None
    for detail in status.details:
        detail.Unpack(info)
        if detail.Unpack(bad):
            fields = [violation.field for violation in bad.field_violations]
        if detail.Unpack(retry):
            wait = retry.retry_delay.ToTimedelta().total_seconds()
    return status.code, info.reason, fields, wait


def test_a_full_queue_of_the_embedder_says_when_to_come_again() -> None:
    assert _told(QueueFull("4096 sentences wait for the embedding model already")) == (8, "QUEUE_FULL", [], 0.5)


def test_too_many_texts_of_an_attribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MOST_BYTES", 10)
    sets = Sets()
    sets.add([Sent("12345"), Sent("67890")])
    with pytest.raises(InvalidField) as caught:
        sets.add([Sent("1")])
    assert _told(caught.value) == (3, "TOO_MANY_TEXTS", ["batch.texts"], None)


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_panel_that_is_too_large_is_none(beyond: int) -> None:
    request = lineage_pb2.FindKinshipRequest(panel=b"x" * ((2 << 20) + beyond))
    with pytest.raises(PanelDamaged) as caught:
        lineage._panel_of(request)
    assert _told(caught.value) == (3, "PANEL_DAMAGED", ["panel"], None)
    assert ("too many for a panel" in caught.value.message) == bool(beyond)


def test_a_panel_of_too_many_models_is_refused() -> None:
    members = [lineage_pb2.PanelMember(model=f"m{i}", family="f") for i in range(10_000)]
    lineage._check_members(members)
    with pytest.raises(InvalidField, match="at most 10,000 models") as caught:
        lineage._check_members([*members, lineage_pb2.PanelMember(model="more", family="f")])
    assert _told(caught.value) == (3, "FIELD_INVALID", ["members"], None)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Overloaded("full", retry_after=0.25), (8, "OVERLOADED", [], 0.25)),
        (AuditUnavailable("full", retry_after=1.5), (14, "AUDIT_UNAVAILABLE", [], 1.5)),
        (Overloaded("full", retry_after=1e-9), (8, "OVERLOADED", [], 0.0)),
    ],
)
def test_the_time_to_wait_is_told_to_the_nanosecond(failure: Failure, told: tuple[int, str, list[str], float]) -> None:
    assert _told(failure) == told


def test_who_is_refused_for_a_while_is_told_how_long() -> None:
    assert _told(Startup().refusal()) == (14, "NOT_SERVING", [], 0.5)
    assert _told(registry._shutting_down()) == (14, "NOT_SERVING", [], 1.0)


def test_attributions_that_hold_too_much_are_told_to_wait() -> None:
    state: Any = SimpleNamespace(gathered=Budget(10))
    call = Call("LineageService/Attribute")
    call.size = 6
    token = CALL.set(call)
    try:
        lineage._gather(state)
        with pytest.raises(Overloaded, match="hold 6 bytes") as caught:
            lineage._gather(state)
    finally:
        CALL.reset(token)
    assert _told(caught.value) == (8, "OVERLOADED", [], 5.0)
