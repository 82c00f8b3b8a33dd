"""`kinprint verify`: check a data directory, which `python -m kinprint.server verify` does, or a signed file."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import typer
from kinprint.client import signing
from kinprint.client.cli.model import server_command
from kinprint.client.cli.terminal import JsonOption, QuietOption, fail, give_up, guarded, out, print_json
from kinprint.client.types import as_dict
from rich.markup import escape


@guarded
def verify(
    path: Annotated[
        Path, typer.Argument(metavar="DIR|FILE", help="Data directory, or a signed file.", show_default=False)
    ],
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Mend what can be mended without losing a row: indexes, scratch, digests that are missing. No server "
            "may hold the directory.",
        ),
    ] = False,
    public: Annotated[
        str | None,
        typer.Option("--public", metavar="KEY", help="Public key of who signed FILE: KEY.pub, or its digits."),
    ] = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check every file of a data directory against its digest, and every row against its content hash.

    Says by name what is damaged and what to do, and exits with 1 where something is that cannot be made again. A server
    may go on meanwhile. The directory needs no server for this.

    Of a file, check with --public that the holder of a key signed it (see kinprint sign).
    """
    path = path.expanduser()
    if path.is_dir():
        if public is not None:
            fail("--public is for a signed file, and this is a directory")
        flags = (("--repair", repair), ("--json", json_output), ("--quiet", quiet))
        done = subprocess.run(server_command("verify", str(path), *(flag for flag, wanted in flags if wanted)))
        raise typer.Exit(done.returncode)
    if not path.exists():
        fail(f"there is no {path}")
    if public is None:
        fail("say whose signature it should bear: --public KEY.pub")
    try:
        found = signing.verify(path, signing.read_public_key(public))
    except signing.SignatureError as error:
        give_up(str(error))
    if json_output:
        print_json({"file": str(path), **as_dict(found)})
        return
    note = "".join(c if c.isprintable() else repr(c)[1:-1] for c in found.note)  # it acts on no terminal
    said = f" ({note})" if note else ""
    out.print(escape(f"{path} is what {found.public_key[:16]} signed at {found.signed_at}{said}"), soft_wrap=True)
