"""What an operator switched on, from the start to the last call: audit log, metrics, traces; and the watchdog."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from kinprint.server.edge.audit import AuditLog, Auditor
from kinprint.server.edge.audit_chain import ChainDamaged
from kinprint.server.edge.meter import Observer
from kinprint.server.edge.traces import TracesUnavailable, tracing
from kinprint.server.edge.versions import package_version
from kinprint.server.startup import StartFailed
from kinprint.server.state import State

logger = logging.getLogger(__name__)


class Operating:
    """See the module's text.  What it needs is imported only where it is asked for.

    Attributes
    ----------
    audit
        The audit log, None where none is written.
    observers
        What the meter tells of calls.
    tracers
        Interceptors around it.

    Raises StartFailed.
    """

    def __init__(self, state: State) -> None:
        config = state.config
        self.audit: AuditLog | None = None
        self.observers: list[Observer] = []
        self.tracers: tuple[Any, ...] = ()
        self._ends: list[Callable[[], None]] = []
        self._watching = asyncio.create_task(state.watchdog.run())
        version = package_version("kinprint")
        try:
            if (traced := tracing(version)) is not None:
                self.tracers = (traced[0],)
                self._ends.append(traced[1])
        except TracesUnavailable as error:
            raise StartFailed(str(error)) from error
        if config.audit is not None:
            try:
                self.audit = AuditLog(config.audit, config.audit_bytes)
            except ChainDamaged as error:
                raise StartFailed(str(error)) from error
            except OSError as error:
                raise StartFailed(f"cannot write the audit log {config.audit}: {error.strerror}") from error
            self.observers.append(Auditor(self.audit))
            self._ends.append(self.audit.close)
        if config.metrics is not None:
            from kinprint.server.edge.metrics import registry_of
            from kinprint.server.edge.pages import Pages

            registry, calls = registry_of(state, version, self.audit)
            self.observers.append(calls)
            try:
                pages = Pages(state, registry, config.metrics)
            except OSError as error:
                raise StartFailed(f"cannot listen on {config.metrics} for metrics: {error.strerror}") from error
            self._ends.append(pages.close)
            logger.info("metrics, liveness and readiness on port %d", pages.port)

    async def close(self) -> None:
        """End all of it, the newest first."""
        self._watching.cancel()
        for end in reversed(self._ends):
            with contextlib.suppress(OSError):
                await asyncio.to_thread(end)
