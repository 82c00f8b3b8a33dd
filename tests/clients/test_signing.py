"""Signatures: of the bytes that were signed and the key that signed them, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kinprint.client import signing
from kinprint.client.signing import SignatureError

# RFC 8032, section 7.1, test 2: private key, public key, message and signature.
_RFC = (
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    signing.new_key(tmp_path / "lab.key")
    return tmp_path / "lab.key"


@pytest.fixture
def signed(tmp_path: Path, key: Path) -> Path:
    path = tmp_path / "panel.json"
    path.write_bytes(b'{"format": "kinprint-panel"}\n')
    signing.sign(path, key, "fitted in November")
    return path


def public(key: Path) -> str:
    return signing.read_public_key(key.with_name(key.name + ".pub"))


def test_the_algorithm_is_ed25519() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private, of_it, message, expected = (bytes.fromhex(part) for part in _RFC)
    made = Ed25519PrivateKey.from_private_bytes(private)
    assert made.public_key().public_bytes_raw() == of_it
    assert made.sign(message) == expected


def test_what_was_signed_is_found_to_be(signed: Path, key: Path) -> None:
    found = signing.verify(signed, public(key))
    assert found.file == "panel.json"
    assert found.note == "fitted in November"
    assert found.sha256 == signing.sha256_of(signed)
    assert signing.read_public_key(public(key).upper()) == public(key)


def test_private_keys_are_their_owners_and_never_replaced(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        signing.new_key(key)


def test_another_file_or_key_is_refused(signed: Path, key: Path, tmp_path: Path) -> None:
    signing.new_key(tmp_path / "other.key")
    with pytest.raises(SignatureError, match="not with"):
        signing.verify(signed, public(tmp_path / "other.key"))
    signed.write_bytes(signed.read_bytes() + b" ")
    with pytest.raises(SignatureError, match="bytes differ"):
        signing.verify(signed, public(key))


@pytest.mark.parametrize("field", ["file", "sha256", "signed_at", "note", "signature", "public_key"])
def test_no_field_of_a_signature_can_be_changed(signed: Path, key: Path, field: str) -> None:
    place = signed.with_name("panel.json.sig")
    document = json.loads(place.read_text())
    first = "A" if document[field][0] != "A" else "B"
    document[field] = first + document[field][1:]
    place.write_text(json.dumps(document))
    with pytest.raises(SignatureError):
        signing.verify(signed, public(key))


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"{}", b'{"format": "x"}', b"\xff", b'{"format":"kinprint-signature","version":9}']
)
def test_what_is_no_signature_is_refused(signed: Path, key: Path, content: bytes) -> None:
    signed.with_name("panel.json.sig").write_bytes(content)
    with pytest.raises(SignatureError):
        signing.verify(signed, public(key))


def test_without_a_signature(signed: Path, key: Path) -> None:
    signed.with_name("panel.json.sig").unlink()
    with pytest.raises(SignatureError, match="no signature"):
        signing.verify(signed, public(key))


def test_keys_that_are_none(signed: Path, key: Path, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("nothing")
    for wrong in (tmp_path / "none", key.with_name("lab.key.pub")):
        with pytest.raises(SignatureError):
            signing.sign(signed, wrong)
    with pytest.raises(SignatureError):
        signing.read_public_key(key)
