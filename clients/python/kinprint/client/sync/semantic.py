# Generated from kinprint/client/aio/semantic.py by tools/generate_sync.py: change that, then run 'make sync'.
"""Calls on the semantic channel: filling its accurate tier, and fitting its fast one."""

from __future__ import annotations

from collections.abc import Callable

from kinprint.client import contract
from kinprint.client.convert import semantic as convert
from kinprint.client.sync.calls import Calls
from kinprint.client.types import DistilReport, DuplicatesProgress, Fill
from kinprint.client.wire.sync import collected


class SemanticCalls(Calls):
    """Calls on the semantic channel."""

    def start_fill(self, corpus: str, *, most_rows_per_second: float = 0.0, timeout: float | None = None) -> Fill:
        """Start to fill the accurate tier of a corpus, or go on after a pause; the server works behind.

        It goes on over restarts of the server until every row is filled, those that come later, too.

        Args:
            corpus: name of the corpus.
            most_rows_per_second: most rows a second; 0: as many as there is time for. Searches always go first.
            timeout: seconds.

        Returns:
            How far it is now.

        Raises:
            FailedPreconditionError: the server runs without an embedding model (reason CHANNEL_UNAVAILABLE), or with
                another one than the corpus was filled by (MODEL_MISMATCH).
        """
        request = convert.start_fill_request(corpus, most_rows_per_second)
        return convert.fill_from_proto((self._unary(contract.START_FILL, request, timeout)).fill)

    def pause_fill(self, corpus: str, *, timeout: float | None = None) -> Fill:
        """Stop filling a corpus until `start_fill`; returns how far it is."""
        request = convert.pause_fill_request(corpus)
        return convert.fill_from_proto((self._unary(contract.PAUSE_FILL, request, timeout)).fill)

    def get_fill(self, corpus: str, *, timeout: float | None = None) -> Fill:
        """How far a corpus is filled."""
        request = convert.get_fill_request(corpus)
        return convert.fill_from_proto((self._unary(contract.GET_FILL, request, timeout)).fill)

    def distil(
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
        with self._run(contract.DISTIL, request, timeout, "batch", bytes, summary, progress) as run:
            collected(run)
        assert run.summary is not None, "a run that ends without an error has its report"
        return run.summary
