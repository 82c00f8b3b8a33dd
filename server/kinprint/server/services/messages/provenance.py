"""What an answer was made with and from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
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


#: Bytes of a request that is told as it is.
_LONGEST = 16 << 10


class Stamped:
    """A translation of what a run yields into messages, which puts on the last one what it was made with and from.

    translate: makes the messages; the last of a run has a field `finished` with a field `provenance`.
    """

    def __init__(self, translate: Callable[[Any], Iterable[Any]]) -> None:
        self._translate = translate
        self._made = types_pb2.Provenance()

    def view(self, corpus: Corpus) -> View:
        """The view that the run goes by, noted with the version of the record behind it."""
        known = states([corpus])
        view = corpus.view
        self._made = provenance(known, [view])
        for state in self._made.corpora:
            state.ClearField("table_digest")  # no run looks at fast vectors, whose table comes some time after a start
        return view

    def note(
        self, request: Message, *, panel_digest: str = "", seed: int | None = None, kinship_scheme: str = ""
    ) -> None:
        """Note how it was asked."""
        self._made.kinship_scheme = kinship_scheme
        self._made.panel_digest = panel_digest
        if seed is not None:
            self._made.seed = seed
        self._made.parameters = _parameters(request)

    def for_document(self) -> dict[str, Any]:
        """The same for a document, which holds its parameters, panel and seeds itself, and needs no fast vectors."""
        told = self._made
        return {
            "kinprint": told.kinprint,
            "pipeline": told.pipeline,
            "sketch_scheme": told.sketch_scheme,
            "style_scheme": told.style_scheme,
            "kinship_scheme": told.kinship_scheme,
            "corpora": [
                {
                    "corpus": state.corpus,
                    "record_version": state.record_version,
                    "record_entry": state.record_entry,
                    "transcripts": state.transcripts,
                    "model_digest": state.model_digest,
                }
                for state in told.corpora
            ],
        }

    def __call__(self, made: Any) -> Iterator[Any]:
        for message in self._translate(made):
            if message.WhichOneof("message") == "finished":
                message.finished.provenance.CopyFrom(self._made)
            yield message


def _parameters(request: Message) -> str:
    """A request as canonical JSON without its panel, or a digest where that is long."""
    asked = type(request)()
    asked.CopyFrom(request)
    asked.ClearField("panel")
    told = json_format.MessageToDict(asked, preserving_proto_field_name=True)
    text = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    data = text.encode()
    return text if len(data) <= _LONGEST else f"sha256:{hashlib.sha256(data).hexdigest()}"
