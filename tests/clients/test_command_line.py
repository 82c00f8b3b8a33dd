"""What all commands have in common: help, versions, exit codes, streams, and what a terminal is shown."""

from __future__ import annotations

import importlib
import io
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kinprint import installed
from kinprint.client import access, errors, transport
from kinprint.client.cli import terminal
from kinprint.client.cli.app import COMMANDS, SECTIONS, app, load_command
from kinprint.client.cli.columns import PAIRS
from kinprint.client.cli.examples import EXAMPLES
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.starting import starting
from kinprint.client.cli.tables import TableWriter
from rich.table import Table
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
RUNNER = CliRunner()


def leaves() -> Iterator[tuple[str, Any]]:
    """Every command by the words that call it."""
    for name in COMMANDS:
        command = load_command(name)
        for sub, found in getattr(command, "commands", {}).items():
            yield f"{name} {sub}", found
        if not hasattr(command, "commands"):
            yield name, command


LEAVES = dict(leaves())


def parsed(line: str) -> None:
    """Read a line as the command that it calls does.  Raises the usage error."""
    words = shlex.split(line, comments=True)
    name = " ".join(words[:2]) if " ".join(words[:2]) in LEAVES else words[0]
    LEAVES[name].make_context(name, words[len(name.split()) :])


def calls(lines: list[str]) -> Iterator[str]:
    """What follows `kinprint` in lines of a shell, continued ones joined."""
    for line in "\n".join(lines).replace("\\\n", " ").split("\n"):
        for part in line.split("|"):
            if found := re.match(r"\s*(?:\$ )?kinprint (.*)", part):
                yield found[1]


# ---- help ----


@pytest.mark.parametrize("words", ["", *LEAVES, *(name for name in COMMANDS if name not in LEAVES)])
def test_help_fits_and_nothing_of_it_is_cut(words: str) -> None:
    done = RUNNER.invoke(app, [*words.split(), "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.split("\n"))) <= 80
    assert "…" not in done.stdout
    assert not re.search(r"<[a-z]", done.stdout.replace("<=x", "").replace("<x", ""))  # types in place of values
    assert "Examples:" in done.stdout or words not in EXAMPLES


def test_options_are_grouped() -> None:
    text = RUNNER.invoke(app, ["search", "--help"]).stdout
    places = [text.index(f"\n{name}:\n") for name in ("Options", "Filters", "Output", "Server", "Examples")]
    assert places == sorted(places)
    for option in ("-q, --quiet", "-o, --out FILE", "--timeout TIME", "--json  "):
        assert option in text


def test_every_command_has_a_section() -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS)


@pytest.mark.parametrize("line", [*calls([line for lines in EXAMPLES.values() for line in lines])])
def test_examples_are_calls(line: str) -> None:
    parsed(line)


def test_the_readme_calls_what_there_is() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in calls(block.split("\n"))]
    assert len(lines) > 10
    for line in lines:
        parsed(line)
    made = {"tree.html", "pairs.parquet", "spans.parquet", "demo-data", "kin"}
    for word in (word for block in blocks for word in shlex.split(block.replace("'", ""), comments=True)):
        if "/" in word or re.search(r"\.(parquet|csv|html|json|py)$", word):
            ours = word.split("/")[0] in made or word.startswith(("$PWD", "PATH=", ".venv"))
            assert ours or (ROOT / word).exists(), word


def test_links_of_the_readme_lead_somewhere_in_the_tree() -> None:
    for file in (ROOT / "README.md", ROOT / "proto" / "README.md"):
        for target in re.findall(r"\]\((?!https?://)([^)#\s]+)\)", file.read_text(encoding="utf-8")):
            assert (file.parent / target).exists(), target


