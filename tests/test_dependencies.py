"""Every package that the code imports is declared where it is needed, and every one declared is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]

PRODUCT = {
    "clients/python/kinprint/client": "",
    "clients/python/kinprint/client/cli": "cli",
    "clients/python/kinprint/client/files": "cli",
    "clients/python/kinprint/client/frames.py": "polars",
    "clients/python/kinprint/client/schemas.py": "polars",
    "clients/python/kinprint/installed.py": "",
    "clients/python/kinprint/v1": "",
    "clients/python/kinprint/polars": "kernels",
    "clients/python/kinprint/report": "report",
    "kernels": "kernels",
    "server": "server",
}
"""The extra that each folder belongs to, "" for none; the longest path that fits a file counts."""

TOOLING = ("tests", "benchmarks", "examples", "tools")
"""What runs in a checkout, with everything installed."""


PACKAGES = {
    "faiss": "faiss-cpu",
    "google": "protobuf",
    "jwt": "pyjwt",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "lingua": "lingua-language-detector",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.instrumentation": "opentelemetry-instrumentation-grpc",
    "sklearn": "scikit-learn",
}
"""Packages whose modules have another name."""


def distribution(requirement: str) -> str:
    """The name of a required package, in its normal form, without extras and version."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def package_of(module: str) -> str:
    return PACKAGES.get(module) or distribution(module)


def declared(extra: str) -> set[str]:
    """What `pip install kinprint[extra]` asks for by name."""
    found = {distribution(item) for item in PROJECT["project"]["dependencies"]}
    for item in EXTRAS[extra] if extra else []:
        others = re.match(r"kinprint\[([\w,]+)\]", item)
        if others is None:
            found.add(distribution(item))
        else:
            found.update(*(declared(other) for other in others[1].split(",")))
    return found


def group(name: str) -> set[str]:
    """A group of what developers install."""
    return {distribution(item) for item in PROJECT["dependency-groups"][name]}


EVERYTHING = set().union(*(declared(extra) for extra in EXTRAS))


def statements(body: Iterable[ast.AST], at_once: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """All statements of a tree, and whether each runs as soon as its file is loaded."""
    for node in body:
        yield node, at_once
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        later = typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        inner = (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt | ast.ExceptHandler))
        yield from statements(inner, at_once and not later)


@cache
def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Third-party modules that a file imports: name, line, and whether it does so as soon as it is loaded itself."""
    found = []
    for node, at_once in statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            # Several packages share that namespace.
            module = ".".join(name.split(".")[: 2 if name.startswith("opentelemetry.") else 1])
            if module not in sys.stdlib_module_names and module != "kinprint":
                found.append((module, node.lineno, at_once))
    return found


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def room_of(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    return max((room for room in PRODUCT if f"{name}/".startswith(f"{room}/")), key=len)


def test_every_package_of_the_product_is_declared_where_it_is_needed() -> None:
    problems = []
    for path in files("clients/python", "kernels", "server"):
        extra = PRODUCT[room_of(path)]
        # What a function imports when it is called may come with any extra: the function says so when it is missing.
        now, later = declared(extra), EVERYTHING
        if "reference" in path.parts:
            # Plain Python beside the kernels, which only tests run.
            now = later = now | group("dev")
        for module, line, at_once in imports(path):
            if package_of(module) not in (now if at_once else later):
                problems.append(f"{path.relative_to(ROOT)}:{line}: {module} is not of {extra or 'the client'}")
    assert not problems, "\n".join(problems)


def test_every_package_of_the_tooling_is_declared() -> None:
    known = EVERYTHING | group("dev")
    helpers = {path.stem for path in files(*TOOLING)} | {"contract"}
    problems = []
    for path in files(*TOOLING):
        for module, line, _ in imports(path):
            allowed = known | group("bench") | group("bench-semantic") if "benchmarks" in path.parts else known
            if path == ROOT / "tools" / "mutants.py":
                allowed = known | group("mutants")
            # The generator of the stubs has an environment of its own.
            if module not in helpers | {"grpc_tools"} and package_of(module) not in allowed:
                problems.append(f"{path.relative_to(ROOT)}:{line}: {module}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_every_declared_package_is_imported(extra: str) -> None:
    product = files("clients/python", "kernels", "server")
    used = {package_of(module) for path in product for module, _, _ in imports(path)}
    assert declared(extra) - used == set()
