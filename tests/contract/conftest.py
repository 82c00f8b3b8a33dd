"""Fixtures of the contract tests: raw stubs on the session's server, and a corpus name per test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from contract.wire import Stubs


@pytest.fixture(scope="session")
def stubs(server: Any) -> Iterator[Stubs]:
    """Stubs on the session's server, whose model is tiny."""
    made = Stubs(server.address)
    yield made
    made.close()


@pytest.fixture
def corpus(request: pytest.FixtureRequest) -> str:
    """Name of a corpus that no other test uses; it is not there yet."""
    return re.sub(r"[^a-z0-9]+", "-", f"{request.module.__name__.rsplit('.')[-1]}-{request.node.name}".lower())[
        -60:
    ].strip("-")
