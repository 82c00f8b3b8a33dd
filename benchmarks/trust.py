"""What trust costs: a load and searches with TLS and keys against without, the digests' share of a load, and starts.

    .venv/bin/python benchmarks/trust.py answers.parquet --rows 20000 --out docs/benchmarks-trust.md

Two servers on the same loopback interface take turns, round by round: one without, one with TLS, an API key and an
audit log. Digests cannot be switched off: their share is the time spent in taking and comparing them, in a process that
loads, publishes and opens the same rows. A start is timed from the command to the first answer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from kinprint.client import Client, KinprintError, connect
from serving import version
from timing import machine


def _certificate(place: Path) -> tuple[Path, Path]:
    """A certificate for the loopback address that is its own authority, and its key."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    chain, private = place / "chain.pem", place / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


def _port() -> int:
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class _Server:
    """A server on a loopback port, with or without TLS, a key and an audit log."""

    def __init__(self, place: Path, *, guarded: bool) -> None:
        self._place = place
        (place / "data").mkdir(parents=True, exist_ok=True)
        self._address = f"127.0.0.1:{_port()}"
        self._options: list[str] = []
        self._connect: dict[str, Any] = {}
        if guarded:
            chain, private = _certificate(place)
            self._options = ["--tls-cert", str(chain), "--tls-key", str(private), "--audit", str(place / "audit.log")]
            command = ["keys", "create", "--data", str(place / "data"), "--role", "admin", "--json"]
            made = subprocess.run(
                [sys.executable, "-m", "kinprint.server", *command], capture_output=True, text=True, check=True
            )
            self._connect = {"api_key": json.loads(made.stdout)["key"], "ca": str(chain)}

    def start(self) -> float:
        """Start it; seconds until it answers."""
        command = [sys.executable, "-m", "kinprint.server", "serve", "--data", str(self._place / "data")]
        began = time.perf_counter()
        with (self._place / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--model", "none", "--listen", self._address, *self._options], stderr=log
            )
        while True:
            try:
                self.client: Client = connect(self._address, timeout=300.0, **self._connect)
                self.client.server_info()
                return time.perf_counter() - began
            except KinprintError:
                if self._process.poll() is not None or time.perf_counter() - began > 120:
                    raise
                time.sleep(0.01)

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self._process.terminate()
        self._process.wait(120)


def served(place: Path, rows: list[dict[str, Any]], rounds: int, searches: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of loads and searches of both servers, which take turns."""
    servers = {"plain": _Server(place / "plain", guarded=False), "guarded": _Server(place / "guarded", guarded=True)}
    found: dict[str, dict[str, list[float]]] = {name: {"load": [], "search": [], "start": []} for name in servers}
    for name, server in servers.items():
        server.start()
        server.client.upsert("warm", rows[:500])
        server.client.search(rows[0]["response"], corpora="warm")
        found[name]["start"] = []
    for number in range(rounds):
        for name, server in servers.items():
            began = time.perf_counter()
            server.client.upsert(f"round-{number}", rows)
            found[name]["load"].append(time.perf_counter() - began)
        for name, server in servers.items():
            time.sleep(3.0)  # what is settled behind a load is no part of a search
            for k in range(searches):
                text = rows[(k * 7919) % len(rows)]["response"]
                began = time.perf_counter()
                server.client.search(text, corpora=f"round-{number}", channels=["copy", "style"])
                found[name]["search"].append(time.perf_counter() - began)
    for name, server in servers.items():
        server.stop()
        for _ in range(3):
            found[name]["start"].append(server.start())
            server.stop()
    return found


def digested(place: Path, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of loading, publishing and opening rows in this process, and those spent on digests and row hashes."""
    from collections import Counter

    from kinprint.server.corpus.catalog import Catalog
    from kinprint.server.corpus.normalise import Submission, normalise
    from kinprint.server.corpus.plan import Batch
    from kinprint.server.store import content, digests

    spent = {"digests": 0.0, "rows": 0.0}

    def timed(name: str, work: Any) -> Any:
        def run(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                spent[name] += time.perf_counter() - began

        return run

    digests.digest_of_file = timed("digests", digests.digest_of_file)
    content.wrong_rows = timed("rows", content.wrong_rows)
    catalog = Catalog(place)
    catalog.open_all(lambda _: None)
    corpus = catalog.create("c")
    began = time.perf_counter()
    counts: Counter[bytes] = Counter()
    for start in range(0, len(rows), 1000):
        sent = [Submission(row["response"], model=row["model"], language="en") for row in rows[start : start + 1000]]
        corpus.write([Batch(normalise("c", sent, counts), frozenset({"copy", "style"}), 2**62)])
    corpus.publish()
    load = time.perf_counter() - began
    load_digests, spent["digests"], spent["rows"] = spent["digests"], 0.0, 0.0
    digests._known.clear()
    began = time.perf_counter()
    again = Catalog(place)
    again.open_all(lambda _: None)
    opened = time.perf_counter() - began
    assert again.get("c").view.rows == corpus.view.rows
    return {"load": load, "load_digests": load_digests, "open": opened, "open_digests": spent["digests"]}


def report(figures: dict[str, Any]) -> str:
    """The page."""
    plain, guarded, share = figures["served"]["plain"], figures["served"]["guarded"], figures["digested"]

    def line(what: str, name: str, scale: float, unit: str) -> str:
        a, b = statistics.median(plain[name]) * scale, statistics.median(guarded[name]) * scale
        return f"| {what} | {a:,.2f} {unit} | {b:,.2f} {unit} | {100 * (b / a - 1):+.1f} % |"

    return "\n".join(
        [
            "# What trust costs",
            "",
            f"Written by `benchmarks/trust.py`: {figures['version']}; {figures['machine']}. {figures['rows']:,} rows, "
            f"{figures['rounds']} rounds, {len(plain['search'])} searches (copy and style). Medians.",
            "",
            "| | without | TLS, key and audit log | |",
            "| --- | ---: | ---: | ---: |",
            line("load", "load", 1, "s"),
            line("search", "search", 1000, "ms"),
            line("start, until it answers", "start", 1, "s"),
            "",
            "| digests | of all, s | for digests, summed over threads, s | share |",
            "| --- | ---: | ---: | ---: |",
            f"| load and publish | {share['load']:.2f} | {share['load_digests']:.3f} "
            f"| {100 * share['load_digests'] / share['load']:.1f} % |",
            f"| open | {share['open']:.2f} | {share['open_digests']:.3f} "
            f"| {100 * share['open_digests'] / share['open']:.1f} % |",
            "",
        ]
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="Parquet file with the column response")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--searches", type=int, default=200, help="of each server and round")
    parser.add_argument("--out", type=Path, help="write the report here")
    arguments = parser.parse_args()
    texts = pl.scan_parquet(arguments.data).select("response").drop_nulls().head(arguments.rows).collect()["response"]
    rows = [{"response": text, "model": f"m{k % 9}", "language": "en"} for k, text in enumerate(texts)]
    figures: dict[str, Any] = {"version": version(), "machine": machine(), "rows": len(rows)}
    figures["rounds"] = arguments.rounds
    with tempfile.TemporaryDirectory(prefix="kinprint-trust-") as scratch:
        figures["served"] = served(Path(scratch), rows, arguments.rounds, arguments.searches)
        figures["digested"] = digested(Path(scratch) / "digested", rows)
    text = report(figures)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
