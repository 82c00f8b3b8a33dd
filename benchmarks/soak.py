"""Kill a server at random moments, hundreds of times: what it acknowledged is there, what it deleted stays away.

    .venv/bin/python benchmarks/soak.py --kills 500

One client writes, replaces, deletes and purges rows, makes and deletes corpora and snapshots, and restores these, while
the server, with low thresholds (`soak_server.py`), publishes and compacts behind. After a random time the server is
killed with SIGKILL, or its whole process group with the process of a compaction or purge. The next one starts on the
same directory, must start, and has to hold every acknowledged change; what was on its way may have happened or not. The
moments that were hit are counted. Everything is drawn from the seed but the moment of a kill, which depends on the
machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinprint.client import Client, KinprintError, NotFoundError, connect

#: Seconds that a server lives after it serves: kills come within this time.
LIFE = 1.5
START_SECONDS = 60.0
_TEXT = "river stone market evening letter window garden engine paper silver winter bridge candle orchard"
_WORDS = tuple(_TEXT.split(" "))

Rows = dict[str, set[str | None]]
Kept = dict[str, dict[str, str | None]]
#: Refusals that change nothing.
_BUSY = ("CORPUS_BUSY", "SNAPSHOT_BUSY")


@dataclass
class Truth:
    """What must be there: of each corpus that is, each id's answers that are allowed; None: it may be absent."""

    corpora: dict[str, Rows] = field(default_factory=dict)
    #: Corpora that may be there or not.
    unsure: set[str] = field(default_factory=set)
    #: What snapshots hold, by corpus and id: of those that are there, and of those that may be.
    snapshots: dict[str, Kept] = field(default_factory=dict)
    maybe: dict[str, Kept] = field(default_factory=dict)


@dataclass
class Tally:
    """What happened."""

    kills: int = 0
    failed_starts: int = 0
    lost: int = 0
    resurrected: int = 0
    acknowledged: int = 0
    #: Kills while the client waited for an answer to that, and while the server did that.
    asked: Counter[str] = field(default_factory=Counter)
    hit: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


