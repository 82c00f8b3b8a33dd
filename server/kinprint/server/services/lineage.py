"""LineageService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
from kinprint.server.authorship import attribute
from kinprint.server.authorship.sets import Sent, Sets
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.view import View
from kinprint.server.edge.call import CALL
from kinprint.server.edge.visible import visible
from kinprint.server.failures import Failure, InvalidField, ModelNotFound, Overloaded, PanelDamaged
from kinprint.server.jobs.registry import Request
from kinprint.server.kinship import fit as fitting
from kinprint.server.kinship import judge as kinship
from kinprint.server.kinship import tree as lineage
from kinprint.server.kinship.dossier import document as report
from kinprint.server.kinship.labels import Edge, Member
from kinprint.server.kinship.panel import Panel, scheme
from kinprint.server.services.messages import types as convert
from kinprint.server.services.messages.lineage import (
    attribute_messages,
    evidence_messages,
    kinship_messages,
    lineage_messages,
    panel_messages,
    summary,
)
from kinprint.server.services.messages.provenance import Stamped
from kinprint.server.services.streams import Incoming, long_run, protocol_error
from kinprint.server.state import State
from kinprint.v1 import lineage_pb2, lineage_pb2_grpc

#: Most bytes of a panel.
_PANEL_BYTES = 2 << 20


#: Models of a panel: of more its file would grow beyond what is read.
_MOST_MEMBERS = 10_000


class LineageService(lineage_pb2_grpc.LineageServiceServicer):
    """Kinship of models, attribution of texts, and the evidence for both."""

    def __init__(self, state: State) -> None:
        self._state = state

    # ---- panels ----

    def FitPanel(  # noqa: N802
        self, request: lineage_pb2.FitPanelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[lineage_pb2.FitPanelResponse]:
        def asked() -> Request:
            view = visible(self._state).get(request.corpus).view
            # A list of families may name more models than answered here; the panel says which were missing.
            _check_members(request.members)
            members = [Member(m.model, m.family, tuple(m.shares_with)) for m in request.members]
            edges = [Edge(e.model, e.related_to, e.relation) for e in request.edges]
            rows = convert.row_filter(request.filter)
            return Request("FitPanel", [view.corpus], fitting.fit, (view, members, edges, rows), {"seed": request.seed})

        return long_run(self._state, context, asked, panel_messages)

    async def InspectPanel(  # noqa: N802
        self, request: lineage_pb2.InspectPanelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> lineage_pb2.InspectPanelResponse:
        if not request.panel:
            raise InvalidField("panel", "panel holds no bytes", "FIELD_MISSING")
        found = await self._state.read(lambda: summary(_panel(request.panel)))
        return lineage_pb2.InspectPanelResponse(summary=found)

    # ---- pairs ----

    def FindKinship(  # noqa: N802
        self, request: lineage_pb2.FindKinshipRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[lineage_pb2.FindKinshipResponse]:
        stamped = Stamped(kinship_messages)

        def asked() -> Request:
            view = stamped.view(visible(self._state).get(request.corpus))
            _check_models(view, ((f"models[{i}]", name) for i, name in enumerate(request.models)))
            models = tuple(dict.fromkeys(request.models))
            panel = _panel_of(request)
            stamped.note(request, panel_digest=_digest(panel), kinship_scheme=_scheme())
            arguments = (view, panel, convert.row_filter(request.filter), models)
            return Request("FindKinship", [view.corpus], kinship.find_kinship, arguments)

        return long_run(self._state, context, asked, stamped)

    def FindLineage(  # noqa: N802
        self, request: lineage_pb2.FindLineageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[lineage_pb2.FindLineageResponse]:
        stamped = Stamped(lineage_messages)

        def asked() -> Request:
            view = stamped.view(visible(self._state).get(request.corpus))
            _check_models(view, ((f"filter.models[{i}]", name) for i, name in enumerate(request.filter.models)))
            panel = _panel_of(request)
            stamped.note(request, panel_digest=_digest(panel), kinship_scheme=_scheme())
            arguments = (view, panel, convert.row_filter(request.filter))
            return Request("FindLineage", [view.corpus], lineage.find_lineage, arguments)

        return long_run(self._state, context, asked, stamped)

    def BuildEvidence(  # noqa: N802
        self, request: lineage_pb2.BuildEvidenceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[lineage_pb2.BuildEvidenceResponse]:
        stamped = Stamped(evidence_messages)

        def asked() -> Request:
            view = stamped.view(visible(self._state).get(request.corpus))
            pairs: list[tuple[str, lineage_pb2.BuildEvidenceRequest | lineage_pb2.EvidencePair]] = [("", request)]
            pairs += [(f"also[{i}].", pair) for i, pair in enumerate(request.also)]
            for path, pair in pairs:
                _check_models(view, ((f"{path}subject", pair.subject), (f"{path}source", pair.source)))
                if pair.subject == pair.source:
                    raise InvalidField(f"{path}source", "source is the same model as subject", "FIELD_INVALID")
            rows, panel = convert.row_filter(request.filter), _panel_of(request)
            stamped.note(request, panel_digest=_digest(panel), kinship_scheme=_scheme())
            arguments = (view, request.subject, request.source, panel, rows)
            also = [(pair.subject, pair.source) for pair in request.also]
            told = {"also": also, "provenance": stamped.for_document()}
            return Request("BuildEvidence", [view.corpus], report.build, arguments, told)

        return long_run(self._state, context, asked, stamped)

    # ---- texts ----

    async def Attribute(  # noqa: N802
        self, requests: AsyncIterator[lineage_pb2.AttributeRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[lineage_pb2.AttributeResponse]:
        async with Incoming(self._state, requests, "send the texts to the next") as incoming:
            first = await incoming.next()
            _expect(first, "start")
            assert first is not None
            start = first.start
            sets = Sets()
            stamped = Stamped(partial(attribute_messages, ids=sets.ids))
            view = stamped.view(visible(self._state).get(start.corpus, "start.corpus"))

            def read() -> tuple[Filter, Panel | None]:
                _check_models(view, ((f"start.models[{i}]", name) for i, name in enumerate(start.models)))
                return convert.row_filter(start.filter, "start.filter"), _panel_of(start, "start.panel")

            rows, panel = await self._state.read(read)
            yield lineage_pb2.AttributeResponse(started=lineage_pb2.AttributeStarted(limits=convert.limits()))
            while (request := await incoming.next()) is not None and request.WhichOneof("message") == "batch":
                _gather(self._state)
                await self._state.read(partial(_take, sets, request.batch))
                yield lineage_pb2.AttributeResponse(received=lineage_pb2.AttributeReceived(texts=len(sets)))
            _expect(request, "stop")
        if not len(sets):
            raise InvalidField("batch.texts", "no text was sent", "FIELD_MISSING")
        families = {member.model: member.family for member in panel.members} if panel is not None else None

        def asked() -> Request:
            arguments = (view, rows, sets.submitted(), list(start.models), families)
            stamped.note(start, panel_digest=_digest(panel), seed=start.seed)
            return Request("Attribute", [view.corpus], attribute.run, arguments, {"seed": start.seed})

        run = long_run(self._state, context, asked, stamped)
        async with aclosing(run) as messages:
            async for message in messages:
                yield message


# ---- what was asked ----


def _check_members(members: Sequence[Any]) -> None:
    if not members:
        raise InvalidField("members", "name the models of the panel, with their families", "FIELD_MISSING")
    if len(members) > _MOST_MEMBERS:
        raise InvalidField("members", f"a panel takes at most {_MOST_MEMBERS:,} models", "FIELD_INVALID")
    seen: set[str] = set()
    for i, member in enumerate(members):
        if not member.family:
            raise InvalidField(f"members[{i}].family", f"{member.model!r} has no family", "FIELD_MISSING")
        if member.model in seen:
            raise InvalidField(f"members[{i}].model", f"{member.model!r} is named twice", "FIELD_INVALID")
        seen.add(member.model)


def _check_models(view: View, named: Iterable[tuple[str, str]]) -> None:
    """Raise ModelNotFound for a model that no row of the corpus has; `named` are fields of the request and names."""
    known: set[str] | None = None
    for field, name in named:
        if not name:
            raise InvalidField(field, f"{field} names no model", "FIELD_MISSING")
        known = {model for model in view.counts("model") if model is not None} if known is None else known
        if name not in known:
            near = _alike(name, sorted(known))
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ModelNotFound(f"no transcript of corpus {view.corpus!r} is by model {name!r}{hint}", field=field)


def _alike(name: str, known: Sequence[str]) -> list[str]:
    """The three names that are most like `name`, of those that are at least 60 % alike."""
    from rapidfuzz import fuzz, process  # difflib takes seconds for some thousand long names

    return [
        found for found, _score, _place in process.extract(name, known, scorer=fuzz.ratio, limit=3, score_cutoff=60)
    ]


def _panel(data: bytes, field: str = "panel") -> Panel:
    """A panel from its bytes.  Raises what `Panel.from_bytes` does."""
    if len(data) > _PANEL_BYTES:
        raise PanelDamaged(f"{len(data)} bytes are too many for a panel", field=field)
    try:
        return Panel.from_bytes(data)
    except Failure as failure:
        failure.field = failure.field or field
        raise


def _panel_of(request: Any, field: str = "panel") -> Panel | None:
    return _panel(request.panel, field) if request.HasField("panel") else None


def _digest(panel: Panel | None) -> str:
    return "" if panel is None else panel.digest


def _scheme() -> str:
    """Name and version of the features that models are compared by."""
    features = scheme()
    return f"{features['name']}/{features['version']}"


def _expect(request: lineage_pb2.AttributeRequest | None, kind: str) -> None:
    """Raise InvalidField unless a message is of one kind."""
    if request is None:
        raise protocol_error(f"the stream ended before {kind}")
    found = request.WhichOneof("message")
    if found != kind:
        raise protocol_error(f"{found or 'an empty message'} came where {kind} was due")


def _gather(state: State) -> None:
    """Hold the bytes of the request that was read last until the call ends.  Raises Overloaded."""
    call = CALL.get()
    if call is None:
        return
    # Not waited for: of streams that wait for each other none would come to its end.
    lease = state.gathered.try_take(call.size)
    if lease is None:
        raise Overloaded(
            f"attributions hold {state.gathered.held} bytes of texts, which is the most; send fewer at a time, or try "
            "again later",
            retry_after=5.0,
        )
    call.hold(lease)


def _take(sets: Sets, batch: lineage_pb2.AttributeBatch) -> None:
    sets.add([Sent(text.text, text.set_id if text.HasField("set_id") else None, text.id) for text in batch.texts])
