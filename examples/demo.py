"""The main job, from end to end: load a corpus, ask where texts occur and what they resemble.

`make demo` runs it on the sample corpus, `make demo DATA=file.parquet` on your own Parquet, NDJSON or CSV.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kinprint.client import (
    ChannelName,
    Client,
    Hit,
    KinprintError,
    LoadReport,
    SearchResult,
    Transcript,
    connect,
)
from kinprint.client import frames as kinprint_frames
from kinprint.client.embedded import EmbeddedServer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
DATA_DIR = ROOT / ".demo" / "data"
#: Rows of a large file that also get embeddings here: those take a thousand times longer than the rest.
SEMANTIC_ROWS = 100

console = Console(width=min(Console().width, 110))


def load(
    client: Client, corpus: str, source: Path | list[Transcript], channels: Sequence[ChannelName], what: str
) -> LoadReport:
    """Load a source through the Polars job, with a progress bar."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=None, rate=0.0)

        def show(report: LoadReport) -> None:
            bar.update(task, completed=report.stored, rate=report.stored / max(report.seconds, 1e-3))

        if isinstance(source, list):
            report = client.upsert(corpus, source, channels=channels, progress=show)
        else:
            report = kinprint_frames.load(client, source, corpus, channels=channels, progress=show)
        bar.update(task, total=report.rows, completed=report.stored)
    parts = [("new", report.created), ("replaced", report.replaced), ("already there", report.unchanged)]
    parts += [
        ("channel added", report.filled),
        ("repeated ids", report.repeated_ids),
        ("refused", report.failed),
    ]
    console.print(
        "  " + ", ".join(f"{count:,} {name}" for name, count in parts if count) + f" in {report.seconds:.1f} s"
    )
    for reason, count in report.reasons.items():
        console.print(f"  [yellow]{count:,} rows refused: {reason}[/yellow]")
    return report


def quote(text: str, width: int = 96) -> str:
    """A text on one line, cut to `width`."""
    return textwrap.shorten(" ".join(text.split()), width, placeholder=" …")


def why(hit: Hit) -> str:
    """One line of evidence for a hit."""
    found = hit.evidence
    if hit.channel == "copy":
        share = f"{found.containment_query:.0%} of the query's shingles, Jaccard {found.jaccard:.2f}"
        if not found.spans:
            return share + ", no long shared span"
        length = sum(s.query_end - s.query_start for s in found.spans)
        count = len(found.spans) + found.spans_omitted
        return f"{share}; {length:,} code points in {count} shared span{'s' if count > 1 else ''}"
    if hit.channel == "semantic":
        languages = f"{found.query_language or '?'} → {found.match_language or '?'}"
        pairs = f"{len(found.sentences)} of {found.query_sentences} sentences pair up"
        worth = "" if found.p_value is None else f"; p {found.p_value:.2g} for the best of as many unrelated texts"
        return f"{languages}; {pairs}{worth}"
    top = sorted(found.families, key=lambda f: -f.contribution)[:2]
    return "alike most in " + " and ".join(f.name for f in top)


def show(title: str, result: SearchResult, marked: str | None = None) -> None:
    """Print the hits of one channel."""
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("score", justify="right")
    table.add_column("transcript", overflow="fold")
    table.add_column("model", overflow="fold")
    table.add_column("evidence", overflow="fold")
    for hit in result.hits:
        mark = "[green]●[/green]" if hit.id == marked else " "
        table.add_row(mark, f"{hit.score:.2f}", hit.id, hit.model or "–", why(hit))
    console.print(table if result.hits else f"[bold]{title}[/bold]\n  nothing")
    spans = [s for h in result.hits[:1] if h.channel == "copy" for s in h.evidence.spans[:1]]
    for span in spans:
        where = (
            f"code points {span.query_start} to {span.query_end} of the query, {span.match_start} to {span.match_end}"
        )
        console.print(f"  longest shared span, {where} of the match:", markup=False, style="dim")
        console.print(f"  “{quote(span.text)}”", markup=False, style="dim")
    for pair in [p for h in result.hits[:1] if h.channel == "semantic" for p in h.evidence.pairs[:1]]:
        console.print(f"  nearest sentences, cosine {pair.cosine:.2f}:", markup=False, style="dim")
        console.print(f"  “{quote(pair.query_text)}” ~ “{quote(pair.match_text)}”", markup=False, style="dim")
    console.print()


