# Generated from kinprint/client/aio/snapshots.py by tools/generate_sync.py: change that, then run 'make sync'.
"""Calls on snapshots: corpora as they were at a moment, kept beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kinprint.client import contract
from kinprint.client.contract import Method, Request, Response
from kinprint.client.convert import server as convert_server
from kinprint.client.convert import snapshots as convert
from kinprint.client.errors import UnavailableError
from kinprint.client.sync.calls import Calls
from kinprint.client.types import CorpusInfo, Snapshot, SnapshotProgress, SnapshotReport


class SnapshotCalls(Calls):
    """Calls on snapshots; they are for administrators who are bound to no corpora."""

    def create_snapshot(
        self,
        name: str = "",
        corpora: Iterable[str] = (),
        *,
        progress: Callable[[SnapshotProgress], None] | None = None,
        timeout: float | None = None,
    ) -> Snapshot:
        """Take a snapshot of some corpora, or of all, while searches and writes go on.

        Each corpus is in it as it was at one moment, with everything that was acknowledged before the call. It is a
        data directory of its own, `snapshots/NAME` in that of the server, complete in itself: copy it, serve it.

        Args:
            name: its name, by the rule for names of corpora; "": the time, such as 20260102T030405Z.
            corpora: names of the corpora, at most 100; none: all that could be opened.
            progress: called as it goes on.
            timeout: seconds for the whole, None for no limit. A call that ends early leaves nothing.

        Raises:
            AlreadyExistsError: the name is taken (reason SNAPSHOT_EXISTS).
            NotFoundError: there is no such corpus.
        """
        request = convert.create_snapshot_request(name, corpora)
        method = contract.CREATE_SNAPSHOT
        done = self._followed(method, request, timeout, progress, lambda message: message.HasField("snapshot"))
        return convert.snapshot_from_proto(done.snapshot)

    def list_snapshots(self, *, timeout: float | None = None) -> list[Snapshot]:
        """The snapshots of the server, oldest first."""
        response = self._unary(contract.LIST_SNAPSHOTS, convert.list_snapshots_request(), timeout)
        return [convert.snapshot_from_proto(snapshot) for snapshot in response.snapshots]

    def delete_snapshot(self, name: str, *, timeout: float | None = None) -> int:
        """Delete a snapshot; returns how many bytes were freed.

        Raises:
            NotFoundError: there is none of that name (reason SNAPSHOT_NOT_FOUND).
            FailedPreconditionError: it is checked, restored from, or served (reason SNAPSHOT_BUSY).
        """
        request = convert.delete_snapshot_request(name)
        return (self._unary(contract.DELETE_SNAPSHOT, request, timeout)).freed_bytes

    def verify_snapshot(
        self,
        name: str,
        *,
        progress: Callable[[SnapshotProgress], None] | None = None,
        timeout: float | None = None,
    ) -> SnapshotReport:
        """Compare every file of a snapshot with its digest, and every row with its content hash.

        Returns:
            What was found; that something is damaged is no error of the call.

        Raises:
            NotFoundError: there is none of that name (reason SNAPSHOT_NOT_FOUND).
        """
        request = convert.verify_snapshot_request(name)
        method = contract.VERIFY_SNAPSHOT
        done = self._followed(method, request, timeout, progress, lambda message: bool(message.done))
        return convert.report_from_proto(done)

    def restore_snapshot(
        self,
        name: str,
        corpus: str,
        *,
        as_name: str = "",
        replace: bool = False,
        progress: Callable[[SnapshotProgress], None] | None = None,
        timeout: float | None = None,
    ) -> CorpusInfo:
        """Bring a corpus of a snapshot into the server, once its files were checked.

        Args:
            name: the snapshot.
            corpus: the corpus in it.
            as_name: name that it gets here; "": its own.
            replace: put it in the place of the corpus that has the name here, which is deleted for good.
            progress: called as it goes on.
            timeout: seconds for the whole, None for no limit.

        Returns:
            The corpus as it is now.

        Raises:
            AlreadyExistsError: the name is taken (reason CORPUS_EXISTS).
            NotFoundError: there is no such snapshot (SNAPSHOT_NOT_FOUND), or no such corpus in it (CORPUS_NOT_FOUND).
            FailedPreconditionError: a file of the snapshot is not what was written (reason SNAPSHOT_DAMAGED, with
                `file` in `metadata`), or a stream writes to what is replaced (CORPUS_BUSY).
        """
        request = convert.restore_snapshot_request(name, corpus, as_name, replace)
        method = contract.RESTORE_SNAPSHOT
        done = self._followed(method, request, timeout, progress, lambda message: message.HasField("corpus"))
        return convert_server.corpus_from_proto(done.corpus)

    def _followed(
        self,
        method: Method[Request, Response],
        request: Request,
        timeout: float | None,
        progress: Callable[[SnapshotProgress], None] | None,
        is_last: Callable[[Any], bool],
    ) -> Response:
        """The last message of a call whose others tell its progress."""
        self.server_info()  # finds or starts the server of a directory
        stream = self._open(method, request, timeout)
        try:
            while (message := stream.receive()) is not None:
                if is_last(message):
                    return message
                if progress is not None:
                    step: Any = message
                    progress(SnapshotProgress(step.step, getattr(step, "share", 0.0)))
        finally:
            stream.close()
        raise UnavailableError(f"{method.name} ended without its last message; look how things stand, then repeat it")
