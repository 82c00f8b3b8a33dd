"""Signatures of what is handed on: panels, dossiers, or any other file.  Ed25519 (RFC 8032), detached.

A signature is a small JSON file beside the signed one, `NAME.sig`: it names the file's SHA-256, who signed by the
public key, and when; the signature is over all of that. A digest tells damage; a signature tells that the holder of the
key vouched for these bytes. Whose a public key is has to be known from elsewhere.

This needs the `cryptography` package: pip install 'kinprint[sign]'.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FORMAT = "kinprint-signature"
VERSION = 1
SUFFIX = ".sig"


class SignatureError(ValueError):
    """A key or signature cannot be used, or a file is not the one that was signed; the message says which."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed a file, and when.

    Attributes:
        file: name that the file had.
        sha256: digest of its bytes, hexadecimal.
        public_key: of the signer, 32 bytes, hexadecimal.
        signed_at: ISO 8601, UTC, as the signer's clock had it.
        note: what the signer said of it.
    """

    file: str
    sha256: str
    public_key: str
    signed_at: str
    note: str

    @property
    def message(self) -> bytes:
        """What is signed: canonical JSON of everything but the signature."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "file": self.file,
            "sha256": self.sha256,
            "public_key": self.public_key,
            "signed_at": self.signed_at,
            "note": self.note,
        }
        return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _library() -> Any:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise SignatureError("signatures need the cryptography package: pip install 'kinprint[sign]'") from error
    return serialization, ed25519


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.  Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def new_key(path: Path) -> str:
    """Write a new private key (PKCS #8, PEM, readable by its owner alone) and, beside it, `NAME.pub`.

    Returns:
        The public key, hexadecimal.

    Raises:
        FileExistsError: one of the two is there: a key is never replaced.
        SignatureError: the library is missing.
    """
    serialization, ed25519 = _library()
    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    beside = path.with_name(path.name + ".pub")
    if beside.exists():
        raise FileExistsError(f"{beside} exists already")
    for place, content, mode in ((path, private, 0o600), (beside, public, 0o644)):
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(fd, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
    return _hexadecimal(key.public_key())


def _hexadecimal(public: Any) -> str:
    serialization, _ = _library()
    raw: bytes = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw.hex()


def _private(path: Path) -> Any:
    serialization, ed25519 = _library()
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise SignatureError(f"{path} holds no private key without a password: {error}") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise SignatureError(f"{path} holds no Ed25519 key; make one with: kinprint sign --new-key FILE")
    return key


def read_public_key(source: str | Path) -> str:
    """A public key, hexadecimal: out of a PEM file, or as 64 hexadecimal digits.

    Raises:
        SignatureError: it is neither.
        OSError: the file cannot be read.
    """
    named = str(source)
    if len(named) == 64 and all(c in "0123456789abcdefABCDEF" for c in named):
        return named.lower()
    serialization, ed25519 = _library()
    try:
        key = serialization.load_pem_public_key(Path(source).read_bytes())
    except ValueError as error:
        raise SignatureError(f"{source} holds no public key: {error}") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise SignatureError(f"{source} holds no Ed25519 key")
    return _hexadecimal(key)


def sign(path: Path, key: Path, note: str = "") -> Path:
    """Sign a file; where the signature is, `NAME.sig` beside it.

    Raises:
        SignatureError: the key cannot be used, or the library is missing.
        OSError: a file cannot be read or written.
    """
    private = _private(key)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    made = Signature(path.name, sha256_of(path), _hexadecimal(private.public_key()), now, note)
    signed = base64.b64encode(private.sign(made.message)).decode()
    target = path.with_name(path.name + SUFFIX)
    scratch = target.with_name(target.name + f".{os.getpid()}.new")
    scratch.write_text(
        json.dumps({**json.loads(made.message), "signature": signed}, ensure_ascii=False, indent=1) + "\n",
        encoding="utf-8",
    )
    scratch.replace(target)
    return target


def verify(path: Path, public_key: str, signature: Path | None = None) -> Signature:
    """Check that the holder of a key signed these bytes; the signature.

    Args:
        public_key: hexadecimal, see `read_public_key`.
        signature: the file of the signature; `NAME.sig` beside the file if None.

    Raises:
        SignatureError: the file, its signature or the key is another one.
        OSError: a file cannot be read.
    """
    _, ed25519 = _library()
    place = signature or path.with_name(path.name + SUFFIX)
    if not place.exists():
        raise SignatureError(f"{path} has no signature beside it ({place.name})")
    try:
        document = json.loads(place.read_bytes())
        if document.pop("format") != FORMAT:
            raise ValueError("it is of another format")
        if document.pop("version") > VERSION:
            raise SignatureError(f"{place} was written by a newer Kinprint; upgrade")
        signed = base64.b64decode(document.pop("signature"), validate=True)
        found = Signature(**{name: str(value) for name, value in document.items()})
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, SignatureError):
            raise
        raise SignatureError(f"{place} is no signature: {error}") from error
    from cryptography.exceptions import InvalidSignature

    if found.public_key != public_key:
        raise SignatureError(f"{path} was signed with key {found.public_key[:16]}, not with {public_key[:16]}")
    try:
        key.verify(signed, found.message)
    except InvalidSignature:
        raise SignatureError(f"{place} is forged or damaged: the signature does not fit") from None
    if sha256_of(path) != found.sha256:
        raise SignatureError(f"{path} is not the file that was signed: its bytes differ")
    return found