class Soak:
    """One data directory and the servers that live and die on it."""

    def __init__(self, place: Path, seed: int) -> None:
        self._data = place / "data"
        self._moments = place / "moments"
        self._log = place / "log"
        self._chance = random.Random(seed)
        self._truth = Truth()
        self._serial = 0
        self.tally = Tally()
        self._asking = ""

    # ---- servers ----

    def _started(self) -> tuple[subprocess.Popen[bytes], Client] | None:
        self._moments.write_bytes(b"")
        run = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import soak_server; soak_server.main()"
        command = [sys.executable, "-c", run, "serve", "--data", str(self._data)]
        environment = {**os.environ, "KINPRINT_SOAK_MOMENTS": str(self._moments)}
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                [*command, "--model", "none", "--no-take-over"],
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                return process, connect(f"unix:{self._data / 'kinprint.sock'}", timeout=30.0, retry_deadline=0.0)
            except KinprintError:
                time.sleep(0.02)
        process.kill()
        process.wait()
        self.tally.failed_starts += 1
        self.tally.faults.append("failed start: " + self._log.read_text(errors="replace")[-600:])
        return None

    def life(self) -> None:
        """Start a server, look at what it holds, let the client work, and kill it."""
        found = self._started()
        if found is None:
            return
        process, client = found
        group = self._chance.random() < 0.5
        after = self._chance.uniform(0.0, LIFE)
        with client:
            self._check(client)

            def kill() -> None:
                self.tally.asked[self._asking or "nothing"] += 1
                if group:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()

            timer = threading.Timer(after, kill)
            timer.start()
            try:
                while True:
                    self._work(client)
            except KinprintError:
                pass
            timer.join()
        process.wait()
        self.tally.kills += 1
        begun: Counter[str] = Counter()
        for line in self._moments.read_text().splitlines():
            word, _, name = line.partition(" ")
            begun[name] += 1 if word == "begin" else -1
        self.tally.hit.update(name for name, left in begun.items() if left > 0)

    # ---- what a client does ----

    def _work(self, client: Client) -> None:
        names = sorted(set(self._truth.corpora) - self._truth.unsure)
        draw = self._chance.random()
        if not names or (draw < 0.03 and len(names) < 4):
            self._upsert(client, f"corpus-{self._chance.randrange(6)}")
        elif draw < 0.05 and len(names) > 1:
            self._delete_corpus(client, self._chance.choice(names))
        elif draw < 0.12:
            self._snapshot(client)
        elif draw < 0.17 and self._truth.snapshots:
            self._restore(client)
        elif draw < 0.62:
            self._upsert(client, self._chance.choice(names))
        elif draw < 0.90:
            self._remove(client, self._chance.choice(names), "delete")
        else:
            self._remove(client, self._chance.choice(names), "purge")

    def _asked(self, what: str, ask: Callable[[], Any]) -> Any:
        self._asking = what
        answer = ask()
        self._asking = ""
        self.tally.acknowledged += 1
        return answer

    def _upsert(self, client: Client, corpus: str) -> None:
        rows = {}
        for _ in range(self._chance.randint(1, 40)):
            self._serial += 1
            rows[f"row-{self._chance.randrange(300)}"] = (
                f"Answer {self._serial}: " + " ".join(self._chance.choices(_WORDS, k=30)) + "."
            )
        known = self._truth.corpora.setdefault(corpus, {})
        self._truth.unsure.add(corpus)  # it may be made by this
        created = not known
        for name, text in rows.items():
            known[name] = known.get(name, {None}) | {text}
        if not created:
            self._truth.unsure.discard(corpus)
        sent = [{"id": name, "response": text, "model": "m", "language": "en"} for name, text in rows.items()]
        report = self._asked("upsert", lambda: client.upsert(corpus, sent))
        if report.failed:
            self.tally.faults.append(f"rows were refused: {report}")
        self._truth.unsure.discard(corpus)
        for name, text in rows.items():
            known[name] = {text}

    def _remove(self, client: Client, corpus: str, how: str) -> None:
        known = self._truth.corpora[corpus]
        if not known:
            return
        doomed = self._chance.sample(sorted(known), min(len(known), self._chance.randint(1, 8)))
        for name in doomed:
            known[name] = known[name] | {None}
        self._asked(how, lambda: client.delete(corpus, doomed) if how == "delete" else client.purge(corpus, doomed))
        for name in doomed:
            known[name] = {None}

    def _delete_corpus(self, client: Client, corpus: str) -> None:
        self._truth.unsure.add(corpus)
        try:
            self._asked("delete corpus", lambda: client.delete_corpus(corpus))
        except KinprintError as error:
            if getattr(error, "reason", "") not in _BUSY:
                raise
            self._asking = ""
            self._truth.unsure.discard(corpus)
            return
        self._truth.unsure.discard(corpus)
        del self._truth.corpora[corpus]

    def _snapshot(self, client: Client) -> None:
        truth = self._truth
        if len(truth.snapshots) > 2:
            name = self._chance.choice(sorted(truth.snapshots))
            truth.maybe[name] = truth.snapshots.pop(name)
            self._asked("delete snapshot", lambda: client.delete_snapshot(name))
            del truth.maybe[name]
            return
        self._serial += 1
        name = f"snapshot-{self._serial}"
        # One client, one call at a time: what is there is known when this begins.
        truth.maybe[name] = {
            corpus: {key: next(iter(allowed)) for key, allowed in rows.items()}
            for corpus, rows in truth.corpora.items()
        }
        self._asked("snapshot", lambda: client.create_snapshot(name))
        truth.snapshots[name] = truth.maybe.pop(name)

    def _restore(self, client: Client) -> None:
        truth = self._truth
        name = self._chance.choice(sorted(truth.snapshots))
        held = truth.snapshots[name]
        if not held:
            return
        corpus = self._chance.choice(sorted(held))
        there = corpus in truth.corpora
        known = truth.corpora.setdefault(corpus, {})
        before = {key: set(allowed) for key, allowed in known.items()}
        if not there:
            truth.unsure.add(corpus)
        for key in {*known, *held[corpus]}:
            known[key] = known.get(key, {None}) | {held[corpus].get(key)}
        try:
            self._asked("restore", lambda: client.restore_snapshot(name, corpus, replace=there))
        except KinprintError as error:
            if getattr(error, "reason", "") not in _BUSY:
                raise
            self._asking = ""
            truth.corpora[corpus] = before
            return
        truth.unsure.discard(corpus)
        truth.corpora[corpus] = {key: {held[corpus].get(key)} for key in known}

    # ---- what must be there ----

    def _check(self, client: Client) -> None:
        names = {snapshot.name for snapshot in client.list_snapshots()}
        for name in self._truth.snapshots.keys() - names:
            self.tally.lost += 1
            self.tally.faults.append(f"snapshot {name} is not there")
        self._truth.snapshots |= {name: held for name, held in self._truth.maybe.items() if name in names}
        self._truth.maybe.clear()
        there = {info.name: info for info in client.list_corpora()}
        for name, info in there.items():
            if info.unavailable:
                self.tally.faults.append(f"corpus {name} is unavailable: {info.unavailable}")
            if name not in self._truth.corpora:
                self.tally.resurrected += 1
                self.tally.faults.append(f"corpus {name} is there again")
        for name, known in list(self._truth.corpora.items()):
            if name not in there:
                if name not in self._truth.unsure:
                    self.tally.lost += sum(None not in allowed for allowed in known.values())
                    self.tally.faults.append(f"corpus {name} is not there")
                del self._truth.corpora[name]
                continue
            try:
                found = {row.id: row.response for row in client.list(name)}
            except NotFoundError:
                found = {}
            self._compare(name, known, found)
            # What was unsure is known now.
            self._truth.corpora[name] = {key: {found.get(key)} for key in known}
        self._truth.unsure.clear()

    def _compare(self, corpus: str, known: Rows, found: dict[str, str]) -> None:
        for key, allowed in known.items():
            text = found.get(key)
            if text in allowed:
                continue
            if text is None:
                self.tally.lost += 1
            else:
                self.tally.resurrected += 1
            self.tally.faults.append(f"{corpus}/{key} is {text!r:.60}, and not one of {allowed!r:.200}")
        for key in found.keys() - known.keys():
            self.tally.resurrected += 1
            self.tally.faults.append(f"{corpus}/{key} was never sent")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the tally here")
    parser.add_argument("--keep", type=Path, help="keep the data directory here, which must not exist")
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kinprint-soak-") as scratch:
        place = arguments.keep or Path(scratch)
        place.mkdir(parents=True, exist_ok=True)
        soak = Soak(place, arguments.seed)
        tally = soak.tally
        with contextlib.suppress(KeyboardInterrupt):  # what was done until then is told
            for life in range(arguments.kills):
                soak.life()
                if tally.faults:
                    break
                if life % 50 == 49:
                    print(f"{life + 1} kills, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    told = {
        "kills": tally.kills,
        "acknowledged": tally.acknowledged,
        "lost": tally.lost,
        "resurrected": tally.resurrected,
        "failed_starts": tally.failed_starts,
        "while_asked": dict(tally.asked),
        "while_the_server_did": dict(tally.hit),
        "faults": tally.faults[:20],
        "seconds": round(time.monotonic() - started),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(json.dumps(told, indent=1))
    return 1 if tally.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
