"""LineageService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.normalise import split_reasoning
from kinprint.server.corpus.view import View
from kinprint.server.failures import Failure, InvalidField, ModelNotFound, PanelDamaged, Unavailable
from kinprint.server.kinship import judge as kinship
from kinprint.server.kinship import panel as panels
from kinprint.server.kinship import tree as lineage
from kinprint.server.kinship.dossier import document as report
from kinprint.server.kinship.panel import Edge, Member, Panel
from kinprint.server.limits import LIMITS
from kinprint.server.progress import Progress
from kinprint.server.services.messages import types as convert
from kinprint.server.services.messages.lineage import (
    attribution_finished,
    evidence_messages,
    kinship_messages,
    lineage_messages,
    panel_messages,
    set_messages,
    step,
    summary,
)
from kinprint.server.services.streams import long_run
from kinprint.server.state import State
from kinprint.v1 import lineage_pb2, lineage_pb2_grpc
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kinprint.server.authorship import train as attribution

#: Most bytes of a panel.
_PANEL_BYTES = 2 << 20
#: Bytes of a document or a matrix in one message.
_CHUNK_BYTES = 1 << 20
#: Rows of a message: two names of 512 bytes and seven numbers each stay below the limit.
_MESSAGE_ROWS = 2500
#: Bytes of all texts of one attribution, which are held in memory.
_ATTRIBUTE_BYTES = 1 << 30
#: Texts that are attributed between two messages, more where a set has more.
_ATTRIBUTE_TEXTS = 2000
#: Share of the time that learning takes.
_LEARNING = 0.9


class LineageService(lineage_pb2_grpc.LineageServiceServicer):
    """Kinship of models, attribution of texts, and the evidence for both."""

    def __init__(self, state: State) -> None:
        self._state = state

    # ---- panels ----

    async def FitPanel(  # noqa: N802
        self, request: lineage_pb2.FitPanelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[lineage_pb2.FitPanelResponse]:
        view = self._state.catalog.get(request.corpus).view

        def read() -> tuple[list[Member], list[Edge], Filter]:
            # A list of families may name more models than answered here; the panel says which were missing.
            _check_members(request.members)
            members = [Member(m.model, m.family, tuple(m.shares_with)) for m in request.members]
            edges = [Edge(e.model, e.related_to, e.relation) for e in request.edges]
            return members, edges, convert.row_filter(request.filter)

        members, edges, rows = await self._state.read(read)
        run = long_run(
            self._state,
            context,
            "FitPanel",
            [view.corpus],
            panels.fit,
            view,
            members,
            edges,
            rows,
            seed=request.seed,
            translate=panel_messages,
        )
        async with aclosing(run) as messages:
            async for message in messages:
                yield message

    async def InspectPanel(  # noqa: N802
        self, request: lineage_pb2.InspectPanelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> lineage_pb2.InspectPanelResponse:
        if not request.panel:
            raise InvalidField("panel", "panel holds no bytes", "FIELD_MISSING")
        found = await self._state.read(lambda: summary(_panel(request.panel)))
        return lineage_pb2.InspectPanelResponse(summary=found)

    # ---- pairs ----

    async def FindKinship(  # noqa: N802
        self, request: lineage_pb2.FindKinshipRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[lineage_pb2.FindKinshipResponse]:
        view = self._state.catalog.get(request.corpus).view

        def read() -> tuple[Panel | None, Filter, tuple[str, ...]]:
            _check_models(view, ((f"models[{i}]", name) for i, name in enumerate(request.models)))
            return _panel_of(request), convert.row_filter(request.filter), tuple(dict.fromkeys(request.models))

        asked = await self._state.read(read)
        run = long_run(
            self._state,
            context,
            "FindKinship",
            [view.corpus],
            kinship.find_kinship,
            view,
            *asked,
            translate=kinship_messages,
        )
        async with aclosing(run) as messages:
            async for message in messages:
                yield message

    async def FindLineage(  # noqa: N802
        self, request: lineage_pb2.FindLineageRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[lineage_pb2.FindLineageResponse]:
        view = self._state.catalog.get(request.corpus).view

        def read() -> tuple[Panel | None, Filter]:
            _check_models(view, ((f"filter.models[{i}]", name) for i, name in enumerate(request.filter.models)))
            return _panel_of(request), convert.row_filter(request.filter)

        asked = await self._state.read(read)
        run = long_run(
            self._state,
            context,
            "FindLineage",
            [view.corpus],
            lineage.find_lineage,
            view,
            *asked,
            translate=lineage_messages,
        )
        async with aclosing(run) as messages:
            async for message in messages:
                yield message

    async def BuildEvidence(  # noqa: N802
        self, request: lineage_pb2.BuildEvidenceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[lineage_pb2.BuildEvidenceResponse]:
        view = self._state.catalog.get(request.corpus).view

        def read() -> tuple[Panel | None, Filter]:
            pairs: list[tuple[str, lineage_pb2.BuildEvidenceRequest | lineage_pb2.EvidencePair]] = [("", request)]
            pairs += [(f"also[{i}].", pair) for i, pair in enumerate(request.also)]
            for path, pair in pairs:
                _check_models(view, ((f"{path}subject", pair.subject), (f"{path}source", pair.source)))
                if pair.subject == pair.source:
                    raise InvalidField(f"{path}source", "source is the same model as subject", "FIELD_INVALID")
            return _panel_of(request), convert.row_filter(request.filter)

        asked = await self._state.read(read)
        run = long_run(
            self._state,
            context,
            "BuildEvidence",
            [view.corpus],
            report.build,
            view,
            request.subject,
            request.source,
            *asked,
            also=[(pair.subject, pair.source) for pair in request.also],
            translate=evidence_messages,
        )
        async with aclosing(run) as messages:
            async for message in messages:
                yield message

    # ---- texts ----

    async def Attribute(  # noqa: N802
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        async with aclosing(self._requests(requests)) as received:
            start = _expect(await anext(received), "start")
            view = self._state.catalog.get(start.corpus, "start.corpus").view

            def check() -> Filter:
                _check_models(view, ((f"start.models[{i}]", name) for i, name in enumerate(start.models)))
                return convert.row_filter(start.filter, "start.filter")

            rows = await self._state.read(check)
            panel = await self._state.read(lambda: _panel_of(start, "start.panel"))
            yield lineage_pb2.AttributeResponse(started=lineage_pb2.AttributeStarted(limits=convert.limits()))
            sets = _Sets()
            while (request := await anext(received)) is not None and request.WhichOneof("message") == "batch":
                await self._state.read(partial(sets.add, request.batch))
                yield lineage_pb2.AttributeResponse(received=lineage_pb2.AttributeReceived(texts=len(sets.texts)))
            _expect(request, "stop")
        if not sets.texts:
            raise InvalidField("batch.texts", "no text was sent", "FIELD_MISSING")
        families = {member.model: member.family for member in panel.members} if panel is not None else None
        attributor: attribution.Attributor | None = None
        async with aclosing(self._learnt(view, rows, start, families)) as steps:
            async for made in steps:
                if isinstance(made, lineage_pb2.LineageProgress):
                    yield lineage_pb2.AttributeResponse(progress=made)
                else:
                    attributor = made
        if attributor is None:  # cancelled
            return
        named = done = 0
        for texts, codes in sets.parts():
            rankings = await self._state.read(partial(_attribute, attributor, texts, codes))
            for message in set_messages(rankings, sets.ids):
                yield message
            named += sum(not ranking.abstained for ranking in rankings)
            done += len(texts)
            share = _LEARNING + (1 - _LEARNING) * done / len(sets.texts)
            yield lineage_pb2.AttributeResponse(progress=step("attributing", share))
        finished = attribution_finished(attributor, len(sets.ids), named, len(sets.texts))
        yield lineage_pb2.AttributeResponse(finished=finished)

    async def _requests(self, requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """Requests as they come, None when the client has closed its side.

        Raises Unavailable when the server drains.
        """
        iterator = aiter(requests)
        draining = asyncio.ensure_future(self._state.draining.wait())
        following: asyncio.Future[Any] | None = None
        try:
            while True:
                following = asyncio.ensure_future(anext(iterator, None))
                await asyncio.wait({following, draining}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    raise Unavailable("the server is shutting down; send the texts to the next", retry_after=1.0)
                yield following.result()
        finally:
            draining.cancel()
            if following is not None:
                following.cancel()

    async def _learnt(
        self,
        view: View,
        rows: Filter,
        start: Any,
        families: Mapping[str, str] | None,
    ) -> AsyncGenerator[Any, None]:
        """Messages of progress, then the Attributor."""
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Progress | None] = asyncio.Queue()
        cancelled = False

        def tell(step: Progress) -> None:
            loop.call_soon_threadsafe(told.put_nowait, step)

        def learn() -> attribution.Attributor | None:
            # Imported where it is used: it brings scikit-learn, which takes a second to load.
            from kinprint.server.authorship import train as attribution
            from kinprint.server.authorship.labelled import known_answers

            known, background = known_answers(view, rows, frozenset(start.models), families)
            return attribution.train(
                known,
                background=background,
                seed=start.seed,
                progress=tell,
                cancelled=lambda: cancelled,
            )

        learning = asyncio.ensure_future(self._state.read(learn))
        learning.add_done_callback(lambda _: told.put_nowait(None))
        try:
            while (made := await told.get()) is not None:
                yield step(made.step, _LEARNING * made.share)
            yield await learning
        finally:
            cancelled = True
            learning.cancel()


# ---- what was asked ----


def _check_members(members: Sequence[Any]) -> None:
    if not members:
        raise InvalidField("members", "name the models of the panel, with their families", "FIELD_MISSING")
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


def _expect(request: Any, kind: str) -> Any:
    """The part of a message that is to be of one kind."""
    if request is None:
        raise InvalidField("message", f"the stream ended before {kind}", "STREAM_PROTOCOL")
    found = request.WhichOneof("message")
    if found != kind:
        raise InvalidField("message", f"{found or 'an empty message'} came where {kind} was due", "STREAM_PROTOCOL")
    return getattr(request, kind)


class _Sets:
    """Texts as they were sent, with the set of each."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        #: set_id (None: a text by itself) and id of each set, in the order of their first text.
        self.ids: list[tuple[str | None, str]] = []
        self._codes: list[int] = []
        self._named: dict[str, int] = {}
        self._bytes = 0

    def add(self, batch: Any) -> None:
        """Take a batch.  Raises InvalidField."""
        if not 1 <= len(batch.texts) <= LIMITS.max_batch_items:
            raise InvalidField("batch.texts", f"a batch holds 1 to {LIMITS.max_batch_items} texts", "BATCH_SIZE")
        for i, item in enumerate(batch.texts):
            data = item.text.encode()
            if len(data) > LIMITS.max_text_bytes:
                raise InvalidField(
                    f"batch.texts[{i}].text",
                    f"text {len(self.texts)} is longer than {LIMITS.max_text_bytes} bytes of UTF-8",
                    "TEXT_TOO_LONG",
                )
            for name in ("set_id", "id"):
                if len(getattr(item, name).encode()) > LIMITS.max_key_bytes:
                    raise InvalidField(
                        f"batch.texts[{i}].{name}",
                        f"{name} is longer than {LIMITS.max_key_bytes} bytes of UTF-8",
                        "FIELD_TOO_LONG",
                    )
            reasoning, answer = split_reasoning(item.text)
            data = data if reasoning is None else answer.encode()
            self._bytes += len(data)
            if self._bytes > _ATTRIBUTE_BYTES:
                raise InvalidField(
                    "batch.texts", f"all texts together are more than {_ATTRIBUTE_BYTES} bytes", "TOO_MANY_TEXTS"
                )
            self.texts.append(data)
            self._codes.append(self._code(item))

    def _code(self, item: Any) -> int:
        if not item.HasField("set_id"):
            self.ids.append((None, item.id))
            return len(self.ids) - 1
        if item.set_id not in self._named:
            self._named[item.set_id] = len(self.ids)
            self.ids.append((item.set_id, ""))
        return self._named[item.set_id]

    def parts(self) -> Iterator[tuple[Texts, NDArray[np.int64]]]:
        """Texts and their sets, some whole sets at a time, in their order."""
        codes = np.array(self._codes, np.int64)
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(self.ids)))
        begin = 0
        while begin < len(order):
            end = int(ends[np.searchsorted(ends, min(begin + _ATTRIBUTE_TEXTS, len(order)))])
            chosen = order[begin:end]
            some = [self.texts[k] for k in chosen]
            offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(text) for text in some], dtype=np.int64)])
            yield Texts.from_offsets(np.frombuffer(b"".join(some), np.uint8), offsets), codes[chosen]
            begin = end


def _attribute(attributor: attribution.Attributor, texts: Texts, codes: NDArray[np.int64]) -> list[attribution.Ranking]:
    from kinprint.server.authorship import train as attribution

    return attribution.attribute(attributor, texts, codes)
