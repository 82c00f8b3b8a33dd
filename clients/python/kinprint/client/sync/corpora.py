# Generated from kinprint/client/aio/corpora.py by tools/generate_sync.py: change that, then run 'make sync'.
"""Calls on corpora."""

from __future__ import annotations

from collections.abc import Iterator

from kinprint.client import contract
from kinprint.client.convert import server as convert
from kinprint.client.sync.calls import Calls
from kinprint.client.types import CorpusInfo


class CorpusCalls(Calls):
    """Calls on corpora."""

    def create_corpus(self, name: str, description: str = "", *, timeout: float | None = None) -> CorpusInfo:
        """Create an empty corpus.

        Raises:
            AlreadyExistsError: the name is taken.
        """
        request = convert.create_corpus_request(name, description)
        response = self._unary(contract.CREATE_CORPUS, request, timeout)
        return convert.corpus_from_proto(response.corpus)

    def get_corpus(self, name: str, *, timeout: float | None = None) -> CorpusInfo:
        """Describe a corpus, with its models, languages and size on disk.

        Raises:
            NotFoundError: there is none of that name.
        """
        response = self._unary(contract.GET_CORPUS, convert.get_corpus_request(name), timeout)
        return convert.corpus_from_proto(response.corpus)

    def list_corpora(self, *, page_size: int = 100, timeout: float | None = None) -> Iterator[CorpusInfo]:
        """All corpora by name, page by page."""
        token = ""
        while True:
            request = convert.list_corpora_request(page_size, token)
            response = self._unary(contract.LIST_CORPORA, request, timeout)
            for corpus in response.corpora:
                yield convert.corpus_from_proto(corpus)
            token = response.next_page_token
            if not token:
                return

    def delete_corpus(self, name: str, *, timeout: float | None = None) -> int:
        """Delete a corpus for good; returns how many transcripts it held."""
        request = convert.delete_corpus_request(name)
        return (self._unary(contract.DELETE_CORPUS, request, timeout)).transcripts
