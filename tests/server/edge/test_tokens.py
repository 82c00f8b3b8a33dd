"""Bearer tokens of an issuer whose keys lie in a file."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from kinprint.server.config import TokenConfig
from kinprint.server.edge.principal import Principal, Role
from kinprint.server.edge.tokens import Tokens
from kinprint.server.failures import CredentialsExpired, CredentialsInvalid, Failure, RoleTooLow

ISSUER, AUDIENCE = "https://issuer.example", "kinprint"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _jwk(key: Any, identifier: str) -> dict[str, Any]:
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": identifier, "use": "sig"}


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [_jwk(KEY, "one"), _jwk(RSA, "two")]}), encoding="utf-8")
    return path


@pytest.fixture
def tokens(jwks: Path) -> Tokens:
    return Tokens(TokenConfig(ISSUER, AUDIENCE, str(jwks)))


def token(key: Any = KEY, identifier: str | None = "one", algorithm: str = "ES256", **claims: Any) -> str:
    told = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "exp": time.time() + 60,
        "kinprint_role": "write",
        "kinprint_corpora": ["a", "b"],
        **claims,
    }
    told = {name: value for name, value in told.items() if value is not None}
    return jwt.encode(told, key, algorithm=algorithm, headers={"kid": identifier} if identifier else None)


def test_claims_make_a_principal(tokens: Tokens) -> None:
    expires = int(time.time()) + 60
    found = tokens.principal(token(exp=expires))
    assert found == Principal("token:ada", Role.WRITE, frozenset("ab"), expires + 10)
    assert tokens.principal(token(RSA, "two", "RS256")).role is Role.WRITE


@pytest.mark.parametrize(
    ("corpora", "seen"),
    [("*", None), (["*"], None), ("a", {"a"}), ([], set()), (None, set()), (3, set()), (["a", 3, "*"], {"a", "*"})],
)
def test_a_token_sees_the_corpora_that_it_names(tokens: Tokens, corpora: Any, seen: set[str] | None) -> None:
    assert tokens.principal(token(kinprint_corpora=corpora)).corpora == seen


@pytest.mark.parametrize(
    ("made", "refused"),
    [
        ({"exp": time.time() - 86_400}, CredentialsExpired),
        ({"exp": None}, CredentialsInvalid),
        ({"sub": None}, CredentialsInvalid),
        ({"nbf": time.time() + 86_400}, CredentialsInvalid),
        ({"iss": "https://another.example"}, CredentialsInvalid),
        ({"aud": "another"}, CredentialsInvalid),
        ({"aud": None}, CredentialsInvalid),
        ({"key": OTHER}, CredentialsInvalid),
        ({"identifier": "three"}, CredentialsInvalid),
        ({"identifier": None}, CredentialsInvalid),
        ({"key": "shared secret of thirty-two bytes", "algorithm": "HS256"}, CredentialsInvalid),
        ({"key": None, "algorithm": "none"}, CredentialsInvalid),
        ({"kinprint_role": None}, RoleTooLow),
        ({"kinprint_role": "king"}, RoleTooLow),
    ],
)
def test_what_is_no_good_is_refused(tokens: Tokens, made: dict[str, Any], refused: type[Failure]) -> None:
    with pytest.raises(refused):
        tokens.principal(token(**made))


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "\u00fc.\u00fc.\u00fc"])
def test_what_is_no_token_is_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(CredentialsInvalid):
        tokens.principal(text)


def test_keys_are_read_again_when_the_file_changes(tokens: Tokens, jwks: Path) -> None:
    fresh = token(OTHER, "one")
    with pytest.raises(CredentialsInvalid):
        tokens.principal(fresh)
    scratch = jwks.with_suffix(".new")
    scratch.write_text(json.dumps({"keys": [_jwk(OTHER, "one")]}), encoding="utf-8")
    os.replace(scratch, jwks)
    assert tokens.principal(fresh).name == "token:ada"
    with pytest.raises(CredentialsInvalid):
        tokens.principal(token())


def test_keys_come_from_a_file_or_over_tls(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="https"):
        Tokens(TokenConfig(ISSUER, AUDIENCE, "http://issuer.example/jwks"))
    with pytest.raises(FileNotFoundError):
        Tokens(TokenConfig(ISSUER, AUDIENCE, str(tmp_path / "none.json")))
    (tmp_path / "no.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ValueError, match=r"no\.json"):
        Tokens(TokenConfig(ISSUER, AUDIENCE, str(tmp_path / "no.json")))
