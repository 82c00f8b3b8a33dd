"""The audit log's files: what is changed, removed, added or cut off is found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from kinprint.server.edge import audit_chain
from kinprint.server.edge.audit_chain import FIRST, ChainDamaged, ChainFile, line_of, verify


def _written(path: Path, count: int = 10, most: int = 1 << 20) -> list[str]:
    chain = ChainFile(path, most)
    for number in range(count):
        chain.append([{"rpc": f"call {number}"}])
    chain.close()
    return [json.loads(line)["digest"] for line in path.read_text().splitlines()]


def test_a_line_is_as_documented() -> None:
    line, digest = line_of({"rpc": "S/M"}, 1, FIRST)
    held = json.loads(line)
    assert list(held) == ["n", "rpc", "prev", "digest"]
    assert held["digest"] == digest


def test_what_was_written_fits(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    digests = _written(path)
    found = verify(path)
    assert (found.problem, found.lines, found.begins, found.head) == (None, 10, 1, digests[-1])
    assert path.stat().st_mode & 0o777 == 0o600
    again = ChainFile(path, 1 << 20)
    again.append([{"rpc": "a"}, {"rpc": "b"}])
    again.close()
    assert verify(path).lines == 12


def test_files_put_aside_keep_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    _written(path, 40, most=1000)
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names[:2] == ["audit.jsonl", "audit.jsonl.000001"]
    assert len(names) > 3
    found = verify(path)
    assert (found.problem, found.lines, found.files) == (None, 40, len(names))
    (tmp_path / "audit.jsonl.000001").unlink()
    found = verify(path)
    assert found.problem is None
    assert found.begins > 1
    (tmp_path / "audit.jsonl.000003").unlink()
    assert "other" in str(verify(path).problem)


def test_a_log_without_a_line_begins_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"")
    assert (verify(path).problem, verify(path).lines, verify(path).begins) == (None, 0, 0)
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "none.jsonl")


def test_a_line_whose_number_does_not_follow_is_told(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    first, digest = line_of({"rpc": "a"}, 4, FIRST)
    third, _ = line_of({"rpc": "c"}, 6, digest)
    path.write_bytes(first + third)
    assert verify(path).problem == "it has number 6 where 5 was due"


def test_a_new_file_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    _written(path, 5)
    path.rename(tmp_path / "audit.jsonl.000001")
    _written(path, 2)
    assert verify(path).lines == 7


@pytest.mark.parametrize("place", range(10))
def test_a_changed_line_is_named(tmp_path: Path, place: int) -> None:
    path = tmp_path / "audit.jsonl"
    _written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[place] = lines[place].replace(b"call", b"cull")
    path.write_bytes(b"".join(lines))
    found = verify(path)
    assert (found.line, found.lines) == (place + 1, place)
    assert found.file == str(path)


def test_lines_that_go_come_or_change_places_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    digests = _written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    for changed, first in (
        (lines[:3] + lines[4:], 4),
        ([*lines[:2], lines[3], lines[2], *lines[4:]], 3),
        ([*lines[:5], lines[4], *lines[5:]], 6),
        # Made anew with a digest that fits itself, not its neighbours.
        ([*lines[:5], line_of({"rpc": "forged"}, 6, digests[4])[0], *lines[6:]], 7),
    ):
        path.write_bytes(b"".join(changed))
        assert verify(path).line == first
    path.write_bytes(b"".join(lines[:6]))
    assert verify(path).problem is None, "an end that was cut off cannot be told from the log alone"
    assert "cut off" in str(verify(path, digests[-1]).problem)
    assert verify(path, digests[2]).problem is None


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    _written(path, 3)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        assert verify(path).problem is not None, place


def test_a_line_cut_off_by_a_crash_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    _written(path, 4)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"n": 5, "rpc": "half')
    assert "cut off" in str(verify(path).problem)
    chain = ChainFile(path, 1 << 20)
    assert chain.removed == 21
    assert path.stat().st_size == size
    chain.append([{"rpc": "next"}])
    chain.close()
    assert verify(path).lines == 5


def test_what_is_no_log_is_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n")
    with pytest.raises(ChainDamaged, match="none of an audit log"):
        ChainFile(path, 1 << 20)
    assert path.read_text() == "buy milk\n"


def test_a_disk_that_is_full_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.jsonl"
    chain = ChainFile(path, 1 << 20)
    chain.append([{"rpc": "a"}])
    real = os.write
    calls = []

    def full(fd: int, data: bytes) -> int:
        calls.append(fd)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(data)[:10])

    monkeypatch.setattr(audit_chain.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        chain.append([{"rpc": "b"}])
    monkeypatch.undo()
    chain.append([{"rpc": "c"}])
    chain.close()
    assert verify(path).lines == 2
