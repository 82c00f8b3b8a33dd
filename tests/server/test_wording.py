"""Refusals and lines of operators, of one and of none too."""

from __future__ import annotations

from pathlib import Path

import pytest
from kinprint.server.corpus.catalog import Catalog
from kinprint.server.edge.audit_chain import Verified
from kinprint.server.startup import Startup, _corpora
from kinprint.server.wording import counted


def test_one_is_no_plural() -> None:
    assert [counted(n, "corpus", "corpora") for n in (0, 1, 1_000)] == ["0 corpora", "1 corpus", "1,000 corpora"]


def test_a_start_names_its_step_once() -> None:
    startup = Startup()
    assert startup.refusal().message == "the server is starting; retry in a moment"
    startup.report("opening c-1")
    assert startup.refusal().message == "the server is starting (opening c-1); retry in a moment"
    assert startup.refusal(named=False).message == "the server is starting; retry in a moment"


def test_what_is_open_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "kinprint.server.startup")
    catalog = Catalog(tmp_path)
    _corpora(Startup(), catalog)
    assert caplog.messages[-1] == "there are no corpora yet"
    catalog.create("c")
    _corpora(Startup(), Catalog(tmp_path))
    assert caplog.messages[-1] == "open: 1 corpus with 0 transcripts"


def test_a_chain_of_one_line() -> None:
    assert Verified(1, 1, 1, "d").sentence() == "1 line in 1 file fits; head d"
    assert Verified(0, 1, 0, "d").sentence() == "1 file without a line"
    assert Verified(3, 2, 5, "d").sentence().startswith("3 lines in 2 files fit; lines 1 to 4 are in files")
    assert Verified(1, 1, 1, "d", "it broke", "f", 2).sentence() == "f, line 2: it broke (1 line before it fits)"
