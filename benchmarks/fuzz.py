"""Calls of every RPC with messages that nobody would send: always an answer or a clear refusal, never a fault.

    .venv/bin/python benchmarks/fuzz.py --cases 100000

Messages are made from the descriptors of the contract: absent and present fields, extremes of every type, NaN, enums
out of range, strings with NUL, controls and megabytes, names that exist and names that nearly do; some are serialised
and damaged. Streams send their messages in any order, stop in the middle, or are left. A case fails when it ends with
INTERNAL or UNKNOWN, when nothing answers within its deadline, or when the server ends. Every hundredth call is a search
whose answer is known, so that a server that answers nonsense fails, too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import string
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from kinprint.client import connect
from kinprint.v1 import (
    corpus_pb2,
    info_pb2,
    job_pb2,
    lineage_pb2,
    match_pb2,
    semantic_pb2,
    transcript_pb2,
)
from timing import running, serving

MODULES = (corpus_pb2, transcript_pb2, match_pb2, lineage_pb2, job_pb2, semantic_pb2, info_pb2)
#: RPCs that start a process each, or change what the checks rely on; of these only so small a share is called.
RARE = 0.004
SECONDS = 60.0
KNOWN = "The lighthouse keeper counted nine ships before the fog closed over the harbour and the bell began to ring."


@dataclass
class Tally:
    """What became of the calls."""

    cases: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    by_rpc: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def note(self, rpc: str, code: str, details: str = "") -> None:
        """Count a call, and keep what went wrong."""
        with self.turn:
            self.cases += 1
            self.codes[code] += 1
            self.by_rpc[rpc] += 1
            wrong = code in ("INTERNAL", "UNKNOWN") and "DISK_FAILED" not in details
            if (wrong or code == "DEADLINE_EXCEEDED") and len(self.faults) < 50:
                self.faults.append(f"{rpc}: {code} {details[:300]}")


class Maker:
    """Random messages of any type of the contract."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def message(self, made: Message, depth: int = 0) -> Message:
        """Fill a message in place, and return it."""
        for described in made.DESCRIPTOR.fields:
            if self.chance.random() < (0.45 if depth == 0 else 0.6):
                continue
            try:
                self._field(made, described, depth)
            except (ValueError, TypeError, OverflowError, UnicodeEncodeError):
                continue  # what the library itself does not take
        return made

    def _field(self, made: Message, described: FieldDescriptor, depth: int) -> None:
        repeated = described.is_repeated
        if described.type == FieldDescriptor.TYPE_MESSAGE:
            if depth > 5:
                return
            if described.message_type.GetOptions().map_entry:
                for _ in range(self.chance.randrange(4)):
                    getattr(made, described.name)[self._text()] = self._text()
            elif repeated:
                for _ in range(self._count()):
                    self.message(getattr(made, described.name).add(), depth + 1)
            else:
                part = getattr(made, described.name)
                part.SetInParent()
                self.message(part, depth + 1)
        elif repeated:
            getattr(made, described.name).extend(self._value(described) for _ in range(self._count()))
        else:
            setattr(made, described.name, self._value(described))

    def _count(self) -> int:
        return self.chance.choice((0, 1, 1, 1, 2, 3, 7, 130) if self.chance.random() < 0.2 else (0, 1, 1, 2))

    def _value(self, described: FieldDescriptor) -> Any:
        kind = described.cpp_type
        chance = self.chance
        if kind == FieldDescriptor.CPPTYPE_STRING:
            if described.type == FieldDescriptor.TYPE_BYTES:
                return chance.choice((b"", b"\0", b"{", b"null", chance.randbytes(chance.randrange(400))))
            return self._text(described.name)
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
            return chance.choice((0.0, -0.0, 0.5, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e300, 5e-324, 0.8))
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return chance.choice((0, 1, 2, 3, 4, 99, -1, 2**31 - 1))
        bits = 32 if kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 64
        signed = kind in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return chance.choice((0, 1, 2, 5, 10, 100, 1001, low, high, high - 1, chance.randint(low, high)))

    def _text(self, name: str = "") -> str:
        chance = self.chance
        if name in ("corpus", "corpora", "name") and chance.random() < 0.6:
            return chance.choice(("fuzz", "fuzz", "fuzz", "other", "Fuzz", "fuzz "))
        if name in ("id", "ids", "transcript_id") and chance.random() < 0.6:
            return f"r{chance.randrange(40)}"
        if name in ("model", "models", "model_a", "model_b") and chance.random() < 0.6:
            return chance.choice(("m0", "m1", "m2"))
        if name in ("text", "response", "prompt") and chance.random() < 0.4:
            return chance.choice((KNOWN, KNOWN[:40], KNOWN.upper(), "<think>" + KNOWN, KNOWN * 3))
        return chance.choice(
            (
                "",
                " ",
                "\0",
                "\x1b[31mred\x1b[0m",
                "a\u0301\u200d\U0001f468\u200d\U0001f469",
                "\ufeff\u202etxet",
                "' OR 1=1 --",
                "../../etc/passwd",
                "%s%n{}",
                "en",
                "zh-Hant",
                "0",
                "-1",
                "NaN",
                "x" * chance.choice((1, 63, 64, 513, 5_000)),
                "\u6f22" * 300 if chance.random() < 0.9 else "y" * 1_100_000,
                "".join(chance.choices(string.printable, k=chance.randrange(60))),
            )
        )


