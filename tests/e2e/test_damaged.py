"""A damaged corpus is listed with its ways out, and the command deletes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from kinprint.server.corpus.catalog import Catalog


def test_the_command_that_the_message_names_deletes_it(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.open_all(lambda step: None)
    for name in ("Hurt", "other"):
        catalog.create(name)
    (folder,) = (tmp_path / "corpora").glob("hurt-*")
    (folder / "corpus.json").write_text("{")

    def kinprint(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KINPRINT_MODEL": "none", "KINPRINT_DATA": str(tmp_path)}
        command = [sys.executable, "-m", "kinprint.client.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    listed = {corpus["name"]: corpus for corpus in json.loads(kinprint("corpora", "--json").stdout)["corpora"]}
    assert "kinprint delete --corpus hurt --all" in listed["hurt"]["unavailable"]
    assert not listed["other"]["unavailable"]
    refused = kinprint("delete", "--corpus", "hurt", "--all")
    assert refused.returncode != 0
    assert "an unknown number of transcripts" in refused.stderr
    assert folder.is_dir()
    done = kinprint("delete", "--corpus", "hurt", "--all", "--yes")
    assert done.returncode == 0, done.stderr
    assert "hurt is deleted with an unknown number of transcripts" in done.stdout
    assert not folder.exists()
    assert [corpus["name"] for corpus in json.loads(kinprint("corpora", "--json").stdout)["corpora"]] == ["other"]
