"""Flipped bits and cut files: never another answer, never a crash.  `benchmarks/bitflips.py` runs thousands."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import bitflips


@pytest.mark.slow
def test_damage_is_refused_or_made_good(tmp_path: Path) -> None:
    template = tmp_path / "data"
    template.mkdir()
    bitflips.write(template, 200)
    found = bitflips.outcomes(template, 100, seed=20, workers=1)
    assert len(found) == 100
    wrong = [case for case in found if case["outcome"] not in ("intact", "refused")]
    assert not wrong
    assert Counter(case["outcome"] for case in found)["refused"] > 0
