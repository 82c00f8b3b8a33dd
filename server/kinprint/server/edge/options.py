"""Options of `python -m kinprint.server` about access, and its command `keys`. Imports little: a refusal is quick."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kinprint.server.config import AccessConfig, TokenConfig

if TYPE_CHECKING:
    from kinprint.server.edge.keys import Key
    from kinprint.server.settings import Settings

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}


def add_access_options(serve: argparse.ArgumentParser) -> None:
    """Add the options of `serve` about access; what is not given is left out (see `kinprint.server.settings`)."""
    group = serve.add_argument_group("access (docs/security.md)")
    group.add_argument(
        "--auth", action="store_true", help="ask for an API key or token over TCP even while no key was made"
    )
    group.add_argument(
        "--insecure",
        dest="listen_insecure",
        action="store_true",
        help="listen where others reach it without TLS and keys too; off by default",
    )
    group.add_argument("--tls-cert", type=Path, metavar="FILE", help="chain of the server, PEM")
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, PEM")
    group.add_argument(
        "--tls-client-ca", type=Path, metavar="FILE", help="clients must show a certificate of these authorities, PEM"
    )
    group.add_argument(
        "--reflection",
        action=argparse.BooleanOptionalAction,
        help="answer for gRPC reflection (default: where no keys are asked for and no other machine gets in)",
    )
    for name, told in (
        ("issuer", "issuer of the tokens (JWT) that are taken as well"),
        ("audience", "their audience"),
        ("jwks", "the issuer's keys: https URL or file"),
        ("role-claim", "their claim with the role (default: kinprint_role)"),
        ("corpora-claim", "their claim with the names of corpora, or * (default: kinprint_corpora)"),
    ):
        group.add_argument(f"--oidc-{name}", metavar="TEXT", help=told)


def access_of(settings: Settings) -> AccessConfig:
    """What the settings say of it.  Raises ValueError for tokens that are named in part."""
    tokens = None
    named = {"issuer": settings.oidc_issuer, "audience": settings.oidc_audience, "jwks": settings.oidc_jwks}
    if any(named.values()):
        if missing := [f"--oidc-{name}" for name, value in named.items() if not value]:
            raise ValueError(f"tokens need {' and '.join(missing)} too")
        whole = {name: str(value) for name, value in named.items()}
        claims = {"role_claim": settings.oidc_role_claim, "corpora_claim": settings.oidc_corpora_claim}
        tokens = TokenConfig(**whole, **{name: value for name, value in claims.items() if value})
    return AccessConfig(
        auth=settings.auth,
        insecure=settings.listen_insecure,
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_client_ca=settings.tls_client_ca,
        reflection=settings.reflection,
        tokens=tokens,
    )


# ---- keys ----


def _moment(text: str) -> float:
    """Seconds of the epoch: of an ISO 8601 time (UTC where it names no zone), or after a duration such as 90d."""
    if text[-1:] in _UNITS and text[:-1].replace(".", "", 1).isdigit():
        return time.time() + float(text[:-1]) * _UNITS[text[-1]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time; write for example 2027-01-31, 2027-01-31T12:00:00, 90d or 12h"
        ) from None
    moment = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    if moment <= time.time():
        raise argparse.ArgumentTypeError(f"{text!r} has passed")
    return moment


def add_keys_command(commands: Any) -> None:
    """Add the command `keys`."""
    keys = commands.add_parser("keys", help="API keys of a data directory").add_subparsers(dest="action", required=True)
    create = keys.add_parser("create", help="make one, and print it: it is shown this once")
    create.add_argument("--role", choices=("read", "write", "admin"), default="read", help="default: read")
    create.add_argument(
        "--corpus", action="append", metavar="NAME", help="bind it to this corpus; repeatable. Without: it sees all"
    )
    create.add_argument("--expires", type=_moment, metavar="TIME", help="when it ends: 90d, 12h, or an ISO 8601 time")
    create.add_argument("--name", default="", metavar="TEXT", help="what it is for, shown in the list")
    listed = keys.add_parser("list", help="list them, without their secrets")
    revoke = keys.add_parser("revoke", help="take one back; servers refuse it within a second")
    revoke.add_argument("id", metavar="ID", help="its id, as the list shows it")
    for command in (create, listed, revoke):
        command.add_argument("--data", type=Path, required=True, metavar="DIR", help="data directory")
        command.add_argument("--json", action="store_true", help="print the result as JSON")


def run_keys(arguments: argparse.Namespace) -> int:
    """Run the command `keys`; its exit status. It works on the file, whether a server runs or not."""
    from filelock import Timeout
    from kinprint.server.edge import keys

    if not arguments.data.is_dir():
        where = shlex.quote(str(arguments.data))
        print(
            f"error: there is no directory {arguments.data}; make it as the user whose server will use it: "
            f"install -d -m 0700 {where}",
            file=sys.stderr,
        )
        return 1
    try:
        if arguments.action == "create":
            _check_names(arguments.corpus or ())
            made, token = keys.create(
                arguments.data, arguments.role, arguments.corpus, arguments.expires, arguments.name
            )
            if arguments.json:
                print(json.dumps({**told(made), "key": token}))
            else:
                print(token)
                print(
                    f"key {made.id}, {_words(made)}; it is shown this once, so put it where secrets are kept",
                    file=sys.stderr,
                )
        elif arguments.action == "revoke":
            taken = keys.revoke(arguments.data, arguments.id)
            print(json.dumps(told(taken)) if arguments.json else f"key {taken.id} is revoked")
        else:
            _list(arguments)
    except KeyError:
        print(f"error: there is no key {arguments.id!r}; see: kinprint keys list", file=sys.stderr)
        return 1
    except Timeout:
        print("error: another process has held the keys for 10 s; try again", file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _check_names(names: Any) -> None:
    """Raise ValueError for what cannot be the name of a corpus: the key would see none."""
    import re

    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
            raise ValueError(
                f"{name[:80]!r} cannot be the name of a corpus: 1 to 63 of A-Z a-z 0-9 . _ -, a letter or digit first"
            )


def _list(arguments: argparse.Namespace) -> None:
    from kinprint.server.edge import keys
    from kinprint.server.store.lock import keys_made

    path = arguments.data / keys.NAME
    found = list(keys.read(path).values()) if path.exists() else []
    if arguments.json:
        print(json.dumps({"keys": [told(key) for key in found]}))
        return
    if not found:
        none = "calls over TCP need none (make one: kinprint keys create)"
        if keys_made(arguments.data):
            none = f"{path} is gone, and no call over TCP is taken until there is a key (kinprint keys create)"
        print(f"no keys; {none}", file=sys.stderr)
    for key in found:
        print(f"{key.id}  {_words(key)}{'  ' + key.name if key.name else ''}")


def _time(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def told(key: Key) -> dict[str, Any]:
    """What is shown of a key: nothing that helps to find its secret."""
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role,
        "corpora": None if key.corpora is None else list(key.corpora),
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
    }


def _words(key: Key) -> str:
    where = "all corpora" if key.corpora is None else f"corpora {', '.join(key.corpora)}"
    ends = ""
    if key.revoked_at is not None:
        ends = f", revoked {_time(key.revoked_at)}"
    elif key.expires_at is not None:
        ends = f", {'expired' if key.expires_at <= time.time() else 'until'} {_time(key.expires_at)}"
    return f"{key.role} on {where}{ends}"
