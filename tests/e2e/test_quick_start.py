"""What a command, and the server that it starts, import before the first answer: no more than the answer needs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kinprint.client import connect
from kinprint.client.cli.app import COMMANDS, load_command
from kinprint.client.embedded import find_holder

_IMPORTED = re.compile(r"^import time: .*\|\s+(\S+)$", re.MULTILINE)
FRAMES = {"polars", "pyarrow", "numpy", "pandas", "matplotlib", "jinja2"}
SERVER = {"kinprint.server", "kinprint.kernels", "numba"}


def imported(told: str) -> set[str]:
    """Names of the modules and packages that a process run with -X importtime says it imported."""
    names = _IMPORTED.findall(told)
    return {".".join(name.split(".")[:depth]) for name in names for depth in range(1, name.count(".") + 2)}


def run(*arguments: str) -> set[str]:
    """Modules that a Python process imports."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240)
    assert done.returncode == 0, done.stderr
    return imported(done.stderr)


def test_a_command_starts_with_the_standard_library() -> None:
    found = run("-c", "import kinprint.client.cli")
    assert "kinprint.client.launch" in found
    assert not found & {"grpc", "google", "typer", "rich", *FRAMES, *SERVER}


def test_help_needs_no_command() -> None:
    found = run("-m", "kinprint.client.cli", "--help")
    assert "typer" in found
    assert not found & {"grpc", "google", "kinprint.client.cli.search", *FRAMES, *SERVER}


@pytest.mark.parametrize("command", ["search", "info", "get", "load"])
def test_a_command_imports_no_frames(command: str) -> None:
    found = run("-m", "kinprint.client.cli", command, "--help")
    assert "grpc" in found
    assert not found & {*FRAMES, *SERVER}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_they_say_themselves(name: str) -> None:
    told = (load_command(name).help or "").strip().split("\n\n")[0].replace("\n", " ")
    assert COMMANDS[name][1] == told


def test_a_lazy_server_answers_before_it_imports_what_the_answer_does_not_need(tmp_path: Path) -> None:
    data, log = tmp_path / "data", tmp_path / "log"
    with connect(data, model="none") as client:
        client.upsert("c", [{"id": "a", "response": "An owl hears a mouse under a hand of snow."}])
    command = [sys.executable, "-X", "importtime", "-m", "kinprint.server", "serve", "--data", str(data), "--lazy"]
    with log.open("wb") as stream:
        server = subprocess.Popen([*command, "--model", "none"], stderr=stream)
    try:
        while (address := find_holder(data)) is None:
            assert server.poll() is None, log.read_text()
            time.sleep(0.02)
        with connect(address) as client:
            assert client.server_info().pid == server.pid
            assert client.get("c", "a").response
        found = imported(log.read_text())
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    assert "grpc" in found
    assert not found & {"onnxruntime", "onnx", "tokenizers", "sentencepiece", "faiss", "lingua", "rapidfuzz"}
    assert not found & {"sklearn", "scipy.stats", "scipy.cluster", "scipy.sparse", "pandas._libs", "matplotlib"}