def test_the_package_page_has_no_link_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hatchling")
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    page = importlib.import_module("package_page")
    text = "[a](docs/a.md), [`b`](../b), [c](https://example.org/c)"
    assert page.described(text, "") == "a, `b`, [c](https://example.org/c)"
    there = "https://example.org/tree"
    assert page.described("[a](docs/a.md)", there) == f"[a]({there}/docs/a.md)"
    metadata: dict[str, Any] = {}
    page.PackagePage(str(ROOT), {}).update(metadata)
    assert not re.search(r"\]\((?!https?://)", metadata["readme"]["text"])
    assert metadata["urls"] == {}
    monkeypatch.setenv("KINPRINT_SOURCE_URL", there)
    page.PackagePage(str(ROOT), {}).update(metadata)
    assert metadata["urls"]["Source"] == there
    assert f"({there}/docs/client.md)" in metadata["readme"]["text"]


# ---- versions, extras ----


def test_the_version_is_told() -> None:
    done = RUNNER.invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"kinprint {installed.version()}\n")
    import kinprint.client as client
    import kinprint.polars as frames
    import kinprint.report as report

    assert client.__version__ == frames.__version__ == report.__version__ == installed.version()


WITHOUT = """
import sys
library, what = sys.argv[1:3]
sys.argv = ["kinprint", *sys.argv[3:]]
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Gone())
if what == "kinprint":
    from kinprint.client.cli import main
    main()
try:
    __import__(what)
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("library", "what", "extras"),
    [
        ("polars", "kinprint.polars", "kernels"),
        ("numba", "kinprint.polars", "kernels"),
        ("numpy", "kinprint.report", "report"),
        ("jinja2", "kinprint.report", "report"),
        ("polars", "kinprint.client.frames", "polars"),
        ("typer", "kinprint", "cli"),
        ("polars", "kinprint dedup rows.ndjson", "cli,kernels"),
        ("numba", "kinprint dedup rows.ndjson", "cli,kernels"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(library: str, what: str, extras: str) -> None:
    rows = ROOT / "sample" / "transcripts" / "en.ndjson"
    command = [sys.executable, "-c", WITHOUT, library, *what.replace("rows.ndjson", str(rows)).split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    told = (done.stdout + done.stderr).strip()
    assert f"{library} is not installed: pip install 'kinprint[{extras}]'" in told.split("\n")[-1]
    assert "Traceback" not in told


# ---- exit codes ----


@pytest.mark.parametrize(
    "arguments",
    [
        ["search", "--corpus", "c", "--text", "x"],
        ["search", "--corpus", "c", "--text", "x", "--data", "d", "--server", "h:1"],
        ["search", "--corpus", "c", "--text", "x", "--data", "d", "--timeout", "soon"],
        ["search", "--corpus", "c", "--text", "x", "--data", "d", "--json", "-o", "-"],
        ["search", "--corpus", "c", "--data", "d", "--since", "soon", "--text", "x"],
        ["dedup"],
        ["nothing"],
        ["load"],
        ["verify"],
    ],
)
def test_misuse_exits_with_2(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KINPRINT_DATA", raising=False)
    monkeypatch.delenv("KINPRINT_SERVER", raising=False)
    done = RUNNER.invoke(app, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.strip()


def test_what_is_not_there_exits_with_1(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["search", "--corpus", "c", "--text", "x", "--data", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "no data directory" in done.stderr


# ---- what a terminal is shown ----

HOSTILE = "\x1b]0;title\x07one\x9b31m\r\ntwo\rthree\x7f\tfour :bug: [bold]five"
SHOWN = "\\x1b]0;title\\x07one\\x9b31m\ntwo\\rthree\\x7f\tfour :bug: [bold]five"


def test_control_characters_are_shown_and_not_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal.visible(HOSTILE) == SHOWN
    stream = io.StringIO()
    monkeypatch.setattr(terminal.out, "_file", stream)
    terminal.out.print(terminal.escape(HOSTILE), soft_wrap=True)
    table = Table()
    table.add_column(terminal.escape(HOSTILE))
    table.add_row(terminal.escape(HOSTILE))
    terminal.out.print(table)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", stream.getvalue())
    assert stream.getvalue().startswith(SHOWN.replace("\t", "    ")[:30])
    assert ":bug: [bold]five" in stream.getvalue()


def test_no_table_cuts_what_names_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(terminal.out, "_file", stream)
    monkeypatch.setattr(terminal.out, "_width", 80)
    names = ["an-account-with-a-name-that-is-long-enough/" * 2, "provider/family-of-models-v3-instruct-" * 2]
    table = Table()
    for name in names:
        table.add_column(name)
    for _ in range(4):
        table.add_column("figures", justify="right")
    table.add_row(*names, *["1,234,567"] * 4)
    terminal.out.print(table)
    lines = stream.getvalue().split("\n")
    assert max(map(len, lines)) <= 80
    assert "…" not in stream.getvalue()
    assert stream.getvalue().count("1,234,567") == 4
    rows = [line.split("│") for line in lines if line.startswith("│")]
    for place, name in enumerate(names, 1):
        assert "".join(row[place].strip() for row in rows) == name


def test_json_says_the_same_without_what_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json({"text": HOSTILE})
    told = capsys.readouterr().out
    assert json.loads(told) == {"text": HOSTILE}
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", told)


def test_rows_go_to_standard_output_and_what_is_said_to_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    before = terminal.out._file
    try:
        with TableWriter(Path("-"), PAIRS) as writer:
            writer.write({"id_a": "a\x1b", "id_b": "b\x9b", "jaccard": 0.5})
        terminal.out.print("1 pair")
    finally:
        terminal.out._file = before
    told = capsys.readouterr()
    assert told.out == '{"id_a": "a\\u001b", "id_b": "b\\u009b", "jaccard": 0.5}\n'
    assert told.err == "1 pair\n"


# ---- waiting ----


def test_silence_is_broken_after_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("kinprint.client.cli.terminal.SILENCE", 0.2)
    monkeypatch.setattr("kinprint.client.cli.progress.SILENCE", 0.2)
    monkeypatch.setattr("kinprint.client.cli.progress._PLAIN_EVERY", 0.2)
    monkeypatch.setattr("kinprint.client.cli.progress.warn", told.append)
    with terminal.waiting("waiting for the server (Compare)"):
        time.sleep(1.0)
    assert len(told) >= 2
    assert told[0].startswith("waiting for the server (Compare):")
    told.clear()
    with terminal.waiting("quick"):
        pass
    with ProgressReport("loading"):
        time.sleep(1.0)
    assert told
    assert {line.partition(":")[0] for line in told} == {"loading"}
    told.clear()
    with ProgressReport("loading", quiet=True):
        time.sleep(0.5)
    assert told == []


def test_no_call_is_cut_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[float | None] = []

    def open_client(*_: object, **__: object) -> None:
        found.append(starting.get().timeout)
        raise errors.KinprintError("enough")

    monkeypatch.setattr("kinprint.client.cli.search.open_client", open_client)
    command = ["search", "--corpus", "c", "--text", "x", "--data", "d"]
    for more in ([], ["--timeout", "90s"], ["--timeout", "0"]):
        assert RUNNER.invoke(app, [*command, *more]).exit_code == 1
    assert found == [None, 90.0, None]


# ---- proxies ----


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1:1", "[::1]:1", "unix:/s", "ipv4:127.0.0.1:1"])
def test_this_machine_is_asked_without_a_proxy(address: str) -> None:
    assert ("grpc.enable_http_proxy", 0) in transport.channel_options(address)


def test_others_are_asked_through_the_proxy_which_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not access.is_local("example.org:1")
    assert ("grpc.enable_http_proxy", 0) not in transport.channel_options("example.org:1")
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)

    class Unavailable:
        def code(self) -> Any:
            import grpc

            return grpc.StatusCode.UNAVAILABLE

        def details(self) -> str:
            return "refused"

    assert "proxy" not in str(errors.from_rpc_error(Unavailable(), "example.org:1"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert "through the proxy of http_proxy" in str(errors.from_rpc_error(Unavailable(), "example.org:1"))
    assert "proxy" not in str(errors.from_rpc_error(Unavailable(), "127.0.0.1:1"))
