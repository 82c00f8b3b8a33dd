"""What an answer was made with and from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CorpusState:
    """State of a corpus that an answer was made from.

    `record_entry` is the SHA-256 of the log entry of `record_version`: the record and no other. The digests are those
    of the model and the token table of its vectors, "" without.
    """

    corpus: str
    record_version: int
    record_entry: str
    transcripts: int
    model_digest: str
    table_digest: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an answer was made with and from, so that it can be made again, and held against another.

    Of answers on models alone: `kinship_scheme` names the features that they were compared by, `panel_digest` the
    background ("" without one), `seed` that of the draws (None: there were none), and `parameters` is what was asked,
    as canonical JSON without panel and texts (where that is long, "sha256:" and its digest).
    """

    kinprint: str
    pipeline: int
    sketch_scheme: str
    style_scheme: str
    corpora: tuple[CorpusState, ...]
    kinship_scheme: str = ""
    panel_digest: str = ""
    seed: int | None = None
    parameters: str = ""
