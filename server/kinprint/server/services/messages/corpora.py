"""Messages of CorpusService."""

from __future__ import annotations

from kinprint.server.channels import CHANNELS
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.view import View
from kinprint.server.search.run import coverage
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
        coverage=[coverage_message(coverage([view], channel)) for channel in CHANNELS],
        record_version=corpus.record.version,
    )
    if detailed:
        message.models.extend(_counts(view, "model"))
        message.languages.extend(_counts(view, "language"))
        message.disk_bytes = corpus.disk_bytes()
    return message


def _counts(view: View, column: str) -> list[corpus_pb2.ValueCount]:
    ordered = sorted(view.counts(column).items(), key=lambda item: (-item[1], item[0] or ""))
    return [corpus_pb2.ValueCount(value=value, count=count) for value, count in ordered]
