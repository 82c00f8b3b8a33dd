"""Language of answers that name none, by lingua (Rust): n-gram models over 75 languages.

The detector holds the interpreter lock while it works, a millisecond or several for each text, one after another in a
load: searches would wait for it. So it works in a process of its own, which starts with the first text, and ends when
its standard input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lingua import LanguageDetector

#: The beginning is enough to tell, and keeps bulk loads quick.
_HEAD = 300
#: Shorter answers are left without a language: a guess would be worse than none.
_LEAST_CODE_POINTS, _LEAST_WIDE_CODE_POINTS = 20, 6
#: Niceness of the process: a load may wait for it, a search must not.
_NICENESS = 5


def _long_enough(text: str) -> bool:
    head = text[:_HEAD].strip()
    if len(head) >= _LEAST_CODE_POINTS:
        return True
    return sum(ord(c) >= 0x0E00 for c in head) >= _LEAST_WIDE_CODE_POINTS


def detect_languages(texts: Sequence[str]) -> list[str | None]:
    """ISO 639-1 code of each text, None where it cannot be told. Blocks; for worker threads."""
    places = [i for i, text in enumerate(texts) if _long_enough(text)]
    found: list[str | None] = [None] * len(texts)
    if places:
        for i, language in zip(places, _process.detect([texts[i][:_HEAD] for i in places]), strict=True):
            found[i] = language
    return found


class _Detecting:
    """The process that detects; callers take turns."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id; None before the first text."""
        return self._child.pid if self._child is not None else None

    def detect(self, heads: list[str]) -> list[str | None]:
        """Language of each text; a process that died is replaced once. Raises RuntimeError."""
        with self._turn:
            for _ in range(2):
                try:
                    return self._ask(heads)
                except (OSError, ValueError) as error:  # it has gone, and its last line is half a line
                    problem: Exception = error
                    self._let_go()
        raise RuntimeError(f"languages cannot be detected: the process for it ended twice ({problem})")

    def _ask(self, heads: list[str]) -> list[str | None]:
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "kinprint.server.corpus.language"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
                # Ctrl-C in a terminal is for the server.
                start_new_session=True,
            )
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(heads).encode("ascii") + b"\n")
        child.stdin.flush()
        answer: list[str | None] = json.loads(child.stdout.readline())
        return answer

    def _let_go(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):  # what was not sent
                        stream.close()


_process = _Detecting()


@cache
def _detector() -> LanguageDetector:
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_all_languages()
    return builder.with_low_accuracy_mode().with_minimum_relative_distance(0.1).build()


def _detected(heads: list[str]) -> list[str | None]:
    """Language of each text, in this process."""
    results: list[Any] = _detector().detect_languages_in_parallel_of(heads)
    return [None if language is None else language.iso_code_639_1.name.lower() for language in results]


def main() -> None:
    """Answer a line of texts, a JSON list, with a line of their languages, until there is none."""
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(_detected(json.loads(line))).encode("ascii") + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
