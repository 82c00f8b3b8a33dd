"""The file of API keys, and the store that a server keeps of it."""

from __future__ import annotations

import os
import stat
import threading
import time
from pathlib import Path

import pytest
from kinprint.server.edge import keys
from kinprint.server.edge.principal import Role
from kinprint.server.store.files import read_json, write_json


def test_a_key_is_stored_by_its_hash_alone_and_privately(tmp_path: Path) -> None:
    made, token = keys.create(tmp_path / "data", "write", ["b", "a", "b"], None, "loader")
    path = tmp_path / "data" / "keys.json"
    parts = keys.split(token)
    assert parts is not None
    assert parts[0] == made.id
    assert parts[1] not in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    found = keys.read(path)[made.id]
    assert found == made
    assert found.fits(parts[1])
    assert not found.fits("a" * 52)
    assert found.cost == (16_384, 8, 1)  # 16 MiB and some 40 ms: a file that was taken is not tried out
    principal = found.principal()
    assert (principal.role, principal.corpora, principal.key) == (Role.WRITE, frozenset("ab"), made.id)


def test_hashes_are_of_scrypt_as_its_standard_says() -> None:
    # The third test vector of RFC 7914, of which 32 bytes are the beginning of its 64.
    made = keys._hash("pleaseletmein", b"SodiumChloride", (16384, 8, 1))
    assert made.hex() == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"


def test_two_keys_share_neither_salt_nor_secret(tmp_path: Path) -> None:
    (one, first), (other, second) = (keys.create(tmp_path, "read") for _ in range(2))
    assert one.salt != other.salt
    assert first.rpartition("_")[2] != second.rpartition("_")[2]


def test_a_revoked_key_stays_in_the_list(tmp_path: Path) -> None:
    made, token = keys.create(tmp_path, "admin")
    first = keys.revoke(tmp_path, token)
    assert first.revoked_at is not None
    assert keys.revoke(tmp_path, made.id).revoked_at == first.revoked_at
    assert list(keys.read(tmp_path / "keys.json")) == [made.id]
    with pytest.raises(KeyError):
        keys.revoke(tmp_path, "nonesuch")


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
def test_what_root_makes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 12_345, 12_346)
    keys.create(data, "read")
    for name in ("keys.json", "keys.json.lock", "kinprint.json"):
        found = (data / name).stat()
        assert (found.st_uid, found.st_gid) == (12_345, 12_346)
        assert stat.S_IMODE(found.st_mode) & 0o077 == 0


def test_many_at_once_lose_none(tmp_path: Path) -> None:
    made: list[str] = []

    def create() -> None:
        made.append(keys.create(tmp_path, "read")[0].id)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert keys.read(tmp_path / "keys.json").keys() == set(made)
    assert len(set(made)) == 6


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 2, "keys": []}',
        '{"format": 1, "keys": [1]}',
        '{"format": 1, "keys": [{"id": "x"}]}',
    ],
)
def test_a_damaged_file_is_named_and_lets_nobody_in(tmp_path: Path, damage: str) -> None:
    made, _ = keys.create(tmp_path, "admin")
    path = tmp_path / "keys.json"
    store = keys.KeyStore(path)
    store.look(at_once=True)
    assert store.get(made.id) == made
    path.write_text(damage, encoding="utf-8")
    with pytest.raises(keys.KeysUnreadable, match=r"keys\.json"):
        keys.read(path)
    time.sleep(0.6)
    assert store.get(made.id) is None
    assert store.configured


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("role", "king"),
        ("hash", "00"),
        ("salt", "00"),
        ("salt", "xx" * 16),
        ("cost", [1, 2]),
        ("cost", [1, 8, 1]),
        ("cost", [(1 << 20) + 1, 8, 1]),
        ("cost", [1 << 14, 8, "1"]),
        ("created_at", "never"),
        ("revoked_at", "never"),
        ("expires_at", "never"),
        ("corpora", 3),
    ],
)
def test_a_key_with_a_damaged_field_is_none(tmp_path: Path, field: str, value: object) -> None:
    keys.create(tmp_path, "read")
    path = tmp_path / "keys.json"
    stored = read_json(path)
    stored["keys"][0][field] = value
    write_json(path, stored)  # with a digest of its own: by the field it is refused, and not by that
    with pytest.raises(keys.KeysUnreadable):
        keys.read(path)


def test_a_store_follows_its_file(tmp_path: Path) -> None:
    store = keys.KeyStore(tmp_path / "keys.json")
    store.look(at_once=True)
    assert not store.configured
    made, _ = keys.create(tmp_path, "read")
    store.look(at_once=True)
    assert store.configured
    assert store.get(made.id) is not None
    (tmp_path / "keys.json").unlink()
    store.look(at_once=True)
    assert store.get(made.id) is None
    assert store.configured  # what was closed does not open because a file is gone


def test_the_umask_of_who_makes_a_key_is_left_as_it_was(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        keys.create(tmp_path, "read")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
