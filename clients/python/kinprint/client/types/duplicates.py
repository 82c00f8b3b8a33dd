"""Near-duplicates and shared passages of whole corpora, in batches of columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from kinprint.client.types.search import Difference

Link = Literal["component", "star"]
"""What holds a cluster together: chains of pairs, or its representative, which is alike to every member."""


@dataclass(frozen=True, slots=True)
class DuplicatesProgress:
    """How far a run over whole corpora is: the step under way, and the share done (0 to 1)."""

    step: str
    share: float


@dataclass(frozen=True, slots=True)
class DuplicatePairs:
    """A batch of near-duplicate pairs, column by column; all lists have one length."""

    id_a: list[str]
    id_b: list[str]
    jaccard: list[float]
    containment_a: list[float]
    containment_b: list[float]
    corpus_a: list[str]
    corpus_b: list[str]

    def __len__(self) -> int:
        return len(self.id_a)

    def rows(self) -> Iterator[tuple[str, str, float, float, float, str, str]]:
        """Rows of (id_a, id_b, jaccard, containment_a, containment_b, corpus_a, corpus_b)."""
        return zip(
            self.id_a,
            self.id_b,
            self.jaccard,
            self.containment_a,
            self.containment_b,
            self.corpus_a,
            self.corpus_b,
            strict=True,
        )


@dataclass(frozen=True, slots=True)
class DuplicateClusters:
    """A batch of rows with their clusters, column by column; all lists have one length.

    A cluster is named by its smallest member, which is its representative.
    """

    id: list[str]
    cluster: list[str]
    is_representative: list[bool]
    corpus: list[str]
    cluster_corpus: list[str]

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True, slots=True)
class DuplicatesSummary:
    """Totals of a search for duplicates; those of clusters are 0 where pairs were sought.

    `largest_cluster` counts the rows of the largest cluster, `least_similarity` is the least Jaccard similarity of two
    of them (None where it has one row): exact where `least_is_exact`, as of a cluster of up to 64 distinct answers, and
    otherwise the least of a sample, than which the least of all may be lower.
    """

    pairs: int
    rows: int
    distinct: int
    candidates: int
    expected_recall: float
    blank: int
    clusters: int = 0
    largest_cluster: int = 0
    least_similarity: float | None = None
    least_is_exact: bool = True


SpanMark = Literal["prompt", "code", "licence"]


@dataclass(frozen=True, slots=True)
class OverlapSpans:
    """A batch of passages that stand in two answers, column by column; all lists have one length.

    Offsets are half-open, in code points of the stored answers. `bits` is the rarity of a passage (0 where it is
    marked), `texts` how many answers of the other side hold it, `mark` why it is no evidence. `others` counts the
    answers of models other than the two, `others_with` those that have the passage; `prompt_others` and
    `prompt_others_with` the same among answers to the prompt of the first. `differences` is how the second answer has a
    passage otherwise than the first; none where it is the same, byte for byte.
    """

    id_a: list[str]
    id_b: list[str]
    start_a: list[int]
    end_a: list[int]
    start_b: list[int]
    end_b: list[int]
    tokens: list[int]
    bits: list[float]
    texts: list[int]
    mark: list[SpanMark | None]
    others_with: list[int]
    others: list[int]
    prompt_others_with: list[int]
    prompt_others: list[int]
    corpus_a: list[str]
    corpus_b: list[str]
    differences: list[tuple[Difference, ...]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.id_a)


@dataclass(frozen=True, slots=True)
class OverlapsSummary:
    """Totals of a search for shared passages.

    `common_seeds` were passed over as common phrases; `background` counts the answers of the corpora on neither side,
    by which, too, is told how rare a passage is.
    """

    spans: int
    texts: int
    texts_with_spans: int
    against: int
    common_seeds: int
    background: int = 0
