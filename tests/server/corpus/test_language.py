"""Languages are detected in a process of its own, as lingua detects them."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

from kinprint.server.corpus import language
from kinprint.server.corpus.language import detect_languages

TEXTS = {
    "en": "The harbour was quiet in the morning, and nobody had seen the boat come in.",
    "de": "Am Morgen war der Hafen still, und niemand hatte das Boot kommen sehen.",
    "es": "Por la mañana el puerto estaba en silencio y nadie había visto llegar el barco.",
    "ru": "Утром в гавани было тихо, и никто не видел, как пришла лодка.",
    "zh": "早晨港口很安静，没有人看见船进来。",
}


def test_languages_are_found_and_short_texts_left_alone() -> None:
    assert detect_languages(list(TEXTS.values())) == list(TEXTS)
    assert detect_languages([]) == []
    assert detect_languages(["", "ok", "12345"]) == [None, None, None]
    assert detect_languages(["ok", TEXTS["de"], "\x00\x00"]) == [None, "de", None]
    assert detect_languages(list(TEXTS.values())) == language._detected(list(TEXTS.values()))


def test_a_process_that_died_is_replaced() -> None:
    assert detect_languages([TEXTS["en"]]) == ["en"]
    before = language._process.pid
    assert before is not None
    assert before != os.getpid()
    os.kill(before, signal.SIGKILL)
    assert detect_languages([TEXTS["es"]]) == ["es"]
    assert language._process.pid != before


def test_callers_take_turns() -> None:
    names = list(TEXTS) * 8
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: detect_languages([TEXTS[name]])[0], names))
    assert found == names
