"""Digests: what is not the file that was written is never read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kinprint.server.store import content, digests, durability, files
from kinprint.server.store.digests import Damaged
from kinprint.server.store.durability import RecordDamaged
from kinprint.server.store.record import PUT, SCHEMA, Record


def test_xxh3_128_has_the_values_of_its_specification() -> None:
    assert digests.digest_of(b"") == "99aa06d3014798d86001c324468d497f"


def test_a_file_is_compared_once_and_again_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 100)
    digest = digests.digest_of_file(file)
    digests.verify(file, digest)
    stamp = file.stat()
    file.write_bytes(b"x" * 99 + b"y")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    digests.verify(file, digest)  # this process has compared it, and it looks the same
    with pytest.raises(Damaged, match="file"):
        digests.verify_again(file, digest)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    with pytest.raises(Damaged):
        digests.verify(file, digest)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_no_flipped_bit_of_a_digest_log_gives_another_digest(content: bytes, data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch)
        names = ["part-1.parquet", "_delta_log/00000000000000000001.json", "a b%.parquet"]
        right = {name: digests.digest_of(content + name.encode()) for name in names}
        digests.append_log(table, right)
        assert digests.read_log(table) == right
        log = bytearray(digests.log_path(table).read_bytes())
        bit = data.draw(st.integers(0, len(log) * 8 - 1))
        log[bit // 8] ^= 1 << (bit % 8)
        digests.log_path(table).write_bytes(log)
        found = digests.read_log(table)
        assert found.items() <= right.items()
        digests.append_log(table, {"new": "0" * 32})
        assert digests.read_log(table)["new"] == "0" * 32


def test_a_torn_last_line_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    digests.append_log(tmp_path, {"a": "1" * 32, "b": "2" * 32})
    log = digests.log_path(tmp_path)
    log.write_bytes(log.read_bytes()[:-9])
    digests.append_log(tmp_path, {"c": "3" * 32})
    assert digests.read_log(tmp_path) == {"a": "1" * 32, "c": "3" * 32}


@pytest.mark.parametrize("value", [{"a": 1, "b": [1.5, None, "ü"]}, {}])
def test_json_holds_a_digest_of_itself(tmp_path: Path, value: dict[str, object]) -> None:
    path = tmp_path / "some.json"
    files.write_json(path, value)
    assert files.read_json(path) == value
    text = path.read_bytes()
    for at in range(len(text)):
        path.write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
        with contextlib.suppress(ValueError):
            # Only the name of the digest itself may differ: it is then one of a version without digests.
            found = files.read_json(path)
            assert {name: found.get(name) for name in value} == value
    path.write_bytes(b'{"a": 2}')
    assert files.read_json(path) == {"a": 2}, "of a version without digests"
    path.write_bytes(b"[1]")
    with pytest.raises(ValueError, match="no JSON object"):
        files.read_json(path)


def _row(number: int, response: str) -> dict[str, object]:
    texts = dict.fromkeys(content.HASHED) | {"response": response, "model": "m"}
    digest = content.content_hash([texts[name] for name in content.HASHED], None, None, {})
    return texts | {"id": f"r{number}", "seq": number, "op": PUT, "content_hash": digest}


def _record(tmp_path: Path, rows: int = 20) -> Record:
    record = Record.create(tmp_path / "record")
    schema = {name: SCHEMA[name] for name in _row(0, "")}
    record.append(pl.DataFrame([_row(k, f"answer {k} " * 30) for k in range(rows)], schema=schema))
    return record


def _flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(data)


def test_a_flipped_bit_in_a_data_file_is_refused_by_name(tmp_path: Path) -> None:
    record = _record(tmp_path)
    (name,) = record.snapshot().files
    file = durability.data_file(record.path, name)
    _flip(file, file.stat().st_size * 4)
    again = Record.open(record.path)
    with pytest.raises(RecordDamaged, match=r"digest differs.*backup") as refused:
        again.read()
    assert refused.value.file == file


def test_rows_without_a_digest_are_compared_with_their_hash_and_get_one(tmp_path: Path) -> None:
    record = _record(tmp_path)
    digests.log_path(record.path).unlink()
    again = Record.open(record.path)
    assert again.read(columns=["id"]).collect().height == 20
    (name,) = record.snapshot().files
    assert name in digests.read_log(record.path)
    wrong = pl.read_parquet(record.path / name).with_columns(pl.lit("another").alias("account_id"))
    assert len(content.wrong_rows(wrong)) == 20
    wrong.write_parquet(record.path / name)
    with pytest.raises(digests.Damaged, match="20 rows"):
        durability.check_rows(record.path / name)


def test_a_flipped_bit_in_an_acknowledged_log_entry_is_refused_by_name(tmp_path: Path) -> None:
    record = _record(tmp_path)
    entry = durability.entry_path(record.path, 0)
    text = entry.read_bytes()
    entry.write_bytes(text.replace(b'"kinprint.format":"1"', b'"kinprint.format":"0"'))
    with pytest.raises(RecordDamaged, match="digest differs"):
        Record.open(record.path)


def test_a_log_that_lost_its_end_and_its_marker_is_refused(tmp_path: Path) -> None:
    record = _record(tmp_path)
    durability.entry_path(record.path, 1).unlink()
    (record.path / durability.MARKER_NAME).unlink()
    with pytest.raises(RecordDamaged, match="and so is the marker"):
        Record.open(record.path)


def test_a_log_entry_with_what_is_no_action_is_refused(tmp_path: Path) -> None:
    record = _record(tmp_path)
    digests.log_path(record.path).unlink()  # as before there were digests
    entry = durability.entry_path(record.path, 1)
    entry.write_bytes(entry.read_bytes().replace(b'{"add":', b'{"ade":'))
    with pytest.raises(RecordDamaged, match=r"00001\.json"):
        Record.open(record.path)


def test_a_digest_log_is_as_documented(tmp_path: Path) -> None:
    digests.append_log(tmp_path, {"a b/ü": "0" * 32})
    log = digests.log_path(tmp_path)
    assert (log.name, log.stat().st_mode & 0o777) == ("_kinprint_digests", 0o600)
    line = f"{'0' * 32} 0b9196a5 a%20b/%C3%BC\n"
    assert log.read_text() == f"kinprint-digests 1\n{line}"
    digests.append_log(tmp_path, {"c": "1" * 32, "d": "2" * 32})
    digests.keep_log(tmp_path, ["a b/ü", "d", "none"])
    assert log.read_text().startswith(f"kinprint-digests 1\n{line}{'2' * 32} ")
    assert digests.read_log(tmp_path) == {"a b/ü": "0" * 32, "d": "2" * 32}
    log.write_text(f"kinprint-digests 1\n{line.replace('0b91', '0b92')}short 00000000 x\n")
    assert digests.read_log(tmp_path) == {}


def test_what_a_process_remembers_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_MOST_KNOWN", 3)
    monkeypatch.setattr(digests, "_known", {})
    for number in range(8):
        file = tmp_path / str(number)
        file.write_bytes(b"x")
        digests.trust(file, "y" * 32)
        digests.verify(file, "y" * 32)  # it is trusted, and not read
        assert len(digests._known) == number % 3 + 1
    with pytest.raises(Damaged):
        digests.verify(tmp_path / "0", "y" * 32)  # forgotten, and read


def test_large_files_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_BLOCK", 10)
    for size in (0, 9, 10, 11, 35):
        (tmp_path / "x").write_bytes(bytes(range(size)))
        assert digests.digest_of_file(tmp_path / "x") == digests.digest_of(bytes(range(size)))


def test_of_several_damaged_files_the_first_by_name_is_told(tmp_path: Path) -> None:
    expected = {}
    for name in "cab":
        (tmp_path / name).write_bytes(name.encode())
        expected[tmp_path / name] = digests.digest_of(name.encode())
    digests.verify_all(expected)
    digests.verify_all({})
    (tmp_path / "b").write_bytes(b"bb")
    (tmp_path / "c").write_bytes(b"cc")
    with pytest.raises(Damaged) as caught:
        digests.verify_all(expected)
    assert caught.value.file == tmp_path / "b"
    assert caught.value.what == digests.DIFFERS
