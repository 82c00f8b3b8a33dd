# Generated from kinprint/client/aio/match.py by tools/generate_sync.py: change that, then run 'make sync'.
"""Calls that match texts: searches, comparisons, fingerprints, and duplicates of whole corpora."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from kinprint.client import contract
from kinprint.client.convert import duplicates, match
from kinprint.client.convert.base import strings
from kinprint.client.errors import KinprintError, UnavailableError, from_status
from kinprint.client.sync.calls import Calls
from kinprint.client.sync.results import ClusterSearch, DuplicateSearch, OverlapSearch
from kinprint.client.transport import check_size
from kinprint.client.types import (
    ChannelName,
    Comparison,
    DuplicatesProgress,
    Filter,
    Fingerprints,
    Link,
    SearchOutcome,
    SearchQuery,
    SearchResult,
    TierName,
    TranscriptRef,
)
from kinprint.client.upsert import RetryClock, is_retryable
from kinprint.client.wire.sync import Items, each, opening, sleep
from kinprint.v1 import match_pb2


class MatchCalls(Calls):
    """Calls that match texts."""

    def fingerprint(
        self,
        texts: Sequence[str],
        *,
        channels: ChannelName | Sequence[ChannelName] = (),
        timeout: float | None = None,
    ) -> Fingerprints:
        """Fingerprints of 1 to 1000 texts, without storing anything; channels empty: copy and style."""
        request = match.fingerprint_request(texts, channels)
        return match.fingerprints_from_proto(self._unary(contract.FINGERPRINT, request, timeout))

    def search(
        self,
        text: str | None = None,
        *,
        id: str | None = None,
        corpus: str | None = None,
        corpora: str | Sequence[str] = (),
        channels: ChannelName | Sequence[ChannelName] = (),
        top: int = 10,
        filter: Filter | None = None,
        min_score: float | None = None,
        max_spans: int = 0,
        max_evidence: int | None = None,
        query_language: str | None = None,
        tier: TierName | None = None,
        see_through: bool = True,
        timeout: float | None = None,
    ) -> SearchResult:
        """The transcripts whose answers resemble a text, or the stored transcript `id`, best first.

        Args:
            text: the text to look for.
            id: or the id of a stored transcript; `corpus` says where it is, when several are searched.
            corpus: corpus to search, and home of `id`.
            corpora: corpora to search, in place of `corpus`; one name or several.
            channels: channels to search; empty: copy. Scores of different channels are never mixed.
            top: most hits per channel, 1 to 1000.
            filter: rows that may be returned.
            min_score: least score of a hit.
            max_spans: most spans of a copy hit, 0 for 20.
            max_evidence: most hits per channel that get evidence, the best ones; 0 spares the time it takes, None
                leaves the default of the server. The others have `evidence` None.
            query_language: language of the text, when known.
            tier: tier of the semantic channel, "fast" or "accurate"; None: both, each row by the best that it has.
            see_through: whether the copy channel undoes disguises of letters (zero-width code points, look-alikes of
                other scripts, full-width forms, letters set apart) on both sides; evidence names those that mattered.
            timeout: seconds.

        Raises:
            FailedPreconditionError: a channel was never filled (the message says how to fill it).
        """
        query = SearchQuery(
            text=text,
            id=id,
            corpus=corpus,
            corpora=corpora,
            channels=channels,
            top=top,
            filter=filter,
            min_score=min_score,
            max_spans=max_spans,
            max_evidence=max_evidence,
            query_language=query_language,
            tier=tier,
            see_through=see_through,
        )
        response = self._unary(contract.SEARCH, match.search_request(query), timeout)
        return match.search_result_from_proto(response)

    def search_many(
        self,
        queries: Items[str | SearchQuery | Mapping[str, Any]],
        *,
        corpus: str | None = None,
        corpora: str | Sequence[str] = (),
        channels: ChannelName | Sequence[ChannelName] = (),
        top: int = 10,
        filter: Filter | None = None,
        min_score: float | None = None,
        max_spans: int = 0,
        max_evidence: int | None = None,
        query_language: str | None = None,
        tier: TierName | None = None,
        see_through: bool = True,
        window: int = 64,
        timeout: float | None = None,
    ) -> Iterator[SearchOutcome]:
        """Search for many texts over one stream; answers come as they are ready, each with its index.

        A query that fails gives an outcome with `error` and the others go on. When the server goes away,
        unanswered queries are sent again.

        Args:
            queries: texts; mappings with names of arguments of `search`, which go before those given here; or
                `SearchQuery`s, for which what is given here does not count.
            corpus: as in `search`, like all others down to `see_through`.
            window: most queries that are on their way at once.
            timeout: seconds for each stream, None for no limit.
        """
        common = SearchQuery(
            corpus=corpus,
            corpora=corpora,
            channels=channels,
            top=top,
            filter=filter,
            min_score=min_score,
            max_spans=max_spans,
            max_evidence=max_evidence,
            query_language=query_language,
            tier=tier,
            see_through=see_through,
        )
        source = each(queries)
        count = 0
        waiting: dict[int, match_pb2.SearchRequest] = {}
        clock = RetryClock(self._retry_deadline)
        exhausted = False
        while not exhausted or waiting:
            self._check_open()
            connection = self._connection
            stream = self._open(contract.STREAM_SEARCH, None, timeout)
            try:
                for tag, search in waiting.items():
                    stream.send(match_pb2.StreamSearchRequest(tag=tag, search=search))
                while True:
                    while not exhausted and len(waiting) < max(window, 1):
                        query = next(source, None)
                        if query is None:
                            exhausted = True
                            break
                        index, count = count, count + 1
                        try:
                            request = match.search_request(match.query_of(query, common))
                            check_size(request, self._limits)
                        except KinprintError as error:
                            yield SearchOutcome(index, None, error)
                            continue
                        waiting[index] = request
                        stream.send(match_pb2.StreamSearchRequest(tag=index, search=request))
                    if not waiting:
                        break
                    message = stream.receive()
                    if message is None:
                        raise UnavailableError("the server ended the stream of searches early")
                    clock.progress()
                    if waiting.pop(message.tag, None) is None:
                        continue
                    if message.WhichOneof("result") == "error":
                        yield SearchOutcome(message.tag, None, from_status(message.error))
                    else:
                        yield SearchOutcome(message.tag, match.search_result_from_proto(message.response), None)
            except KinprintError as error:
                delay = clock.next_delay(error.retry_after) if is_retryable(error) else None
                if delay is None:
                    raise
                sleep(delay)
                self._reestablish(connection)
            finally:
                stream.close()

    def compare(
        self,
        a: str | TranscriptRef,
        b: str | TranscriptRef,
        *,
        channels: ChannelName | Sequence[ChannelName] = (),
        max_spans: int = 0,
        see_through: bool = True,
        timeout: float | None = None,
    ) -> Comparison:
        """Compare two texts or stored transcripts in every channel asked for (empty: all that there are).

        `see_through` as in `search`.
        """
        request = match.compare_request(a, b, channels, max_spans, see_through)
        return match.comparison_from_proto(self._unary(contract.COMPARE, request, timeout))

    @opening
    def find_duplicates(
        self,
        corpora: str | Sequence[str],
        threshold: float = 0.7,
        *,
        exact: bool = False,
        see_through: bool = False,
        against: str | Sequence[str] = (),
        expand: bool = False,
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> DuplicateSearch:
        """All near-duplicate pairs within and between corpora, streamed in batches.

        Args:
            corpora: one name or several.
            threshold: least Jaccard of a pair, 0.1 to 1.
            exact: miss no pair; takes longer, and 8 bytes of memory a shingle.
            see_through: compare answers without disguises of letters, as `search` does.
            against: names of other corpora; only pairs between the two sides are sought.
            expand: list every pair of identical answers, not only those with the smallest id of the group.
            filter: rows to consider.
            progress: called as the search goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        names, others = strings(corpora, "corpora"), strings(against, "against")
        request = duplicates.duplicates_request(
            names, threshold, filter, expand=expand, exact=exact, see_through=see_through, against=others
        )
        pairs = partial(duplicates.pairs_from_proto, corpora=[*names, *others])
        summary = duplicates.summary_from_proto
        return self._run(contract.FIND_DUPLICATES, request, timeout, "pairs", pairs, summary, progress)

    @opening
    def find_clusters(
        self,
        corpora: str | Sequence[str],
        threshold: float = 0.7,
        *,
        exact: bool = False,
        link: Link = "component",
        see_through: bool = False,
        filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> ClusterSearch:
        """The cluster of every row that is not blank, streamed in batches, ordered by corpus and id.

        With `link="component"` clusters are the connected components of the near-duplicate pairs; two rows of one need
        not be alike themselves. With `link="star"` every row makes a pair with the representative of its cluster: it
        joins the most similar one with a smaller id, or is one. Other arguments as in `find_duplicates`.
        """
        names = strings(corpora, "corpora")
        request = duplicates.duplicates_request(
            names, threshold, filter, exact=exact, see_through=see_through, clusters=True, link=link
        )
        clusters = partial(duplicates.clusters_from_proto, corpora=names)
        summary = duplicates.summary_from_proto
        return self._run(contract.FIND_DUPLICATES, request, timeout, "clusters", clusters, summary, progress)

    @opening
    def find_overlaps(
        self,
        corpora: str | Sequence[str],
        against: str | Sequence[str],
        *,
        min_tokens: int = 0,
        min_bits: float = 0.0,
        max_texts: int = 0,
        every: bool = False,
        unmarked: bool = False,
        filter: Filter | None = None,
        against_filter: Filter | None = None,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> OverlapSearch:
        """Which answers stand, in part and word for word, in others, streamed in batches.

        Args:
            corpora: one name or several (side A).
            against: names of the corpora to compare with (side B); the same names compare every answer with all
                others.
            min_tokens: least words (or code points, in scripts without spaces) of a passage; 0 means 12.
            min_bits: least rarity of a passage.
            max_texts: seeds in more texts of side B than this are passed over as common phrases; 0 means 2000.
            every: list each answer of side B that holds a passage, not only the first.
            unmarked: leave out passages that are marked as no evidence.
            filter: rows of side A to consider.
            against_filter: rows of side B to consider; on the same corpora, those of side A are left out.
            progress: called as the search goes on.
            timeout: seconds for the whole run, None for no limit.
        """
        names, others = strings(corpora, "corpora"), strings(against, "against")
        request = duplicates.overlaps_request(
            names,
            others,
            filter,
            against_filter,
            min_tokens=min_tokens,
            min_bits=min_bits,
            max_texts=max_texts,
            every=every,
            unmarked=unmarked,
        )
        spans = partial(duplicates.spans_from_proto, corpora=names, against=others)
        summary = duplicates.overlaps_summary_from_proto
        return self._run(contract.FIND_OVERLAPS, request, timeout, "spans", spans, summary, progress)
