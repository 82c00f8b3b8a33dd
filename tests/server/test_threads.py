"""Work in threads: nothing that it raises passes by those who wait."""

from __future__ import annotations

from typing import NoReturn

import pytest
from kinprint.server.threads import contained


class Panic(BaseException):
    """As PyO3's, no Exception."""


def panic() -> NoReturn:
    raise Panic("the library gave up")


def refuse() -> NoReturn:
    raise ValueError("no")


def test_results_and_failures_pass() -> None:
    assert contained(lambda: 5) == 5
    with pytest.raises(ValueError, match=r"^no$"):
        contained(refuse)


def test_what_is_no_exception_becomes_one() -> None:
    with pytest.raises(RuntimeError, match="Panic: the library gave up"):
        contained(panic)
