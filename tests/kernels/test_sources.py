"""Cached machine code is stale once any source that went into it has changed, and not before."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kinprint.kernels import sources

CODE = """
import json, numpy as np
from kinprint.kernels.arrow import Texts, from_texts
from kinprint.kernels.style import tokens
found = tokens.tail_start(np.frombuffer(b"a" * 300, np.uint8), 0, 300)
stats = tokens.tail_start.stats
print(json.dumps([found, sum(stats.cache_hits.values()), sum(stats.cache_misses.values())]))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the kernels without what is compiled of them."""
    copied = tmp_path / "kinprint" / "kernels"
    shutil.copytree(sources.HERE, copied, ignore=shutil.ignore_patterns("__pycache__"))
    return copied


def run(package: Path) -> list[int]:
    """(result, loaded, compiled) of a fresh process that calls one small kernel."""
    known = dict(os.environ, PYTHONPATH=str(package.parent.parent), NUMBA_CACHE_DIR="")
    done = subprocess.run([sys.executable, "-c", CODE], env=known, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found: list[int] = json.loads(done.stdout)
    return found


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_an_edit_of_what_is_compiled_in_makes_code_stale(package: Path) -> None:
    assert run(package) == [300 - 256, 0, 1]
    assert run(package) == [300 - 256, 1, 0]
    # Beside the module: what it imports counts, what it does not import does not.
    edit(package / "copy" / "spans.py", "MIN_WORDS = 3", "MIN_WORDS = 4")
    assert run(package) == [300 - 256, 1, 0]
    edit(package / "unicode.py", "cp == 0x2028", "cp == 0x2029")
    assert run(package) == [300 - 256, 0, 1]
    assert run(package) == [300 - 256, 1, 0]
    edit(package / "style" / "tokens.py", "TAIL: Final = 256", "TAIL: Final = 200")
    assert run(package) == [300 - 200, 0, 1]


def test_digests_follow_imports() -> None:
    tokens = sources.HERE / "style" / "tokens.py"
    _, imported = sources._contents(tokens)
    assert sources.HERE / "unicode.py" in imported
    assert sources.HERE / "jit.py" in imported
    _, of_unicode = sources._contents(sources.HERE / "unicode.py")
    assert sources._TABLES in of_unicode
    assert len(sources.digest(tokens)) == len(sources.digest_of_all()) == 64
    assert sources.digest(tokens) != sources.digest(sources.HERE / "unicode.py")
