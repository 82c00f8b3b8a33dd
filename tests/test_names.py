"""Documents, docstrings and comments name files, modules and make targets that exist."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = (
    "benchmarks",
    "clients",
    "deploy",
    "docs",
    "examples",
    "kernels",
    "proto",
    "sample",
    "server",
    "tests",
    "tools",
)
PACKAGES = ("clients/python", "kernels", "server")

_FILE = re.compile(r"(?<![\w/.{}*-])(?:[\w.-]+/)*[\w-]+\.(?:py|md|proto|toml|yaml|sh)(?![\w/])")
_FOLDER = re.compile(rf"(?<![\w/.{{}}-])(?:{'|'.join(FOLDERS)})/[\w./-]*")
_DOTTED = re.compile(r"(?<![\w./-])kinprint(?:\.\w+)+")
_TARGET = re.compile(r"(?:`|^\s*(?:\$ )?)make ([a-z]+(?:-[a-z]+)*)")
# A line of a package's map: a module, and what it is for.
_ENTRY = re.compile(r"^    (\w+)  +\S")


@cache
def tree() -> dict[str, Path]:
    """Every file of the project by its path, without what is generated or installed beside it."""
    found = [path for path in ROOT.iterdir() if path.is_file()]
    found += [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix(): path for path in found if "__pycache__" not in path.parts}


@cache
def endings() -> frozenset[str]:
    """Every way to name a file or a folder of the project: its path, whole or from any folder on."""
    names = {part for name in tree() for part in (name, *(p.as_posix() for p in Path(name).parents))}
    return frozenset("/".join(name.split("/")[start:]) for name in names for start in range(name.count("/") + 1))


@cache
def modules() -> dict[str, str]:
    """Sources by dotted name; a package without an `__init__.py` has an empty one."""
    found: dict[str, str] = {}
    for name, path in tree().items():
        for base in PACKAGES:
            if name.startswith(f"{base}/") and path.suffix == ".py":
                parts = Path(name).relative_to(base).with_suffix("").parts
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                found[".".join(parts)] = path.read_text(encoding="utf-8")
                for end in range(1, len(parts)):
                    found.setdefault(".".join(parts[:end]), "")
    return found


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Strings that stand for themselves: docstrings, also of attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


@cache
def prose() -> list[tuple[str, str]]:
    """Every line that people read, and where it stands."""
    found: list[tuple[str, str]] = []
    for name, path in tree().items():
        # What a release said stays as it was said.
        if name == "CHANGELOG.md" or ("/v1/" in name and path.suffix == ".py"):
            continue
        if path.suffix == ".py":
            source = path.read_text(encoding="utf-8")
            tokens = tokenize.generate_tokens(io.StringIO(source).readline)
            found += [(f"{name}:{token.start[0]}", token.string) for token in tokens if token.type == tokenize.COMMENT]
            for first, text in docstrings(source):
                found += [(f"{name}:{first + number}", line) for number, line in enumerate(text.splitlines())]
        elif path.suffix in (".md", ".proto", ".toml", ".yaml") or path.name == "Makefile":
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [(f"{name}:{number}", line) for number, line in enumerate(lines, 1)]
    return found


def exists(named: str, place: str) -> bool:
    named = named.rstrip("./")
    beside = ROOT / Path(place).parent / named
    return named in endings() or beside.exists() or named.startswith("google/protobuf/")


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module, or something that its module names; or a literal, as names of formats are."""
    parts = dotted.split(".")
    if parts[:2] == ["kinprint", "v1"]:
        contract = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "proto").rglob("*.proto"))
        return dotted in modules() or parts[-1] in re.findall(r"(?:message|enum|service|rpc) (\w+)", contract)
    end = next(end for end in range(len(parts), 0, -1) if ".".join(parts[:end]) in modules())
    named = end == len(parts) or re.search(rf"\b{parts[end]}\b", modules()[".".join(parts[:end])]) is not None
    return named or any(f'"{dotted}"' in source for source in modules().values())


def test_files_that_are_named_exist() -> None:
    wrong = []
    for place, line in prose():
        named = {match[0] for pattern in (_FILE, _FOLDER) for match in pattern.finditer(line)}
        wrong += [f"{place}: {name}" for name in sorted(named) if not exists(name, place)]
    assert not wrong, "\n".join(wrong)


def test_modules_and_what_is_in_them_exist() -> None:
    assert len(modules()) > 50
    wrong = [
        f"{place}: {dotted}" for place, line in prose() for dotted in _DOTTED.findall(line) if not resolves(dotted)
    ]
    assert not wrong, "\n".join(wrong)


def test_targets_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"setup", "demo", "test"} <= targets
    wrong = []
    for place, line in prose():
        if not place.startswith("Makefile"):
            wrong += [f"{place}: make {name}" for name in _TARGET.findall(line) if name not in targets]
    assert not wrong, "\n".join(wrong)


def test_maps_of_packages_name_their_modules() -> None:
    wrong = []
    for name, path in tree().items():
        if path.name != "__init__.py" or name.startswith("tests/"):
            continue
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        entries = [match[1] for line in text.splitlines() if (match := _ENTRY.match(line))]
        wrong += [
            f"{name}: {entry}"
            for entry in entries
            if not (path.parent / entry).is_dir() and not (path.parent / f"{entry}.py").is_file()
        ]
    assert not wrong, "\n".join(wrong)
