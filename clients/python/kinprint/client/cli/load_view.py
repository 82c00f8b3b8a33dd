"""`kinprint info --watch`: what a server does, line under line or JSON a line."""

from __future__ import annotations

import json
import sys
import time

from kinprint.client.cli.terminal import give_up, out, warn
from kinprint.client.errors import UnavailableError
from kinprint.client.sync import Client
from kinprint.client.types import ServerInfo, ServerLoad, as_dict

_HEAD = (
    f"{'calls':>6} {'streams':>7} {'MiB':>7} {'reads':>6} {'writes':>6} {'embed':>7} {'jobs':>7} "
    f"{'lag ms':>7} {'calls/s':>8} {'failed/s':>8} {'rows/s':>9}"
)
#: Lines between two heads.
_PAGE = 20


def watch_server(client: Client, seconds: float, *, as_json: bool) -> None:
    """Show the load of a server every so many seconds until Ctrl-C or until it goes.

    Raises CommandError where the server does not tell it; KinprintError.
    """
    before: tuple[float, ServerLoad] | None = None
    lines = 0
    while True:
        try:
            info = client.server_info()
        except UnavailableError as error:
            if not lines:
                raise
            warn(f"not serving: {error}")  # it starts again, or another does
            before = None
            time.sleep(max(seconds, 1.0))
            continue
        now = time.monotonic()
        if info.load is None:
            give_up("this server does not tell its load (an older version?)")
        if as_json:
            sys.stdout.write(json.dumps(_told(info)) + "\n")
            sys.stdout.flush()
        else:
            if lines % _PAGE == 0:
                out.print(_HEAD, style="bold", soft_wrap=True)
            out.print(_line(info.load, now, before), soft_wrap=True, highlight=False)
        lines += 1
        before = now, info.load
        time.sleep(seconds)


def _told(info: ServerInfo) -> dict[str, object]:
    told: dict[str, object] = as_dict(info.load)
    return {"uptime": info.uptime.total_seconds(), **told}


def _line(load: ServerLoad, now: float, before: tuple[float, ServerLoad] | None) -> str:
    def rate(name: str) -> str:
        if before is None:
            return "-"
        return f"{(getattr(load, name) - getattr(before[1], name)) / max(now - before[0], 1e-9):.1f}"

    jobs = f"{load.running_jobs}+{load.waiting_jobs}"
    reads = load.waiting_calls + load.waiting_reads
    return (
        f"{load.calls:>6} {load.streams:>7} {load.inflight_bytes / (1 << 20):>7.1f} {reads:>6} "
        f"{load.waiting_writes:>6} {load.waiting_sentences + load.waiting_texts:>7} {jobs:>7} "
        f"{load.loop_lag.total_seconds() * 1000:>7.1f} {rate('answered'):>8} {rate('failed'):>8} "
        f"{rate('stored_rows'):>9}"
    )
