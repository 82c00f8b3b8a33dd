"""The pages for operators, over HTTP on a port of their own: /metrics, /livez, /readyz.

In threads, so that they answer, and say so, while the event loop stands still.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from kinprint.server.state import State
from kinprint.server.wording import counted
from prometheus_client import make_wsgi_app
from prometheus_client.core import CollectorRegistry

#: Seconds that the event loop may stand still before the process is called dead: a supervisor restarts it.
_DEAD_SECONDS = 30.0
#: Seconds that a client has for its request.
_PATIENCE = 5.0
_Start = Callable[[str, list[tuple[str, str]]], Any]


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: a probe comes every few seconds."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class Pages:
    """Serves the pages of a server until `close`.

    Raises OSError when it cannot listen.
    """

    def __init__(self, state: State, registry: CollectorRegistry, endpoint: str) -> None:
        host, _, port = endpoint.rpartition(":")
        host = host.strip("[]")
        metrics = make_wsgi_app(registry)

        def app(environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
            match environ.get("PATH_INFO"):
                case "/livez":
                    return _answer(start, *alive(state))
                case "/readyz":
                    return _answer(start, *ready(state))
                case "/metrics":
                    return metrics(environ, start)  # type: ignore[no-any-return]
            return _answer(start, False, "the pages are /metrics, /livez and /readyz", "404 Not Found")

        self._server = make_server(host, int(port), app, _Server6 if ":" in host else _Server, _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="kinprint-pages", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def alive(state: State) -> tuple[bool, str]:
    """Whether the process works; restarting it helps where not."""
    silent = state.watchdog.silent
    if silent > _DEAD_SECONDS:
        return False, f"the event loop has stood still for {silent:.0f} s"
    return True, "alive"


def ready(state: State) -> tuple[bool, str]:
    """Whether it takes calls."""
    if state.draining.is_set():
        return False, "shutting down"
    if not state.serving:
        progress = state.startup.progress
        return False, f"starting: {progress.step} ({progress.share:.0%})"
    unavailable = len(state.catalog.unavailable)
    return (
        True,
        "ready" if not unavailable else f"ready; {counted(unavailable, 'corpus is', 'corpora are')} unavailable",
    )


def _answer(start: _Start, good: bool, text: str, bad: str = "503 Service Unavailable") -> Iterable[bytes]:
    body = f"{text}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    start("200 OK" if good else bad, [*headers, ("Cache-Control", "no-store")])
    return [body]
