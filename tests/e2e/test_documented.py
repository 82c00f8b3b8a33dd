"""What docs/security.md shows of keys can be typed as it stands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINPRINT = [sys.executable, "-m", "kinprint.client.cli"]


def test_keys_are_made_listed_and_taken_back_as_documented(tmp_path: Path) -> None:
    section = (ROOT / "docs" / "security.md").read_text(encoding="utf-8").split("## Keys", 1)[1]
    block = re.search(r"```console\n(.*?)```", section, re.DOTALL)
    assert block is not None
    shown = [line.removeprefix("$ ") for line in block[1].splitlines() if line.startswith("$ ")]
    identifier = ""
    for line in shown:
        command = shlex.split(line.replace("/srv/kinprint", str(tmp_path / "data")))
        command = [*KINPRINT, *command[1:]] if command[0] == "kinprint" else command
        if "revoke" in command:
            command[command.index("revoke") + 1] = identifier
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        if "create" in command:
            identifier = done.stdout.split("_")[1]
        if "list" in command:
            assert done.stdout.startswith(f"{identifier}  read on corpora support, news, until ")
            assert done.stdout.rstrip().endswith("dashboard")
    assert len(shown) == 4
    assert os.stat(tmp_path / "data").st_mode & 0o777 == 0o700


def test_a_directory_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    command = [*KINPRINT, "keys", "create", "--data", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"install -d -m 0700 {tmp_path / 'none'}" in done.stderr
    assert not (tmp_path / "none").exists()
