"""Generate the synchronous client, `kinprint/client/sync/`, from the asyncio one, `kinprint/client/aio/`.

`unasync` takes `async` and `await` away and renames what has a synchronous twin; ruff then sorts imports and lays out
lines, so that the result is what a person would have committed.  `--check` fails when the committed files differ.
What cannot be generated is by hand in `kinprint/client/wire/`, a module for each side.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import tempfile
from pathlib import Path

import unasync

ROOT = Path(__file__).resolve().parent.parent
CLIENT = ROOT / "clients" / "python" / "kinprint" / "client"
SOURCE, TARGET = CLIENT / "aio", CLIENT / "sync"

HEADER = "# Generated from kinprint/client/aio/{name} by tools/generate_sync.py: change that, then run 'make sync'.\n"
NAMES = {"aio": "sync", "aconnect": "connect", "anext": "next"}
# What docstrings say, since names in them are not tokens. In this order.
WORDS = {
    "The asyncio client, of which the synchronous one in `kinprint.client.sync` is generated.": (
        "The synchronous client, generated from the asyncio one in `kinprint.client.aio`."
    ),
    "The asyncio client": "The synchronous client",
    "between tasks": "between threads",
    "`async for` over it gives": "iterating over it gives",
    "`async with": "`with",
    "aconnect": "connect",
}


def _classes(sources: list[Path]) -> dict[str, str]:
    """Names that begin with Async, of classes and of aliases, without it: `AsyncClient` becomes `Client`."""
    found: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            name = node.id if isinstance(node, ast.Name) else node.name if isinstance(node, ast.ClassDef) else ""
            if name.startswith("Async"):
                found.add(name)
    return {name: name.removeprefix("Async") for name in found}


def _ruff(code: str, place: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(place), "-"]
    return subprocess.run(command, input=code, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def generate() -> dict[str, str]:
    """The text of every file of the synchronous client, by its name."""
    sources = sorted(SOURCE.glob("*.py"))
    texts = {}
    with tempfile.TemporaryDirectory() as scratch:
        before, after = Path(scratch, "aio"), Path(scratch, "sync")
        before.mkdir()
        for source in sources:
            before.joinpath(source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        rule = unasync.Rule(f"{before}/", f"{after}/", NAMES | _classes(sources))
        unasync.unasync_files([str(before / source.name) for source in sources], [rule])
        for source in sources:
            code = after.joinpath(source.name).read_text(encoding="utf-8")
            for words, instead in WORDS.items():
                code = code.replace(words, instead)
            place = TARGET / source.name
            code = _ruff(HEADER.format(name=source.name) + code, place, "check", "--quiet", "--select", "I", "--fix")
            texts[source.name] = _ruff(code, place, "format", "--quiet")
    return texts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail when the committed files differ")
    check = parser.parse_args().check
    texts = generate()
    committed = {path.name: path.read_text(encoding="utf-8") for path in TARGET.glob("*.py")}
    stale = sorted(name for name in texts.keys() | committed.keys() if texts.get(name) != committed.get(name))
    if check and stale:
        print(f"kinprint/client/sync differs from aio: {', '.join(stale)}; run 'make sync'", file=sys.stderr)
        return 1
    for name in stale:
        if name in texts:
            TARGET.mkdir(exist_ok=True)
            (TARGET / name).write_text(texts[name], encoding="utf-8")
        else:
            (TARGET / name).unlink()
    print("the synchronous client is in step with the asyncio one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
