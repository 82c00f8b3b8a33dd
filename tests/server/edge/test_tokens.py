"""Bearer tokens of an issuer whose keys lie in a file."""

from __future__ import annotations

import http.server
import json
import os
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from certificates import Issuer
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


# ---- keys over https ----


class Keys:
    """A server of an issuer's keys, over TLS, with a certificate of the tests' own authority."""

    def __init__(self, cert: Path, key: Path) -> None:
        self.answer: tuple[int, bytes] = 200, b""
        self.asked = 0
        ours = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                ours.asked += 1
                self.send_response(ours.answer[0])
                self.end_headers()
                self.wfile.write(ours.answer[1])

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def hold(self, *keys: dict[str, Any]) -> None:
        self.answer = 200, json.dumps({"keys": keys}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture
def served(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Keys]:
    monkeypatch.setenv("SSL_CERT_FILE", str(issuer.ca))
    made = Keys(*issuer.issue("issuer"))
    made.hold(_jwk(KEY, "one"))
    yield made
    made.close()


def over_https(served: Keys, host: str = "localhost") -> Tokens:
    return Tokens(TokenConfig(ISSUER, AUDIENCE, f"https://{host}:{served.port}/jwks.json"))


def test_keys_come_over_https_and_are_kept_for_a_while(served: Keys) -> None:
    tokens = over_https(served)
    assert served.asked == 0, "a start waits for no issuer"
    for _ in range(3):
        assert tokens.principal(token()).name == "token:ada"
    assert served.asked == 1


def test_a_key_that_is_not_known_is_asked_for(served: Keys) -> None:
    tokens = over_https(served)
    assert tokens.principal(token()).role is Role.WRITE
    with pytest.raises(CredentialsInvalid):
        tokens.principal(token(OTHER, "two"))
    served.hold(_jwk(KEY, "one"), _jwk(OTHER, "two"))
    asked = served.asked
    for _ in range(3):  # whoever makes up names of keys has the issuer asked no more often for it
        with pytest.raises(CredentialsInvalid):
            tokens.principal(token(OTHER, "three"))
    assert served.asked == asked
    assert tokens._remote is not None
    tokens._remote.cooldown_duration = 0  # half a minute later
    assert tokens.principal(token(OTHER, "two")).role is Role.WRITE
    with pytest.raises(CredentialsInvalid):
        tokens.principal(token(OTHER, "one"))


@pytest.mark.parametrize(
    "answer", [(500, b""), (404, b"none"), (200, b""), (200, b"[]"), (200, b"{}"), (200, b"<html>")]
)
def test_an_issuer_that_gives_no_keys(served: Keys, answer: tuple[int, bytes]) -> None:
    served.answer = answer
    with pytest.raises(CredentialsInvalid):
        over_https(served).principal(token())


def test_an_issuer_that_does_not_answer(served: Keys, caplog: pytest.LogCaptureFixture) -> None:
    served.close()
    with pytest.raises(CredentialsInvalid, match="cannot be checked now"):
        over_https(served).principal(token())
    assert "cannot be read" in caplog.text


def test_keys_of_another_authority_are_not_taken(
    served: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Issuer(tmp_path, "theirs").ca))
    with pytest.raises(CredentialsInvalid, match="cannot be checked now"):
        over_https(served).principal(token())
    assert served.asked == 0
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


def test_keys_from_a_host_of_another_name_are_not_taken(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(issuer.ca))
    other = Keys(*issuer.issue("other", host="issuer.example"))
    other.hold(_jwk(KEY, "one"))
    with pytest.raises(CredentialsInvalid, match="cannot be checked now"):
        over_https(other).principal(token())
    assert other.asked == 0
    other.close()
