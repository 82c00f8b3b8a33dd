"""LineageService."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
import numpy as np
from kinprint.server.authorship import attribute
from kinprint.server.authorship.attributor import Ranking
from kinprint.server.authorship.sets import Sent, Sets
from kinprint.server.corpus.index import Filter, View
from kinprint.server.failures import Failure, InvalidField, ModelNotFound, PanelDamaged, Unavailable
from kinprint.server.kinship import fit, labels
from kinprint.server.kinship import judge as kinship
from kinprint.server.kinship import panel as panels
from kinprint.server.kinship import tree as lineage
from kinprint.server.kinship.calibration import Calibration
from kinprint.server.kinship.dossier import document as report
from kinprint.server.kinship.panel import Panel
from kinprint.server.progress import Progress
from kinprint.server.services.messages import types as convert
from kinprint.server.state import Context
from kinprint.v1 import lineage_pb2, lineage_pb2_grpc

#: Most bytes of a panel.
_PANEL_BYTES = 2 << 20
#: Bytes of a document or a matrix in one message.
_CHUNK_BYTES = 1 << 20
#: Rows of a message: two names of 512 bytes and seven numbers each stay below the limit.
_MESSAGE_ROWS = 2500


class LineageService(lineage_pb2_grpc.LineageServiceServicer):
    """Kinship of models, attribution of texts, and the evidence for both."""

    def __init__(self, context: Context) -> None:
        self._context = context

    # ---- panels ----

    def FitPanel(self, request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:  # noqa: N802
        view = self._context.catalog.get(request.corpus).view

        def start(cancelled: Callable[[], bool]) -> Iterator[Any]:
            rows = convert.row_filter(request.filter)
            # A list of families may name more models than answered here; the panel says which were missing.
            _check_members(request.members)
            members = [labels.Member(m.model, m.family, tuple(m.shares_with)) for m in request.members]
            edges = [labels.Edge(e.model, e.related_to, e.relation) for e in request.edges]
            return fit.fit(view, members, edges, rows, seed=request.seed, cancelled=cancelled)

        return self._run(start, _panel_messages)

    async def InspectPanel(self, request: Any, context: grpc.aio.ServicerContext) -> Any:  # noqa: N802
        if not request.panel:
            raise InvalidField("panel", "panel holds no bytes", "FIELD_MISSING")

        def read() -> Any:
            return _summary(_panel(request.panel))

        return lineage_pb2.InspectPanelResponse(summary=await self._context.read(read))

    # ---- pairs ----

    def FindKinship(self, request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:  # noqa: N802
        view = self._context.catalog.get(request.corpus).view

        def start(cancelled: Callable[[], bool]) -> Iterator[Any]:
            rows = convert.row_filter(request.filter)
            _check_models(view, ((f"models[{i}]", name) for i, name in enumerate(request.models)))
            models = tuple(dict.fromkeys(request.models))
            return kinship.find_kinship(view, _panel_of(request), rows, models, cancelled)

        return self._run(start, _kinship_messages)

    def FindLineage(self, request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:  # noqa: N802
        view = self._context.catalog.get(request.corpus).view

        def start(cancelled: Callable[[], bool]) -> Iterator[Any]:
            rows = convert.row_filter(request.filter)
            _check_models(view, ((f"filter.models[{i}]", name) for i, name in enumerate(request.filter.models)))
            return lineage.find_lineage(view, _panel_of(request), rows, cancelled)

        return self._run(start, _lineage_messages)

    def BuildEvidence(self, request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:  # noqa: N802
        view = self._context.catalog.get(request.corpus).view

        def start(cancelled: Callable[[], bool]) -> Iterator[Any]:
            rows = convert.row_filter(request.filter)
            pairs = {"": request, **{f"also[{i}].": pair for i, pair in enumerate(request.also)}}
            for path, pair in pairs.items():
                _check_models(view, ((f"{path}subject", pair.subject), (f"{path}source", pair.source)))
                if pair.subject == pair.source:
                    raise InvalidField(f"{path}source", "source is the same model as subject", "FIELD_INVALID")
            also = [(pair.subject, pair.source) for pair in request.also]
            return report.build(
                view, request.subject, request.source, _panel_of(request), rows, also=also, cancelled=cancelled
            )

        return self._run(start, _evidence_messages)

    async def _run(
        self, start: Callable[[Callable[[], bool]], Iterator[Any]], messages: Callable[[Any], Iterable[Any]]
    ) -> AsyncGenerator[Any, None]:
        """The messages of a run, which is made and driven in worker threads."""
        cancelled = False
        try:
            run = await self._context.read(lambda: start(lambda: cancelled))
            while (made := await self._context.read(lambda: next(run, None))) is not None:
                for message in messages(made):
                    yield message
        finally:
            cancelled = True

    # ---- texts ----

    async def Attribute(  # noqa: N802
        self, requests: AsyncIterator[Any], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[Any]:
        async with aclosing(self._requests(requests)) as received:
            start = _expect(await anext(received), "start")
            view = self._context.catalog.get(start.corpus, "start.corpus").view

            def check() -> Filter:
                _check_models(view, ((f"start.models[{i}]", name) for i, name in enumerate(start.models)))
                return convert.row_filter(start.filter, "start.filter")

            rows = await self._context.read(check)
            panel = await self._context.read(lambda: _panel_of(start, "start.panel"))
            yield lineage_pb2.AttributeResponse(started=lineage_pb2.AttributeStarted(limits=convert.limits()))
            sets = Sets()

            def take(batch: Any) -> None:
                sets.add([Sent(t.text, t.set_id if t.HasField("set_id") else None, t.id) for t in batch.texts])

            while (request := await anext(received)) is not None and request.WhichOneof("message") == "batch":
                await self._context.read(partial(take, request.batch))
                yield lineage_pb2.AttributeResponse(received=lineage_pb2.AttributeReceived(texts=len(sets)))
            _expect(request, "stop")
        if not len(sets):
            raise InvalidField("batch.texts", "no text was sent", "FIELD_MISSING")
        families = {member.model: member.family for member in panel.members} if panel is not None else None

        def run(cancelled: Callable[[], bool]) -> Iterator[Any]:
            return attribute.run(
                view, rows, sets.submitted(), tuple(start.models), families, seed=start.seed, cancelled=cancelled
            )

        async with aclosing(self._run(run, partial(_attribute_messages, ids=sets.ids))) as messages:
            async for message in messages:
                yield message

    async def _requests(self, requests: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """Requests as they come, None when the client has closed its side.

        Raises Unavailable when the server drains.
        """
        iterator = aiter(requests)
        draining = asyncio.ensure_future(self._context.draining.wait())
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


# ---- what is answered ----


def _step(step: str, share: float) -> Any:
    return lineage_pb2.LineageProgress(step=step, share=share)


def _chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]


def _panel_messages(made: Progress | Panel) -> Iterator[Any]:
    if isinstance(made, Progress):
        yield lineage_pb2.FitPanelResponse(progress=_step(made.step, made.share))
        return
    for chunk in _chunks(made.to_bytes()):
        yield lineage_pb2.FitPanelResponse(chunk=chunk)
    yield lineage_pb2.FitPanelResponse(finished=_summary(made))


def _summary(panel: Panel) -> Any:
    """What a panel holds."""
    features = panels.scheme()
    message = lineage_pb2.PanelSummary(
        digest=panel.digest,
        version=panels.VERSION,
        kinprint=panel.kinprint,
        scheme=f"{features['name']}/{features['version']}",
        corpus=panel.corpus,
        members=[
            lineage_pb2.PanelMember(model=member.model, family=member.family, shares_with=member.shares_with)
            for member in panel.members
        ],
        families=panel.families,
        independent_families=panel.independent_families,
        prompts=len(panel.prompts),
        unrelated_pairs=panel.pairs["unrelated"],
        kin_pairs=panel.pairs["kin"],
        derived_pairs=panel.pairs["derived"],
        derived_from=panel.derived_from,
        sizes=[_size(size) for size in panel.sizes],
        cautions=panel.cautions,
        suspects=[lineage_pb2.PanelSuspect(model_a=a, model_b=b, score=score) for a, b, score in panel.suspects],
    )
    if panel.bridged is not None:
        message.bridged.CopyFrom(_size(panel.bridged))
    return message


def _size(size: Calibration) -> Any:
    rates = sorted((float(rate), found) for rate, found in size.tpr.items())
    return lineage_pb2.PanelSize(
        prompts=size.prompts,
        draws=size.draws,
        null_pairs=size.null_count,
        log10_lr_min=size.log10_lr_min,
        log10_lr_max=size.log10_lr_max,
        threshold=size.threshold,
        cllr=size.cllr,
        cllr_min=size.cllr_min,
        power_derived=size.power["derived"],
        power_kin=size.power["kin"],
        rates=[lineage_pb2.PanelRate(false_alarms=rate, found=found) for rate, found in rates],
    )


_VERDICTS = {
    "derived": lineage_pb2.KINSHIP_VERDICT_DERIVED,
    "kin": lineage_pb2.KINSHIP_VERDICT_KIN,
    "unresolved": lineage_pb2.KINSHIP_VERDICT_UNRESOLVED,
    "no_background": lineage_pb2.KINSHIP_VERDICT_NO_BACKGROUND,
}
_BASES = {
    "matched": lineage_pb2.KINSHIP_BASIS_MATCHED,
    "bridged": lineage_pb2.KINSHIP_BASIS_BRIDGED,
    "none": lineage_pb2.KINSHIP_BASIS_UNSPECIFIED,
}


def _kinship_messages(made: Progress | kinship.Pairs | kinship.Totals) -> Iterator[Any]:
    if isinstance(made, Progress):
        yield lineage_pb2.FindKinshipResponse(progress=_step(made.step, made.share))
        return
    if isinstance(made, kinship.Totals):
        finished = lineage_pb2.KinshipFinished(
            models=made.models,
            prompts=made.prompts,
            pairs=made.pairs,
            answers=made.answers,
            left_out=made.left_out,
            families=made.families,
            panel_digest=made.panel_digest,
            carries_over=made.carries_over,
            does_not_carry_over=made.does_not,
            cautions=made.cautions,
        )
        yield lineage_pb2.FindKinshipResponse(finished=finished)
        return
    for start in range(0, len(made.model_a), _MESSAGE_ROWS):
        some = slice(start, start + _MESSAGE_ROWS)
        pairs = lineage_pb2.KinshipPairs(
            model_a=made.model_a[some],
            model_b=made.model_b[some],
            prompts=made.prompts[some],
            score=made.score[some],
            log10_lr=made.log10_lr[some],
            p_value=made.p_value[some],
            p_floor=made.p_floor[some],
            verdict=[_VERDICTS[verdict] for verdict in made.verdict[some]],
            basis=[_BASES[basis] for basis in made.basis[some]],
        )
        yield lineage_pb2.FindKinshipResponse(pairs=pairs)


def _lineage_messages(made: Progress | lineage.Lineage) -> Iterator[Any]:
    if isinstance(made, Progress):
        yield lineage_pb2.FindLineageResponse(progress=_step(made.step, made.share))
        return
    scores = np.asarray(made.scores, np.float64)
    height = max(1, _CHUNK_BYTES // (8 * max(1, scores.shape[1])))
    for start in range(0, scores.shape[0], height):
        yield lineage_pb2.FindLineageResponse(scores=convert.matrix(scores[start : start + height]))
    finished = lineage_pb2.LineageFinished(
        models=made.models,
        newick=made.tree,
        order=made.order,
        merges=convert.matrix(np.asarray(made.merges, np.float64).reshape(-1, 4)),
        cautions=made.cautions,
    )
    yield lineage_pb2.FindLineageResponse(finished=finished)


def _evidence_messages(made: Progress | report.Report) -> Iterator[Any]:
    if isinstance(made, Progress):
        yield lineage_pb2.BuildEvidenceResponse(progress=_step(made.step, made.share))
        return
    data = made.to_bytes()
    for chunk in _chunks(data):
        yield lineage_pb2.BuildEvidenceResponse(chunk=chunk)
    finished = lineage_pb2.EvidenceFinished(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    yield lineage_pb2.BuildEvidenceResponse(finished=finished)


def _attribute_messages(
    made: Progress | list[Ranking] | attribute.Totals, ids: Sequence[tuple[str | None, str]]
) -> Iterator[Any]:
    if isinstance(made, Progress):
        yield lineage_pb2.AttributeResponse(progress=_step(made.step, made.share))
    elif isinstance(made, attribute.Totals):
        yield lineage_pb2.AttributeResponse(finished=_attribution(made))
    else:
        yield from _set_messages(made, ids)


def _set_messages(
    rankings: Iterable[Ranking], ids: Sequence[tuple[str | None, str]]
) -> Iterator[lineage_pb2.AttributeResponse]:
    sets: list[Any] = []
    rows = 0
    for ranking in rankings:
        candidates = [
            lineage_pb2.Candidate(model=found.name, log10_lr=found.log10_lr, probability=found.probability)
            for found in ranking.ranked
        ]
        place = sum(found.probability >= ranking.none_of_these for found in ranking.ranked)
        candidates.insert(
            place, lineage_pb2.Candidate(log10_lr=ranking.none_log10_lr, probability=ranking.none_of_these)
        )
        set_id, name = ids[ranking.set]
        if sets and rows + len(candidates) > _MESSAGE_ROWS:
            yield lineage_pb2.AttributeResponse(sets=lineage_pb2.AttributedSets(sets=sets))
            sets, rows = [], 0
        sets.append(
            lineage_pb2.AttributedSet(
                set_id=set_id,
                id=name,
                texts=ranking.texts,
                counted=ranking.counted,
                too_short=ranking.too_short,
                repeated_texts=ranking.repeated,
                beyond=ranking.beyond,
                abstained=ranking.abstained,
                reason=ranking.reason,
                candidates=candidates,
            )
        )
        rows += len(candidates)
    if sets:
        yield lineage_pb2.AttributeResponse(sets=lineage_pb2.AttributedSets(sets=sets))


def _attribution(made: attribute.Totals) -> Any:
    """Totals of an attribution."""
    return lineage_pb2.AttributeFinished(
        sets=made.sets,
        named=made.named,
        texts=made.texts,
        models=[
            lineage_pb2.AttributionModel(model=name, texts_used=used, texts_given=given)
            for name, used, given in zip(made.names, made.texts_used, made.texts_given, strict=True)
        ],
        left_out=[lineage_pb2.AttributionLeftOut(model=name, why=why) for name, why in made.left_out],
        power=[
            lineage_pb2.AttributionPower(
                size=power.size,
                sets=power.sets,
                accuracy=power.accuracy,
                named=power.named,
                correct=_number(power.correct),
                unknown_sets=power.unknown_sets,
                false_names=_number(power.false_names),
                auc=_number(power.auc),
                cllr=_number(power.cllr),
                calibration_error=_number(power.calibration_error),
            )
            for power in made.power
        ],
        prior_unknown=made.prior_unknown,
        notes=made.notes,
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