class Fuzz:
    """One server, and what is asked of it."""

    def __init__(self, address: str, tally: Tally, seed: int) -> None:
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
        )
        self._tally = tally
        self._chance = random.Random(seed)
        self._maker = Maker(self._chance)
        self._rpcs = [
            (f"/{service.full_name}/{method.name}", method)
            for module in MODULES
            for service in module.DESCRIPTOR.services_by_name.values()
            for method in service.methods
        ]
        self._often = [rpc for rpc in self._rpcs if not self._is_rare(rpc[1])]

    @staticmethod
    def _is_rare(method: Any) -> bool:
        # Streams of answers are long runs; the others change models or take a corpus away.
        rare = ("DeleteCorpus", "StartFill", "SwitchModel", "DropModel", "CompareModels")
        return (method.server_streaming and not method.client_streaming) or method.name in rare

    def run(self, cases: int) -> None:
        """Call so many times."""
        for number in range(cases):
            if number % 100 == 99:
                self._known()
                continue
            rpc, method = self._chance.choice(self._rpcs if self._chance.random() < RARE else self._often)
            try:
                self._call(rpc, method)
            except grpc.RpcError as error:
                self._tally.note(rpc, error.code().name, error.details() or "")
            else:
                self._tally.note(rpc, "OK")

    def _known(self) -> None:
        request = match_pb2.SearchRequest(corpora=["known"], top=1)
        request.query.text = KNOWN
        call = self._channel.unary_unary(
            "/kinprint.v1.MatchService/Search",
            request_serializer=match_pb2.SearchRequest.SerializeToString,
            response_deserializer=match_pb2.SearchResponse.FromString,
        )
        try:
            hits = call(request, timeout=SECONDS).hits
            right = len(hits) == 1 and hits[0].id == "keeper" and hits[0].score == 1.0
            self._tally.note("known", "OK" if right else "UNKNOWN", str(hits))
        except grpc.RpcError as error:
            self._tally.note("known", error.code().name, error.details() or "")

    def _bytes(self, method: Any) -> bytes:
        from google.protobuf import message_factory

        made = self._maker.message(message_factory.GetMessageClass(method.input_type)())
        data = made.SerializeToString()
        if data and self._chance.random() < 0.1:
            changed = bytearray(data)
            for _ in range(self._chance.randint(1, 8)):
                changed[self._chance.randrange(len(changed))] = self._chance.randrange(256)
            data = bytes(changed[: self._chance.randint(0, len(changed))])
        return data

    def _call(self, rpc: str, method: Any) -> None:
        kind = {
            (False, False): self._channel.unary_unary,
            (False, True): self._channel.unary_stream,
            (True, True): self._channel.stream_stream,
        }[method.client_streaming, method.server_streaming]
        call: Callable[..., Any] = kind(rpc)  # bytes in, bytes out
        if not method.client_streaming:
            answer = call(self._bytes(method), timeout=SECONDS)
            if method.server_streaming:
                for taken, _ in enumerate(answer):
                    if self._chance.random() < 0.05 or taken > 2_000:
                        answer.cancel()
                        break
            return
        messages = [self._bytes(method) for _ in range(self._chance.randrange(5))]
        leave = self._chance.random() < 0.2

        def requests() -> Iterator[bytes]:
            for message in messages:
                if self._chance.random() < 0.02:
                    time.sleep(0.1)
                yield message

        stream = call(requests(), timeout=SECONDS)
        for taken, _ in enumerate(stream):
            if leave and taken:
                stream.cancel()
                break


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=6, help="callers at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the tally here")
    arguments = parser.parse_args()
    tally = Tally()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kinprint-fuzz-") as scratch, serving(Path(scratch) / "data") as server:
        with connect(server.address) as client:
            client.upsert("known", [{"id": "keeper", "response": KNOWN, "model": "m"}])
            for corpus in ("fuzz", "other"):
                rows = [
                    {"id": f"r{k}", "response": f"{KNOWN} Answer {k} of {corpus}.", "model": f"m{k % 3}", "prompt": "p"}
                    for k in range(40)
                ]
                client.upsert(corpus, rows)
        share = arguments.cases // arguments.threads + 1
        workers = [
            threading.Thread(target=Fuzz(server.address, tally, arguments.seed * 1000 + k).run, args=(share,))
            for k in range(arguments.threads)
        ]
        for worker in workers:
            worker.start()
        while any(worker.is_alive() for worker in workers):
            time.sleep(5.0)
            if sys.stderr.isatty() or os.environ.get("KINPRINT_PROGRESS"):
                print(f"{tally.cases} cases, {len(tally.faults)} faults", file=sys.stderr, flush=True)
        lives = running(server.pid)
    told = {
        "cases": tally.cases,
        "codes": dict(tally.codes),
        "rpcs": len(tally.by_rpc),
        "server_lives": lives,
        "faults": tally.faults,
        "seconds": round(time.monotonic() - started),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(json.dumps(told, indent=1))
    return 0 if lives and not tally.faults else 1


if __name__ == "__main__":
    raise SystemExit(main())
