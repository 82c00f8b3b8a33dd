"""Bearer tokens (JWT, RFC 7519) of an OpenID Connect provider: checked by PyJWT, claims made a principal."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import jwt
from kinprint.server.config import TokenConfig
from kinprint.server.edge.principal import Principal, role_of
from kinprint.server.failures import CredentialsExpired, CredentialsInvalid, RoleTooLow

logger = logging.getLogger(__name__)

#: Signatures by a private key that the issuer alone has; none by a shared secret, and not "none".
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
#: Seconds that the clocks of issuer and server may differ.
_LEEWAY = 10
#: Seconds after which the issuer's keys are read again, and that a request for them may take.
_FRESH, _PATIENCE = 300, 5


class Tokens:
    """Checks tokens of one issuer. Methods may wait for the network: for a worker thread."""

    def __init__(self, config: TokenConfig) -> None:
        self._config = config
        self._remote: jwt.PyJWKClient | None = None
        self._local: tuple[tuple[int, int], jwt.PyJWKSet] | None = None
        if config.jwks.startswith("https://"):
            self._remote = jwt.PyJWKClient(config.jwks, cache_keys=False, lifespan=_FRESH, timeout=_PATIENCE)
        elif config.jwks.startswith("http://"):
            raise ValueError("the issuer's keys must come over https or from a file: anybody could slip in theirs")
        else:
            self._file()

    def _file(self) -> jwt.PyJWKSet:
        """Keys of a file, read again when it changes. Raises ValueError, OSError."""
        path = Path(self._config.jwks)
        found = path.stat()
        stamp = (found.st_ino, found.st_mtime_ns)
        if self._local is None or self._local[0] != stamp:
            try:
                self._local = stamp, jwt.PyJWKSet.from_dict(json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
                raise ValueError(f"{path} holds no set of keys (JWKS): {error}") from None
        return self._local[1]

    def _key(self, token: str) -> Any:
        if self._remote is not None:
            return self._remote.get_signing_key_from_jwt(token).key
        identifier = jwt.get_unverified_header(token).get("kid")
        keys = self._file().keys
        if identifier is None and len(keys) == 1:
            return keys[0].key
        for key in keys:
            if key.key_id == identifier and identifier is not None:
                return key.key
        raise jwt.InvalidTokenError("the issuer has no key of that id")

    def principal(self, token: str) -> Principal:
        """Whom a token stands for.  Raises CredentialsInvalid, CredentialsExpired, RoleTooLow."""
        config = self._config
        try:
            claims = jwt.decode(
                token,
                self._key(token),
                algorithms=_ALGORITHMS,
                audience=config.audience,
                issuer=config.issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError:
            raise CredentialsExpired("the token has expired; get a fresh one from its issuer") from None
        except jwt.PyJWKClientConnectionError as error:
            logger.warning("the keys of %s cannot be read: %s", config.issuer, error)
            raise CredentialsInvalid("the token cannot be checked now; the server's log says why") from None
        except (jwt.PyJWTError, ValueError, OSError) as error:
            if isinstance(error, OSError | ValueError):
                logger.warning("the keys of %s cannot be read: %s", config.issuer, error)
            raise CredentialsInvalid(
                f"what was shown is none that this server takes ({type(error).__name__}); show an API key of it "
                f"(kinprint keys create), or a token of {config.issuer} for the audience {config.audience}"
            ) from None
        return self._mapped(claims)

    def _mapped(self, claims: dict[str, Any]) -> Principal:
        name = f"token:{str(claims['sub'])[:128]}"
        try:
            role = role_of(str(claims[self._config.role_claim]))
        except (KeyError, ValueError):
            raise RoleTooLow(
                f"the token has no role: its claim {self._config.role_claim} must be read, write or admin"
            ) from None
        told = claims.get(self._config.corpora_claim, [])
        names = [told] if isinstance(told, str) else told if isinstance(told, list) else []
        corpora = None if names == ["*"] else frozenset(name for name in names if isinstance(name, str))
        expires = min(float(claims["exp"]) + _LEEWAY, time.time() + 10 * 365 * 86400.0)
        return Principal(name, role, corpora, expires)
