"""Calls on the semantic channel: filling its accurate tier, and fitting its fast one."""

from __future__ import annotations

from collections.abc import Callable

from kinprint.client import contract
from kinprint.client.aio.calls import AsyncCalls
from kinprint.client.convert import semantic as convert
from kinprint.client.types import DistilReport, DuplicatesProgress, Fill, ModelComparison
from kinprint.client.wire.aio import collected


class AsyncSemanticCalls(AsyncCalls):
    """Calls on the semantic channel."""

    async def start_fill(
        self,
        corpus: str,
        *,
        most_rows_per_second: float = 0.0,
        model: str | None = None,
        timeout: float | None = None,
    ) -> Fill:
        """Start to fill the accurate tier of a corpus, or go on after a pause; the server works behind.

        It goes on over restarts of the server until every row is filled, those that come later, too.

        Args:
            corpus: name of the corpus.
            most_rows_per_second: most rows a second; 0: as many as there is time for. Searches always go first.
            model: directory, on the machine of the server, of a second model to fill beside the one that the corpus
                has, or "default"; it is kept until `switch_model` or `drop_model`. None: the model of the corpus.
            timeout: seconds.

        Returns:
            How far it is now.

        Raises:
            FailedPreconditionError: the server runs without an embedding model (reason CHANNEL_UNAVAILABLE), or with
                another one than the corpus was filled by (MODEL_MISMATCH), or a second model is to be filled where
                there is no first (MODEL_NOT_FILLED).
        """
        request = convert.start_fill_request(corpus, most_rows_per_second, model)
        return convert.fill_from_proto((await self._unary(contract.START_FILL, request, timeout)).fill)

    async def pause_fill(self, corpus: str, *, timeout: float | None = None) -> Fill:
        """Stop filling a corpus until `start_fill`; returns how far it is."""
        request = convert.pause_fill_request(corpus)
        return convert.fill_from_proto((await self._unary(contract.PAUSE_FILL, request, timeout)).fill)

    async def get_fill(self, corpus: str, *, timeout: float | None = None) -> Fill:
        """How far a corpus is filled."""
        request = convert.get_fill_request(corpus)
        return convert.fill_from_proto((await self._unary(contract.GET_FILL, request, timeout)).fill)

    async def compare_models(self, corpus: str, *, queries: int = 0, timeout: float | None = None) -> ModelComparison:
        """Search with the same stored answers by both models of a corpus, and tell how they differ.

        Args:
            corpus: name of the corpus.
            queries: answers to search with, 10 to 1000; 0 means 200.
            timeout: seconds.

        Raises:
            FailedPreconditionError: there is no second model (reason MODEL_NOT_FILLED).
        """
        request = convert.compare_models_request(corpus, queries)
        return convert.model_comparison_from_proto(await self._unary(contract.COMPARE_MODELS, request, timeout))

    async def switch_model(self, corpus: str, *, timeout: float | None = None) -> Fill:
        """Have a corpus searched by its second model, and drop the first with its vectors; searches go on meanwhile.

        Raises:
            FailedPreconditionError: there is no second model, or it is not filled as far as the first (reason
                MODEL_NOT_FILLED).
        """
        request = convert.switch_model_request(corpus)
        return convert.fill_from_proto((await self._unary(contract.SWITCH_MODEL, request, timeout)).fill)

    async def drop_model(self, corpus: str, *, timeout: float | None = None) -> Fill:
        """Drop the second model of a corpus with its vectors.

        Raises:
            FailedPreconditionError: there is none (reason MODEL_NOT_FILLED).
        """
        request = convert.drop_model_request(corpus)
        return convert.fill_from_proto((await self._unary(contract.DROP_MODEL, request, timeout)).fill)

    async def distil(
        self,
        corpus: str,
        *,
        sentences: int = 0,
        progress: Callable[[DuplicatesProgress], None] | None = None,
        timeout: float | None = None,
    ) -> DistilReport:
        """Fit the token table of the fast tier to a corpus, and make the corpus' fast vectors anew with it.

        Searches go on by the old table meanwhile. A run that was ended goes on where it was when it is asked for again.

        Args:
            corpus: name of the corpus.
            sentences: most distinct sentences to fit on, 1000 to 1000000; 0 means 40000.
            progress: called as the fit goes on.
            timeout: seconds for the whole run, None for no limit.

        Returns:
            What the fit is worth on rows that it did not see.
        """
        request = convert.distil_request(corpus, sentences)
        summary = convert.distil_report_from_proto
        # All of its messages but the last tell progress: there are no batches.
        async with await self._run(contract.DISTIL, request, timeout, "batch", bytes, summary, progress) as run:
            await collected(run)
        assert run.summary is not None, "a run that ends without an error has its report"
        return run.summary
