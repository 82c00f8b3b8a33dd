"""MatchService."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
from kinprint.kernels.copy import sketch
from kinprint.kernels.style import stylometry
from kinprint.server.channels import CHANNELS, DEFAULT
from kinprint.server.channels.meaning import Meaning
from kinprint.server.channels.protocol import Comparison
from kinprint.server.corpus.corpus import Corpus
from kinprint.server.corpus.filter import Filter
from kinprint.server.corpus.language import detect_languages
from kinprint.server.corpus.listing import find
from kinprint.server.corpus.normalise import language_tag
from kinprint.server.edge.errors import status_of
from kinprint.server.edge.visible import visible
from kinprint.server.embed import sentence_starts, sentences_of
from kinprint.server.failures import InvalidField, Unavailable
from kinprint.server.jobs.registry import Request
from kinprint.server.limits import LIMITS, Lease
from kinprint.server.search import duplicates, passages
from kinprint.server.search.query import Query, QueryInfo, blank_of, given, stored, stored_sentences
from kinprint.server.search.run import SearchRequest, background_of, covered, run_search
from kinprint.server.services.messages import types as convert
from kinprint.server.services.messages.match import (
    compare_response,
    duplicates_messages,
    overlaps_messages,
    search_response,
)
from kinprint.server.services.messages.provenance import provenance, states
from kinprint.server.services.streams import Incoming, let_go, long_run
from kinprint.server.state import State
from kinprint.server.store.columns import encode_texts
from kinprint.v1 import match_pb2, match_pb2_grpc, types_pb2
from numpy.typing import NDArray

#: Searches of one stream that run side by side.
_STREAM_WINDOW = 8
#: Bytes of a query without which its language is not told: the detector guesses at phrases.
_LEAST_TOLD = 60


class MatchService(match_pb2_grpc.MatchServiceServicer):
    """Fingerprints, searches and compares texts."""

    def __init__(self, state: State) -> None:
        self._state = state

    # ---- fingerprint ----

    async def Fingerprint(  # noqa: N802
        self, request: match_pb2.FingerprintRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> match_pb2.FingerprintResponse:
        channels = convert.channel_names(request.channels, DEFAULT)
        if not 1 <= len(request.texts) <= 1000:
            raise InvalidField("texts", "give 1 to 1000 texts", "FIELD_INVALID" if request.texts else "FIELD_MISSING")
        texts = list(request.texts)
        response = match_pb2.FingerprintResponse()

        def cheap() -> None:
            for i, text in enumerate(texts):
                if len(text.encode()) > LIMITS.max_text_bytes:
                    raise InvalidField(
                        f"texts[{i}]",
                        f"the text is longer than {LIMITS.max_text_bytes} bytes of UTF-8",
                        "TEXT_TOO_LONG",
                    )
            data, offsets = encode_texts(texts)
            if "copy" in channels:
                made = sketch.sketch(data, offsets)
                response.sketch_scheme = CHANNELS["copy"].scheme
                response.sketches.CopyFrom(convert.matrix(made.signatures))
                response.text_hashes.CopyFrom(convert.matrix(made.text_hashes))
            if "style" in channels:
                vectors = stylometry.style_vectors(data, offsets)
                response.style_scheme = CHANNELS["style"].scheme
                response.styles.CopyFrom(convert.matrix(vectors))

        await self._state.read(cheap)
        if "semantic" in channels:
            service, space = await self._state.model.require()
            blank = set(await self._state.read(lambda: blank_of(texts).tolist()))
            sentences = await self._state.read(
                lambda: [[] if i in blank else sentences_of(text) for i, text in enumerate(texts)]
            )
            embedded = await service.embed_passages([s for found in sentences for s in found])

            def pooled() -> None:
                vectors = np.zeros((len(texts), space.dim), np.float32)
                filled = [i for i, found in enumerate(sentences) if found]
                starts = sentence_starts([sentences[i] for i in filled])
                vectors[filled] = space.pool(space.neutral(embedded.vectors), starts)
                response.model_digest = space.digest
                response.embeddings.CopyFrom(convert.matrix(vectors))

            await self._state.read(pooled)
        return response

    # ---- search ----

    async def Search(  # noqa: N802
        self, request: match_pb2.SearchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> match_pb2.SearchResponse:
        return await self._search(request)

    async def StreamSearch(  # noqa: N802
        self, requests: AsyncIterator[match_pb2.StreamSearchRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[match_pb2.StreamSearchResponse]:
        # Bounded, as is what was asked and not yet answered: who does not read has nothing further taken.
        answers: asyncio.Queue[match_pb2.StreamSearchResponse | Exception | None] = asyncio.Queue(_STREAM_WINDOW)
        room = asyncio.Semaphore(_STREAM_WINDOW)
        tasks: set[asyncio.Task[None]] = set()

        async def answer(request: match_pb2.StreamSearchRequest, lease: Lease | None) -> None:
            try:
                found = match_pb2.StreamSearchResponse(tag=request.tag, response=await self._search(request.search))
            except Exception as error:
                found = match_pb2.StreamSearchResponse(tag=request.tag, error=status_of(error))
            let_go(lease)
            await answers.put(found)
            room.release()

        async def read() -> None:
            ended: Exception | None = None
            try:
                async with Incoming(self._state, requests, "search again on the next") as incoming:
                    while (request := await incoming.next()) is not None:
                        await room.acquire()
                        task = asyncio.create_task(answer(request, await incoming.hold()))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
            except Exception as error:  # raised below, so that the call ends with its status
                ended = error
            if ended is None or isinstance(ended, Unavailable):
                while tasks:  # what was asked for before is answered
                    await asyncio.wait(set(tasks))
            await answers.put(ended)

        reader = asyncio.create_task(read())
        try:
            while (item := await answers.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            reader.cancel()
            for task in set(tasks):
                task.cancel()

    async def _search(self, request: match_pb2.SearchRequest) -> match_pb2.SearchResponse:
        started = time.perf_counter()
        await self._state.startup.until_compiled("search", self._state.draining)
        channels = convert.channel_names(request.channels, ("copy",))
        corpora = visible(self._state).several(request.corpora)
        known = states(corpora)
        views = [corpus.view for corpus in corpora]
        if request.top > 1000:
            raise InvalidField("top", "top is at most 1000", "FIELD_INVALID")
        min_score = request.min_score if request.HasField("min_score") else None
        if min_score is not None and math.isnan(min_score):
            raise InvalidField("min_score", "min_score is not a number", "FIELD_INVALID")
        language = language_tag(request.query_language, "query_language")
        query, info = await self._query(request.query, "query", language, detect="semantic" in channels)

        tier = convert.tier_of(request.tier)
        query = replace(query, tier=tier, see_through=not request.HasField("see_through") or request.see_through)
        semantic = any(CHANNELS[channel].embedded for channel in channels)
        if semantic and tier != "accurate":
            await self._state.with_tables(corpora)
            known = states(corpora)
            views = [corpus.view for corpus in corpora]

        def prepared() -> Filter:
            covered(channels, views, tier)
            return convert.row_filter(request.filter)

        rows = await self._state.read(prepared)
        timings = (0.0, 0.0)
        if semantic and tier != "fast":
            query, timings = await self._embedded_for(query, corpora)
        search = SearchRequest(
            query,
            info,
            views,
            channels,
            rows,
            top=request.top or 10,
            min_score=min_score,
            max_spans=min(request.max_spans or 20, 1000),
            max_evidence=request.max_evidence if request.HasField("max_evidence") else 10,
        )
        gone = threading.Event()
        try:
            outcome = await self._state.read(lambda: search_response(run_search(search, gone.is_set)))
        finally:
            gone.set()
        outcome.provenance.CopyFrom(provenance(known, views))
        if semantic:
            for name in {hit.corpus for hit in outcome.hits}:
                by_fast = [h.id for h in outcome.hits if h.corpus == name and h.semantic.tier == types_pb2.TIER_FAST]
                self._state.filler.asked_for(name, by_fast)
        outcome.timings.queue_seconds, outcome.timings.embed_seconds = timings
        outcome.timings.total_seconds = time.perf_counter() - started
        return outcome

    async def _query(
        self, source: match_pb2.TextSource, field: str, language: str | None = None, *, detect: bool
    ) -> tuple[Query, QueryInfo]:
        """The text to search for, without reasoning, and what was understood of it.

        The language is detected only where evidence names it: the detector takes a second to load.
        """
        kind = source.WhichOneof("source")
        if kind == "transcript":
            view = visible(self._state).get(source.transcript.corpus, f"{field}.transcript.corpus").view

            def read() -> tuple[Query, QueryInfo]:
                return stored(view, find(view, source.transcript.id, f"{field}.transcript.id"), field, language)

            return await self._state.read(read)
        if kind == "text":

            def take() -> tuple[Query, QueryInfo]:
                text = convert.text_of(source, f"{field}.text")
                query, info = given(text, field, language)
                if language is None and detect:
                    known = detect_languages([query.text])[0] if len(query.text.encode()) >= _LEAST_TOLD else None
                    query, info = replace(query, language=known), replace(info, language=known)
                return query, info

            return await self._state.read(take)
        raise InvalidField(field, f"{field} holds neither text nor transcript", "FIELD_MISSING")

    async def _embedded_for(self, query: Query, corpora: Sequence[Corpus]) -> tuple[Query, tuple[float, float]]:
        """As `_embedded`; a query that may go by fast vectors alone does without where there are no others.

        Raises ModelMismatch.
        """
        if query.tier is None:
            if all(corpus.space is None or not corpus.view.filled("semantic") for corpus in corpora):
                return query, (0.0, 0.0)
            if not self._state.model.available and any(corpus.view.filled("fast") for corpus in corpora):
                return query, (0.0, 0.0)
        return await self._embedded(query, corpora)

    async def _embedded(self, query: Query, corpora: Sequence[Corpus]) -> tuple[Query, tuple[float, float]]:
        """The query with the vectors of its sentences; (queue, embed) seconds.

        A stored transcript that is embedded already needs no model.  Raises ModelMismatch.
        """
        spaces = [corpus for corpus in corpora if corpus.space is not None]
        if query.itself is not None:
            itself = query.itself
            own = visible(self._state).get(itself[0])

            def there() -> NDArray[np.float32] | None:
                view = own.view
                place = view.locate([itself[1]])[0]
                return stored_sentences(view, place) if place is not None else None

            known = await self._state.read(there)
            if known is not None and own.space is not None:
                for corpus in spaces:
                    corpus.check_space(own.space)
                return replace(query, sentences=known), (0.0, 0.0)
        service, space = await self._state.embedder_of(spaces)
        vectors, cut, timings = await service.embed_search(await self._state.read(lambda: sentences_of(query.text)))
        took = (timings.queue_s, timings.tokenise_s + timings.infer_s)
        return replace(query, sentences=await self._state.read(lambda: space.neutral(vectors)), truncated=cut), took

    # ---- compare ----

    async def Compare(  # noqa: N802
        self, request: match_pb2.CompareRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> match_pb2.CompareResponse:
        await self._state.startup.until_compiled("search", self._state.draining)
        default = ("copy", "style", "semantic") if self._state.model.available else ("copy", "style")
        channels = convert.channel_names(request.channels, default)
        detect = "semantic" in channels
        sides = [
            await self._query(source, field, detect=detect) for source, field in ((request.a, "a"), (request.b, "b"))
        ]
        see_through = not request.HasField("see_through") or request.see_through
        sides = [(replace(query, see_through=see_through), info) for query, info in sides]
        (a, _), (b, _) = sides
        names = dict.fromkeys(q.itself[0] for q in (a, b) if q.itself is not None)
        corpora = [visible(self._state).get(name) for name in names]
        known = states(corpora)
        views = [corpus.view for corpus in corpora]
        meaning = Meaning()
        if any(CHANNELS[channel].embedded for channel in channels):
            _service, space = await self._state.model.require()
            (a, _), (b, _) = await asyncio.gather(self._embedded(a, ()), self._embedded(b, ()))
            # Of stored texts, the scores of their corpus; of two corpora neither is the other's measure.
            measured = views[0].meaning.measured if len(views) == 1 else {}
            meaning = Meaning(space, measured=measured)
        parts = [part for view in views for part in view.parts]
        weighed_by = background_of(views, a, b)
        comparison = Comparison(parts, meaning, min(request.max_spans or 100, 10_000), weighed_by)
        made = await self._state.read(
            lambda: compare_response({name: CHANNELS[name].compare(a, b, comparison) for name in channels})
        )
        made.provenance.CopyFrom(provenance(known, views))
        return made

    # ---- long runs ----

    def FindDuplicates(  # noqa: N802
        self, request: match_pb2.FindDuplicatesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[match_pb2.FindDuplicatesResponse]:
        places: list[NDArray[np.int64]] = []

        def asked() -> Request:
            if not 0.1 <= request.threshold <= 1:
                raise InvalidField("threshold", "threshold lies between 0.1 and 1", "FIELD_INVALID")
            if request.output not in match_pb2.DuplicatesOutput.values():
                raise InvalidField("output", f"no such output: {request.output}", "FIELD_INVALID")
            corpora = visible(self._state).several(request.corpora)
            against = visible(self._state).several(request.against, "against") if request.against else []
            _refuse_common(corpora, against)
            as_clusters = request.output == match_pb2.DUPLICATES_OUTPUT_CLUSTERS
            if as_clusters and (against or request.expand):
                raise InvalidField("output", "clusters go neither with against nor with expand", "FIELD_INVALID")
            if request.link not in match_pb2.DuplicatesLink.values():
                raise InvalidField("link", f"no such link: {request.link}", "FIELD_INVALID")
            if request.link and not as_clusters:
                raise InvalidField("link", "link goes with clusters", "FIELD_INVALID")
            views = [corpus.view for corpus in (*corpora, *against)]
            covered(("copy",), views)
            named: dict[str, Any] = {"rows": convert.row_filter(request.filter), "exact": request.exact}
            named["see_through"] = request.see_through
            if as_clusters:
                named["link"] = "star" if request.link == match_pb2.DUPLICATES_LINK_STAR else "component"
            else:
                named |= {"expand": request.expand, "between": len(corpora) if against else None}
            places.append(_positions(corpora, request.corpora, against, request.against))
            function = duplicates.find_clusters if as_clusters else duplicates.find_duplicates
            return Request(
                "FindDuplicates", [view.corpus for view in views], function, (views, request.threshold), named
            )

        return long_run(self._state, context, asked, lambda made: duplicates_messages(made, places[0]))

    def FindOverlaps(  # noqa: N802
        self, request: match_pb2.FindOverlapsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[match_pb2.FindOverlapsResponse]:
        places: list[NDArray[np.int64]] = []

        def asked() -> Request:
            corpora = visible(self._state).several(request.corpora)
            against = visible(self._state).several(request.against, "against")
            if [c.name for c in corpora] != [c.name for c in against]:
                _refuse_common(corpora, against)
            if request.min_tokens > 10_000:
                raise InvalidField("min_tokens", "min_tokens is at most 10000", "FIELD_INVALID")
            if not math.isfinite(request.min_bits):
                raise InvalidField("min_bits", "min_bits is a finite number", "FIELD_INVALID")
            standard = passages.Options()
            options = passages.Options(
                min_tokens=request.min_tokens or standard.min_tokens,
                max_texts=request.max_texts or standard.max_texts,
                min_bits=request.min_bits,
                every=request.every,
                unmarked=request.unmarked,
            )
            views, others = ([c.view for c in side] for side in (corpora, against))
            rows = convert.row_filter(request.filter)
            against_rows = convert.row_filter(request.against_filter, "against_filter")
            places.extend((_positions(corpora, request.corpora), _positions(against, request.against)))
            names = [view.corpus for view in (*views, *others)]
            return Request("FindOverlaps", names, passages.find_overlaps, (views, others, options, rows, against_rows))

        return long_run(self._state, context, asked, lambda made: overlaps_messages(made, places, len(places[0])))


def _refuse_common(corpora: Sequence[Corpus], against: Sequence[Corpus]) -> None:
    both = {c.name for c in corpora} & {c.name for c in against}
    if both:
        raise InvalidField("against", f"corpus {min(both)!r} is on both sides", "FIELD_INVALID")


def _positions(*named: Any) -> NDArray[np.int64]:
    """Where each corpus, as it is gone through, stands in the request; one named twice counts where it is first."""
    places: list[int] = []
    before = 0
    for corpora, names in zip(named[0::2], named[1::2], strict=True):
        places += [before + list(names).index(corpus.name) for corpus in corpora]
        before += len(names)
    return np.array(places, np.int64)
