"""Messages of CorpusService."""

from __future__ import annotations

from kinprint.server.channels import CHANNELS
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.view import View
from kinprint.server.search.run import coverages
from kinprint.server.services.messages.types import coverage as coverage_message
from kinprint.server.services.messages.types import timestamp
from kinprint.v1 import corpus_pb2


def describe(corpus: Corpus, detailed: bool) -> corpus_pb2.Corpus:
    """A corpus as a message; counts per model and language and disk use only when `detailed`."""
    view = corpus.view
    message = corpus_pb2.Corpus(
        name=corpus.name,
        description=corpus.description,
        created_at=timestamp(corpus.created_at),
        transcripts=view.rows,
        blank=view.rows - view.fillable,
        coverage=[coverage_message(cover) for channel in CHANNELS for cover in coverages([view], channel)],
        record_version=corpus.record.version,
    )
    if detailed:
        message.models.extend(_counts(view, "model"))
        message.languages.extend(_counts(view, "language"))
        message.disk_bytes = corpus.disk_bytes()
        message.semantic.CopyFrom(_semantic(view))
    return message


def _semantic(view: View) -> corpus_pb2.SemanticIndex:
    """What the semantic channel searches: vectors, inverted files with their recall, calibration."""
    meaning = view.meaning
    message = corpus_pb2.SemanticIndex(
        table_digest=meaning.digest("fast"),
        table_name=meaning.table.name if meaning.table is not None else None,
        model_digest=meaning.digest("accurate"),
        calibration_pairs=max((c.pairs for c in meaning.measured.values()), default=0),
    )
    for name, rows, recall in (
        ("fast", "indexed_rows", "row_recall"),
        ("semantic", "indexed_sentences", "sentence_recall"),
    ):
        measured = [c.inverted.measured for p in view.parts for c in p.segment.of(name) if c.inverted is not None]
        total = sum(m.vectors for m in measured)
        if total:
            setattr(message, rows, total)
            setattr(message, recall, sum(m.recall * m.vectors for m in measured) / total)
    return message


def _counts(view: View, column: str) -> list[corpus_pb2.ValueCount]:
    ordered = sorted(view.counts(column).items(), key=lambda item: (-item[1], item[0] or ""))
    return [corpus_pb2.ValueCount(value=value, count=count) for value, count in ordered]
