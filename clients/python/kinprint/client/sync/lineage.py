# Generated from kinprint/client/aio/lineage.py by tools/generate_sync.py: change that, then run 'make sync'.
"""Calls on models: panels, kinship, attribution, evidence and trees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kinprint.client import contract
from kinprint.client.convert import lineage as convert
from kinprint.client.errors import UnavailableError
from kinprint.client.sync.calls import Calls
from kinprint.client.sync.results import AttributionStream, KinshipSearch, ResultStream
from kinprint.client.transport import check_size
from kinprint.client.types import (
    DuplicatesProgress,
    EvidenceFile,
    Filter,
    Lineage,
    PanelEdge,
    PanelFile,
    PanelMember,
    PanelSource,
    PanelSummary,
    UnknownText,
)
from kinprint.client.wire.sync import Stream, collected, opening
from kinprint.v1 import lineage_pb2


def _itself(message: Any) -> Any:
    return message


class LineageCalls(Calls):
    """Calls on models."""

    def fit_panel(
        self,
        corpus: str,
        members: Iterable[PanelMember],
        edges: Iterable[PanelEdge] = (),
        *,
        filter: Filter | None = None,
        seed: int = 0,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> PanelFile:
        """Fit a panel: what unrelated, kin and derived models of a corpus look like beside one another.

        Args:
            corpus: name of the corpus.
            members: the models of the background, with their families; those without answers here are passed over,
                and the panel's cautions say so.
            edges: relations known beforehand; none: the closer half of each family's pairs stands for derived pairs.
            filter: rows to consider.
            seed: seed of the draws; the same seed on the same rows gives the same panel.
            progress: called as the fit goes on.
            timeout: seconds for the whole run, None for no limit.

        Raises:
            FailedPreconditionError: these models allow no background (reason PANEL_UNFIT); the message says why.
        """
        request = convert.fit_panel_request(corpus, members, edges, filter, seed)
        summary = convert.panel_summary_from_proto
        with self._run(contract.FIT_PANEL, request, timeout, "chunk", bytes, summary, progress) as run:
            return PanelFile(b"".join(collected(run)))

    def inspect_panel(self, panel: PanelSource, *, timeout: float | None = None) -> PanelSummary:
        """What a panel holds, after the server has checked that it can use it.

        Raises:
            InvalidArgumentError: this is no panel, or was changed (reason PANEL_DAMAGED).
            FailedPreconditionError: a newer version made it (FORMAT_TOO_NEW), or one with other features
                (PIPELINE_MISMATCH): fit it again.
        """
        response = self._unary(contract.INSPECT_PANEL, convert.inspect_panel_request(panel), timeout)
        return convert.panel_summary_from_proto(response.summary)

    @opening
    def find_kinship(
        self,
        corpus: str,
        *,
        panel: PanelSource | None = None,
        models: str | Sequence[str] = (),
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> KinshipSearch:
        """How alike all pairs of models of a corpus write, best first, streamed in batches.

        Args:
            corpus: name of the corpus.
            panel: the background: from `fit_panel`, its bytes, or the path of its file. Without one pairs are
                scored, and nothing is concluded.
            models: only pairs among these.
            filter: rows to consider.
            progress: called as the search goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        request = convert.kinship_request(corpus, panel, models, filter)
        pairs, summary = convert.kinship_from_proto, convert.kinship_summary_from_proto
        return self._run(contract.FIND_KINSHIP, request, timeout, "pairs", pairs, summary, progress)

    @opening
    def attribute(
        self,
        corpus: str,
        texts: Iterable[UnknownText | str],
        *,
        panel: PanelSource | None = None,
        models: str | Sequence[str] = (),
        filter: Filter | None = None,
        seed: int = 0,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> AttributionStream:
        """Which model of a corpus wrote each of some texts or sets of texts, or that none of them did.

        The texts are sent before this returns; the sets come as lists of `AttributedSet`, in the order of their first
        text. `summary` of the stream says how far to believe them.

        Args:
            corpus: name of the corpus with the answers of the known models.
            texts: `UnknownText`s; a plain string is a set of its own, with its place from 0 as id.
            panel: gives the families of the models.
            models: name only these; the other models of the corpus show what an unknown author looks like.
            filter: rows of the corpus to learn from.
            seed: seed of the draws.
            progress: called as the run goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        start = convert.attribute_start(corpus, panel, models, filter, seed)
        check_size(start, self._limits)
        self.server_info()
        stream = self._open(contract.ATTRIBUTE, None, timeout)
        try:
            stream.send(start)
            limits = convert.started_limits((self._answer(stream, "started")).started)
            waiting = 0
            for batch in convert.attribute_batches(texts, limits):
                while waiting >= limits.max_inflight_batches:
                    self._answer(stream, "received")
                    waiting -= 1
                stream.send(batch)
                waiting += 1
            stream.send(convert.attribute_stop())
        except BaseException:
            stream.close()
            raise
        sets, summary = convert.sets_from_proto, convert.attribution_summary_from_proto
        return ResultStream(stream, "sets", sets, summary, progress)

    @staticmethod
    def _answer(
        stream: Stream[lineage_pb2.AttributeRequest, lineage_pb2.AttributeResponse], kind: str
    ) -> lineage_pb2.AttributeResponse:
        """The next message, which is to be of one kind."""
        message = stream.receive()
        if message is None or message.WhichOneof("message") != kind:
            raise UnavailableError("the server ended the stream of texts early")
        return message

    def build_evidence(
        self,
        corpus: str,
        subject: str,
        source: str,
        *,
        panel: PanelSource | None = None,
        also: Sequence[tuple[str, str]] = (),
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> EvidenceFile:
        """The evidence for and against one model descending from another, as a JSON document.

        Args:
            corpus: name of the corpus with answers of both.
            subject: the model that may have come from the other.
            source: the model that it may have come from.
            panel: the background; without one there are scores and examples, and nothing is concluded.
            also: further pairs (subject, source) that were to be tested from the start; p-values are corrected for
                them.
            filter: rows to consider.
            progress: called as the run goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        request = convert.evidence_request(corpus, subject, source, panel, also, filter)
        with self._run(contract.BUILD_EVIDENCE, request, timeout, "chunk", bytes, _itself, progress) as run:
            return convert.evidence_from_proto(collected(run))

    def find_lineage(
        self,
        corpus: str,
        *,
        panel: PanelSource | None = None,
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> Lineage:
        """The models of a corpus in a tree by likeness, which is no evidence that any of them are related.

        Args:
            corpus: name of the corpus.
            panel: the background; scores are then those of `find_kinship` with it.
            filter: rows to consider; may name models.
            progress: called as the run goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        request = convert.lineage_request(corpus, panel, filter)
        with self._run(contract.FIND_LINEAGE, request, timeout, "scores", _itself, _itself, progress) as run:
            scores = collected(run)
        assert run.summary is not None, "a run that ends without an error has its totals"
        return convert.lineage_from_proto(scores, run.summary)
