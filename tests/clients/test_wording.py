"""Numbers as people read them, of one and of none too."""

from __future__ import annotations

from kinprint.client.errors import KinprintError, UpsertError, UpsertInterrupted
from kinprint.client.types import LoadReport
from kinprint.client.wording import counted


def test_one_is_no_plural() -> None:
    assert [counted(n, "row") for n in (0, 1, 2, 1_000)] == ["0 rows", "1 row", "2 rows", "1,000 rows"]
    assert counted(1, "corpus is", "corpora are") == "1 corpus is"
    assert counted(0, "corpus is", "corpora are") == "0 corpora are"


def test_an_upsert_that_had_not_begun_counts_no_rows() -> None:
    def told(rows: int, stored: int) -> tuple[str, str]:
        report = LoadReport("c", rows, stored, *[0] * 8, 0, 0.0, {}, ())
        return UpsertError(KinprintError("it failed"), report).message, str(UpsertInterrupted(report))

    assert told(0, 0) == ("it failed", "interrupted: no row was sent")
    assert told(1, 0)[0] == "it failed (0 of 1 row stored for good; run the same upsert again to go on)"
    assert told(1_200, 1_000)[1] == "interrupted: 1,000 of 1,200 rows stored for good"
