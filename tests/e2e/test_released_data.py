"""Data directories that released versions wrote: they open as they are, and every answer is still the same."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import released_data
from conftest import RunningServer, start_server, stop_server
from kinprint.client import Client, connect
from released_data import ask, difference, environment, read_json

VERSIONS = released_data.versions()
NEWEST = VERSIONS[-1]
EXPECTED = {version: read_json(released_data.FOLDER / version / released_data.EXPECTED) for version in VERSIONS}
QUESTIONS = [(version, k) for version in VERSIONS for k in range(len(EXPECTED[version]["answers"]))]


@dataclass
class Opened:
    """A released data directory behind a server of this version."""

    folder: Path
    client: Client
    answers: list[dict[str, Any]]
    tolerance: float


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Iterator[Callable[[str], Opened]]:
    """Gives the data directory of a version, behind a server that is started when it is first asked for."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def open_version(version: str) -> Opened:
            return stack.enter_context(_opened(version, tmp_path_factory.mktemp("released"), session_cache))

        yield open_version


@contextlib.contextmanager
def _running(data: Path, model: Path, log: Path, cache: Path) -> Iterator[RunningServer]:
    """A server that is ended in any case, and well where the test went well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KINPRINT_CACHE", str(cache))
        server = start_server(data, model, log, "--no-fast-tier")  # which writes to what it opens
    try:
        yield server
    except BaseException:
        stop_server(server)
        raise
    assert stop_server(server) == 0


def _digests(data: Path) -> dict[str, str]:
    """`released_data.digests` without the digest logs, which older records get when they are first read."""
    return {name: digest for name, digest in released_data.digests(data).items() if "_kinprint_digests" not in name}


@contextlib.contextmanager
def _opened(version: str, folder: Path, cache: Path) -> Iterator[Opened]:
    released_data.unpack(version, folder)
    before = released_data.digests(folder / "data")
    with (
        _running(folder / "data", folder / "model", folder / "log", cache) as server,
        connect(server.address, timeout=120.0) as client,
    ):
        expected = EXPECTED[version]
        same = environment(client) == expected["environment"]
        tolerance = released_data.TOLERANCE if same else released_data.TOLERANCE_ELSEWHERE
        yield Opened(folder, client, expected["answers"], tolerance)
    assert _digests(folder / "data") == before, "questions change nothing on disk"


@pytest.mark.parametrize(("version", "question"), QUESTIONS)
def test_an_answer_is_still_the_same(opened: Callable[[str], Opened], version: str, question: int) -> None:
    there = opened(version)
    one = there.answers[question]
    found = json.loads(json.dumps(ask(there.client, there.folder, one["call"], one["arguments"])))
    problem = difference(one["answer"], found, there.tolerance)
    assert problem is None, f"{one['call']}: {problem}"


@pytest.mark.parametrize("version", VERSIONS)
def test_opening_takes_the_indexes_as_they_are(version: str, tmp_path: Path, session_cache: Path) -> None:
    folder = released_data.unpack(version, tmp_path)
    data, log = folder / "data", folder / "log"
    before = released_data.digests(data)
    manifests = list(data.glob("corpora/*/generations/*/manifest.json"))
    assert manifests
    arrays = {str(path) for manifest in manifests for path in manifest.parent.rglob("*-rows.npy")}
    with _running(data, folder / "model", log, session_cache) as server:
        mapped = Path(f"/proc/{server.process.pid}/maps")
        if mapped.exists():
            missing = [path for path in sorted(arrays) if path not in mapped.read_text()]
            assert not missing, "a generation that fits is mapped, not built again from the record"
        lock = json.loads((data / "LOCK").read_text(encoding="utf-8"))
        # Later versions may say more there; earlier clients read these.
        known = {"pid": int, "started": str, "address": str}
        assert {key: type(lock.get(key)) for key in known} == known
        assert lock["pid"] == server.process.pid
    assert _digests(data) == before, "opening and closing changes neither record nor indexes"
    text = log.read_text(encoding="utf-8")
    assert not re.search(r"discard|rebuild|quarantin|Traceback", text), text


def test_what_is_written_has_the_layout_of_the_newest_release(tmp_path: Path, session_cache: Path) -> None:
    folder = released_data.unpack(NEWEST, tmp_path)
    data = tmp_path / "fresh"
    with (
        _running(data, folder / "model", tmp_path / "log", session_cache) as server,
        connect(server.address) as client,
    ):
        released_data.write_rows(client, data)
    expected = read_json(released_data.FOLDER / NEWEST / released_data.LAYOUT)
    found = json.loads(json.dumps(released_data.written_layout(data)))
    # What has changed since: files of other layout with what they are now, or null where they are written no more.
    for name, description in read_json(released_data.FOLDER / "since.json").items():
        assert expected.pop(name, None) != description, f"{name} is as it was"
        if description is not None:
            expected[name] = description
    assert found.keys() == expected.keys(), "names of files"
    for name, description in expected.items():
        assert found[name] == description, name