def relations() -> list[dict[str, str]]:
    """The table of what was borrowed from what in the sample corpus."""
    with open(ROOT / "sample" / "relations.csv", encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


class ModelBuild:
    """The embedding model, built (once) in a process of its own while other things are done."""

    def __init__(self) -> None:
        self._told = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "kinprint.server", "model", "build"], stdout=subprocess.DEVNULL, stderr=self._told
        )

    def _last_line(self) -> str:
        # Without a seek, which would move the place where the process writes, too.
        told = os.pread(self._told.fileno(), 1 << 20, 0).decode("utf-8", "replace")
        return next((line for line in reversed(told.splitlines()) if line.strip()), "starting")

    def wait(self) -> None:
        """Wait until it is built.  Raises KinprintError when it cannot be."""
        with console.status("") as status:
            while (code := self._process.poll()) is None:
                status.update(f"building the embedding model, once (about 90 MB to fetch): {escape(self._last_line())}")
                time.sleep(0.1)
        if code != 0:
            raise KinprintError(f"the embedding model was not built: {self._last_line().removeprefix('error: ')}")

    def end(self) -> None:
        """End what runs still."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._told.close()


def connected() -> Client:
    """A client of the demo's data directory, with a bar while its server starts."""
    columns = (SpinnerColumn(), TextColumn("starting the server"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def show(step: str, share: float) -> None:
            bar.update(task, description=step, total=1.0 if share else None, completed=share)

        return connect(EmbeddedServer(DATA_DIR, on_progress=show))


def sample(client: Client, model_built: Callable[[], None]) -> str:
    """The questions that the sample corpus was written for; returns its name."""
    files = ROOT / "sample" / "transcripts"
    load(client, "sample", files, ("copy", "style"), "loading the sample corpus")
    model_built()
    load(client, "sample", files, ("semantic",), "embedding it")
    console.rule("What does one answer resemble? ● marks the known source (sample/relations.csv)")
    known = relations()
    for relation in ("copy", "partial_copy", "light_edit", "translation"):
        row = next(r for r in known if r["relation"] == relation)
        channel = "semantic" if relation == "translation" else "copy"
        result = client.search(id=row["transcript_id"], corpus="sample", channels=(channel,), top=3)
        show(
            f"{row['transcript_id']}, a {relation.replace('_', ' ')} · channel {channel}",
            result,
            row["source_transcript_id"],
        )

    console.rule("How many of the known borrowings come back first?")
    table = Table(show_edge=False, pad_edge=False)
    for column in ("relation", "known", "first by copy", "first by semantic"):
        table.add_column(column, justify="left" if column == "relation" else "right")
    for relation in ("copy", "partial_copy", "light_edit", "paraphrase", "translation"):
        rows = [r for r in known if r["relation"] == relation]
        first = dict.fromkeys(("copy", "semantic"), 0)
        for row in rows:
            found = client.search(id=row["transcript_id"], corpus="sample", channels=("copy", "semantic"), top=1)
            for hit in found.hits:
                first[hit.channel] += hit.id == row["source_transcript_id"]
        table.add_row(relation, str(len(rows)), str(first["copy"]), str(first["semantic"]))
    console.print(table)
    console.print()

    console.rule("Where does a text from elsewhere occur?")
    text = client.get("sample", "en-06-cobalt").response
    piece = " ".join(text.split()[10:60])
    console.print(f"“{quote(piece)}”\n", markup=False)
    show("a piece of 50 words · channel copy", client.search(piece, corpus="sample", top=3), "en-06-cobalt")

    console.rule("Who writes like this?")
    for identifier in ("en-04-ember", "zh-36-aria"):
        result = client.search(id=identifier, corpus="sample", channels=("style",), top=5)
        show(f"{identifier} · channel style (a lead, never an attribution)", result)

    duplicates(client, "sample", 0.5)
    return "sample"


def any_file(client: Client, path: Path, model_built: Callable[[], None]) -> str:
    """The same questions for any file, put to transcripts chosen by a hash of their ids; returns its corpus."""
    corpus = "demo-" + hashlib.blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()
    load(client, corpus, path, ("copy", "style"), f"loading {path.name}")
    info = client.get_corpus(corpus)
    console.print(
        f"  {info.transcripts:,} transcripts, {info.blank:,} blank, "
        f"{len(info.models):,} models, {len(info.languages):,} languages, {info.disk_bytes / 1e6:,.0f} MB on disk\n"
    )
    model_built()
    some = [t for t, _ in zip(client.list(corpus), range(SEMANTIC_ROWS), strict=False)]
    load(client, corpus, some, ("semantic",), f"embedding the first {len(some)} rows")
    some.sort(key=lambda t: hashlib.blake2b(t.id.encode()).digest())
    for transcript in [t for t in some if len(t.response) > 200][:3]:
        console.rule(f"What does {transcript.id} ({transcript.model or 'unknown model'}) resemble?")
        console.print(f"“{quote(transcript.response)}”\n", markup=False)
        for channel in ("copy", "semantic", "style"):
            result = client.search(id=transcript.id, corpus=corpus, channels=(channel,), top=3)
            cover = next(c.share for c in result.coverage if c.channel == channel)
            show(f"channel {channel}" + (f" (fills {cover:.1%} of the corpus)" if cover < 1 else ""), result)
    duplicates(client, corpus, 0.7)
    return corpus


def duplicates(client: Client, corpus: str, threshold: float) -> None:
    """Print the number of near-duplicate pairs and the first few."""
    console.rule(f"All pairs with Jaccard of at least {threshold}")
    search = client.find_duplicates(corpus, threshold)
    shown: list[tuple[str, str, float]] = []
    for pairs in search:
        shown = sorted([*shown, *zip(pairs.id_a, pairs.id_b, pairs.jaccard, strict=True)], key=lambda p: (-p[2], p))[
            :12
        ]
    summary = search.summary
    for a, b, score in shown:
        console.print(f"  {score:.2f}  {a}  =  {b}", markup=False)
    if summary is not None:
        if summary.pairs > len(shown):
            console.print(f"  … and {summary.pairs - len(shown):,} more")
        console.print(
            f"  {summary.pairs:,} pairs among {summary.rows:,} answers ({summary.distinct:,} distinct), "
            f"expected recall at the threshold {summary.expected_recall:.3f}\n"
        )


def kinship(client: Client, corpus: str) -> None:
    """Which models resemble each other, and what may be said about it."""
    models = client.get_corpus(corpus).models
    if sum(model.value is not None for model in models) < 2:
        return
    console.rule("Which models resemble each other?")
    with client.find_kinship(corpus) as search:
        pairs = [
            pair
            for batch in search
            for pair in zip(batch.model_a, batch.model_b, batch.prompts, batch.score, strict=True)
        ]
    table = Table(
        "model", "model", "prompts", "score", caption="the nearest five; the score is relative to this corpus"
    )
    for a, b, prompts, score in pairs[:5]:
        table.add_row(a, b, str(prompts), "none" if score is None else f"{score:.2f}")
    console.print(table)
    if search.summary is not None:
        for caution in search.summary.cautions:
            console.print(caution, markup=False, highlight=False)
    console.print()


def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a Parquet, NDJSON or CSV file; default: the sample corpus")
    arguments = parser.parse_args()
    if arguments.data is not None and not arguments.data.exists():
        print(f"error: there is no file {arguments.data}", file=sys.stderr)
        return 1
    started = time.monotonic()
    # The weights are fetched while the server compiles its kernels: each takes a while, and both happen once.
    model = ModelBuild()
    try:
        with connected() as client:
            info = client.server_info()
            console.print(f"server {info.version}, process {info.pid}, {client.address}\n", markup=False, style="dim")
            if arguments.data is None:
                corpus = sample(client, model.wait)
            else:
                corpus = any_file(client, arguments.data, model.wait)
            kinship(client, corpus)
            with console.status("stopping the server"):
                client.close()
    except KinprintError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    finally:
        model.end()
    console.print(f"The server has stopped; everything took {time.monotonic() - started:.0f} s. What to try next:\n")
    data = DATA_DIR.relative_to(ROOT)
    kinprint = ".venv/bin/kinprint"
    question = "Wie groß sollte ein Notgroschen sein?" if corpus == "sample" else "any text"
    for line in (
        f'{kinprint} search --data {data} --corpus {corpus} --channel all --text "{question}"',
        f"{kinprint} dedup --data {data} --corpus {corpus} --threshold 0.6 --out pairs.parquet",
        f"{kinprint} overlap --data {data} --corpus {corpus} --against {corpus} --out spans.parquet",
        f"{kinprint} lineage --data {data} --corpus {corpus} --out tree.html",
        f"{kinprint} serve --data {data} --listen 127.0.0.1:50051     # for other programs; Ctrl-C stops it",
        f"{kinprint} --help",
        "make demo DATA=your-transcripts.parquet      # needs only a column named response",
    ):
        console.print("  " + line, markup=False, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
