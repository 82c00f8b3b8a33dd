"""The layout of the code: imports point one way, only the edges know protobuf, and no file outgrows its purpose."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"kernels": ROOT / "kernels", "server": ROOT / "server", "clients": ROOT / "clients" / "python"}
#: Rooms of the server, from the edge of the process to its ground; a room imports from its own row and those below.
ROWS = (
    ("app", "__main__", "__init__", "linger"),
    ("services",),
    ("edge",),
    ("state",),
    ("startup",),
    ("search", "kinship", "authorship"),
    ("jobs", "corpus"),
    ("channels",),
    ("store", "embed"),
    (
        "batches",
        "config",
        "failures",
        "imports",
        "limits",
        "logs",
        "native_logs",
        "progress",
        "settings",
        "statistics",
        "threads",
        "turns",
        "watchdog",
        "wording",
    ),
)
RANK = {room: len(ROWS) - number for number, row in enumerate(ROWS) for room in row}
#: Rooms that may know the messages of the contract.
TRANSLATE = {"app", "edge", "services"}
MOST_LINES = 550  # some 500


@cache
def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name, but for generated ones."""
    found = {}
    for folder in FOLDERS.values():
        for path in sorted(folder.rglob("*.py")):
            name = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
            if not name.startswith("kinprint.v1"):
                found[name] = path
    return found


def imports(name: str) -> Iterator[tuple[str, int]]:
    """What a module imports of ours and of protobuf, anywhere in it, and in which line."""
    path = modules()[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield (whole if whole in modules() else base), node.lineno


def room(name: str) -> str:
    """The room of the server that a module stands in: the first part of its name there."""
    return name.removeprefix("kinprint.server").lstrip(".").partition(".")[0] or "__init__"


def server_modules() -> list[str]:
    return [name for name in modules() if name == "kinprint.server" or name.startswith("kinprint.server.")]


def test_every_room_has_its_place() -> None:
    assert {room(name) for name in server_modules()} == set(RANK)


def test_imports_of_the_server_point_one_way() -> None:
    wrong = []
    for name in server_modules():
        for imported, line in imports(name):
            if imported.startswith("kinprint.server.") and RANK[room(imported)] > RANK[room(name)]:
                wrong.append(f"{name}:{line} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_rooms_of_one_row_import_no_circle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for name in server_modules():
        for imported, _line in imports(name):
            if imported.startswith("kinprint.server.") and room(imported) != room(name):
                graph[room(name)].add(room(imported))

    def visit(at: str, way: tuple[str, ...]) -> None:
        assert at not in way, " -> ".join((*way, at))
        for following in graph[at]:
            if RANK[following] == RANK[at]:
                visit(following, (*way, at))

    for start in list(graph):
        visit(start, ())


def test_only_the_edges_know_messages() -> None:
    wrong = [
        f"{name}:{line} imports {imported}"
        for name in server_modules()
        if room(name) not in TRANSLATE
        for imported, line in imports(name)
        if imported.startswith(("kinprint.v1", "google.protobuf", "grpc"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("package", "never"),
    [
        ("kinprint.kernels", ("kinprint.server", "kinprint.client", "kinprint.polars", "kinprint.report", "polars")),
        ("kinprint.server", ("kinprint.client", "kinprint.polars", "kinprint.report")),
        ("kinprint.client", ("kinprint.server", "kinprint.kernels")),
        ("kinprint.polars", ("kinprint.server",)),
        ("kinprint.report", ("kinprint.server", "kinprint.kernels")),
    ],
)
def test_packages_keep_apart(package: str, never: tuple[str, ...]) -> None:
    wrong = [
        f"{name}:{line} imports {imported}"
        for name in modules()
        if name == package or name.startswith(f"{package}.")
        for imported, line in imports(name)
        if any(imported == other or imported.startswith(f"{other}.") for other in never)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_outgrows_its_purpose() -> None:
    """A longer one says at its top, in a line that begins with `One file:`, why it is one."""
    wrong = []
    for name, path in modules().items():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES and "One file:" not in text[:6000]:
            wrong.append(f"{name} has {text.count(chr(10))} lines")
    assert not wrong, "\n".join(wrong)


def test_nothing_is_called_utils() -> None:
    assert [name for name in modules() if {"utils", "util", "helpers", "common", "misc"} & set(name.split("."))] == []
