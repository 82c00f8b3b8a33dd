"""`kinprint sign`: vouch for a panel, a dossier or another file; `kinprint verify FILE` checks it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from kinprint.client import signing
from kinprint.client.cli.terminal import JsonOption, fail, give_up, guarded, out, print_json
from rich.markup import escape


@guarded
def sign(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Panels, dossiers or other files.", show_default=False)
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="KEY", help="Private key, a PEM file.")] = None,
    new_key: Annotated[
        Path | None, typer.Option("--new-key", metavar="KEY", help="Make a key, and KEY.pub, which others check with.")
    ] = None,
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="Said of the files, and signed with them.")] = "",
    json_output: JsonOption = False,
) -> None:
    """Sign files with Ed25519: FILE.sig says that the holder of the key vouched for these bytes.

    Make a key once, keep it to yourself, and give KEY.pub to those who check:

        kinprint sign --new-key lab.key

        kinprint sign panel.json dossier.html --key lab.key

        kinprint verify panel.json --public lab.key.pub
    """
    try:
        if new_key is not None:
            public = signing.new_key(new_key)
            key = key or new_key
            if not files:
                if json_output:
                    print_json({"key": str(new_key), "public_key": public})
                else:
                    out.print(escape(f"{new_key}.pub is the public key {public}"), soft_wrap=True)
                return
        if not files or key is None:
            fail("name the files to sign and the key: kinprint sign FILE... --key KEY (make one: --new-key KEY)")
        made = [signing.sign(path, key, note) for path in files]
    except signing.SignatureError as error:
        give_up(str(error))
    if json_output:
        print_json([{"file": str(path), "signature": str(place)} for path, place in zip(files, made, strict=True)])
    else:
        for place in made:
            out.print(escape(f"signed: {place}"), soft_wrap=True)
