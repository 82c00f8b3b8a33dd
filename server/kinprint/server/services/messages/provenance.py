"""What an answer was made with and from."""

from __future__ import annotations

from collections.abc import Sequence

from kinprint.server.channels import CHANNELS
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.normalise import PIPELINE
from kinprint.server.corpus.view import View
from kinprint.server.edge.versions import package_version
from kinprint.server.store.record import Snapshot
from kinprint.v1 import types_pb2


def states(corpora: Sequence[Corpus]) -> list[Snapshot]:
    """Versions of the records of some corpora; asked for before their views, which hold no less."""
    return [corpus.record.snapshot() for corpus in corpora]


def provenance(snapshots: Sequence[Snapshot], views: Sequence[View]) -> types_pb2.Provenance:
    """Of an answer from these views, whose records had these versions."""
    return types_pb2.Provenance(
        kinprint=package_version("kinprint"),
        pipeline=PIPELINE,
        sketch_scheme=CHANNELS["copy"].scheme,
        style_scheme=CHANNELS["style"].scheme,
        corpora=[
            types_pb2.CorpusState(
                corpus=view.corpus,
                record_version=snapshot.version,
                record_entry=snapshot.entry_digest,
                transcripts=view.rows,
                model_digest=view.space.digest if view.space is not None else "",
                table_digest=view.meaning.table.digest if view.meaning.table is not None else "",
            )
            for snapshot, view in zip(snapshots, views, strict=True)
        ],
    )
