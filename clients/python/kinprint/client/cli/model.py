"""`kinprint model` and `kinprint serve`: what builds models and serves hands over to `python -m kinprint.server`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.terminal import (
    CorpusOption,
    DataOption,
    EmbeddingModelOption,
    JsonOption,
    QuietOption,
    ServerOption,
    fail,
    give_up,
    guarded,
    needed_model,
    open_client,
    out,
    print_json,
    warn,
)
from kinprint.client.embedded import find_holder
from kinprint.client.types import DistilReport, Fill
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table


def server_command(*arguments: str) -> list[str]:
    """The command line of the server.

    Raises:
        CommandError: the server is not installed.
    """
    if importlib.util.find_spec("kinprint.server") is None:
        give_up("this needs the server: pip install 'kinprint[server]'")
    return [sys.executable, "-m", "kinprint.server", *arguments]


def ensure_default_model(directory: Path, *, quiet: bool = False) -> None:
    """Build the default embedding model unless it is there, or a running server holds `directory`.

    Raises:
        CommandError: it cannot be built.
    """
    if find_holder(directory) is not None:
        return
    if subprocess.run(server_command("model", "path"), capture_output=True).returncode == 0:
        return
    warn("building the default embedding model, once (kinprint model build)")
    done = subprocess.run(
        server_command("model", "build"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
    )
    if done.returncode != 0:
        detail = f": {done.stderr.strip()}" if done.stderr else ""
        give_up(f"the default embedding model could not be built{detail}")


model_app = typer.Typer(
    no_args_is_help=True, help="Embedding models, and fitting the fast tier of the semantic channel."
)


@model_app.command("build")
@guarded
def build(
    directory: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where to build it.")] = None,
    table: Annotated[
        bool,
        typer.Option("--table", help="Build its table of tokens, too, for the fast tier, and print where that is."),
    ] = False,
    other: Annotated[
        Path | None, typer.Option("--model", metavar="DIR", help="With --table: that of another model.")
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            "--layers",
            metavar="N",
            min=1,
            max=12,
            help="Run the first N of 12 layers: 6 take half the time, but find fewer paraphrases.",
        ),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Build the default embedding model into the user's cache (or DIR), and print where it is.

    A server that needs model or table builds them itself, behind.
    """
    if other is not None and not table:
        fail("--model goes with --table: another model is there already")
    arguments = ["model", "build"]
    if table:
        arguments.append("--table")
    if other is not None:
        arguments += ["--model", str(other.expanduser().absolute())]
    if directory is not None:
        arguments += ["--out", str(directory)]
    if layers is not None:
        arguments += ["--layers", str(layers)]
    if json_output:
        arguments.append("--json")
    _run(arguments)


@model_app.command("path")
@guarded
def path() -> None:
    """Print the directory of the default embedding model; exits with 1 when it was not built."""
    _run(["model", "path"])


@model_app.command("distil")
@guarded
def distil(
    corpus: CorpusOption,
    server: ServerOption = None,
    data: DataOption = None,
    sentences: Annotated[
        int | None,
        typer.Option(
            "--sentences",
            metavar="N",
            min=1_000,
            max=1_000_000,
            help="Most distinct sentences to fit on. Default: 40000.",
        ),
    ] = None,
    embedding_model: EmbeddingModelOption = "default",
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Fit the fast tier of the semantic channel to a corpus, and say what that is worth.

    The fast vectors of the corpus are made anew with what was fitted; searches
    go on by the old ones meanwhile. A run that was ended goes on where it was
    when the command is repeated.
    """
    with (
        open_client(server, data, embedding_model=needed_model(embedding_model, ["semantic"])) as client,
        ProgressReport(f"fitting the fast tier to {corpus}", quiet=quiet) as bar,
    ):
        report = client.distil(
            corpus, sentences=sentences or 0, progress=lambda progress: bar.update(progress.share, progress.step)
        )
    if json_output:
        print_json(report)
    else:
        _show_distilled(corpus, report)


def _show_distilled(corpus: str, report: DistilReport) -> None:
    table = Table(title=f"held out: {report.held_out:,} sentences", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("fast tier beside the accurate one")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    for label, before, after in (
        ("mean cosine of a sentence's vectors", report.cosine_before, report.cosine_after),
        ("ten nearest sentences found among a hundred", report.recall_before, report.recall_after),
    ):
        table.add_row(label, _figure(before), _figure(after))
    out.print(
        escape(f"{corpus}: table {report.table_digest[:12]} is fitted on {report.sentences:,} sentences"),
        soft_wrap=True,
    )
    out.print(table)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


@model_app.command("compare")
@guarded
def compare(
    corpus: CorpusOption,
    server: ServerOption = None,
    data: DataOption = None,
    queries: Annotated[
        int | None,
        typer.Option("--queries", metavar="N", min=10, max=1_000, help="Stored answers to search with. Default: 200."),
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Compare the model of a corpus with the second one that is filled beside it, on the same queries.

    A second model is filled by: kinprint fill --corpus NAME --second DIR
    """
    with open_client(server, data) as client:
        found = client.compare_models(corpus, queries=queries or 0)
    if json_output:
        print_json(found)
        return
    table = Table(title=f"{found.queries:,} queries", title_justify="left", box=SIMPLE_HEAD)
    for column in ("model", "rows filled", "same prompt, AUC", "same prompt, share of ten"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for label, quality in (("first", found.first), ("second", found.second)):
        figures = (_figure(quality.same_prompt_auc), _figure(quality.same_prompt_share))
        table.add_row(f"{label}, {quality.digest[:12]}", f"{quality.filled:,}", *figures)
    out.print(table)
    out.print(f"{found.agreement:.1%} of the ten best of the first are among the ten best of the second")


@model_app.command("switch")
@guarded
def switch(
    corpus: CorpusOption,
    server: ServerOption = None,
    data: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Have a corpus searched by its second model, and drop the first one with its vectors.

    Searches go on meanwhile.
    """
    with open_client(server, data) as client:
        found = client.switch_model(corpus)
    _tell_models(found, "is searched by its second model now; the first is dropped", json_output)


@model_app.command("drop")
@guarded
def drop(
    corpus: CorpusOption,
    server: ServerOption = None,
    data: DataOption = None,
    json_output: JsonOption = False,
) -> None:
    """Drop the second model of a corpus with its vectors."""
    with open_client(server, data) as client:
        found = client.drop_model(corpus)
    _tell_models(found, "has its first model alone; the second is dropped", json_output)


def _tell_models(found: Fill, words: str, json_output: bool) -> None:
    if json_output:
        print_json(found)
    else:
        out.print(escape(f"{found.corpus} {words}"), soft_wrap=True)


def _run(arguments: list[str]) -> None:
    code = subprocess.run(server_command(*arguments)).returncode
    if code != 0:
        # A signal ends the child with a negative code.
        raise typer.Exit(code if code > 0 else 128 - code)


@guarded
def serve(
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Data directory; made if missing (env KINPRINT_DATA)."),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen", metavar="ADDR", help="host:port or unix:/path; may be repeated. Always: a Unix socket in DIR."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="DIR|default|none", help="Embedding model. Default: default.")
    ] = None,
    model_providers: Annotated[
        str | None,
        typer.Option(
            "--model-providers",
            metavar="NAME[,NAME]",
            help="ONNX Runtime's execution providers, the preferred first. Default: KINPRINT_MODEL_PROVIDERS, the CPU.",
        ),
    ] = None,
    lazy_model: Annotated[
        bool, typer.Option("--lazy-model", help="Load the embedding model when it is first needed.")
    ] = False,
    threads: Annotated[int | None, typer.Option("--threads", metavar="N", min=1, help="Cores to use.")] = None,
    scrub_hours: Annotated[
        float | None,
        typer.Option("--scrub-hours", metavar="H", min=0, help="Hours between two checks of all files; 0: none. (24)"),
    ] = None,
    drain_seconds: Annotated[
        float | None, typer.Option("--drain-seconds", metavar="S", min=0, help="Time for calls to end on SIGTERM. (30)")
    ] = None,
    audit_bytes: Annotated[
        str | None, typer.Option("--audit-bytes", metavar="SIZE", help="Put the audit log aside from here on. (64M)")
    ] = None,
    fast_tier: Annotated[
        bool | None,
        typer.Option(
            "--fast-tier/--no-fast-tier",
            help="Make the fast vectors of every row, behind. Default: yes, or KINPRINT_FAST_TIER=off.",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", min=1, help="Long runs at once. Default: half the cores.")
    ] = None,
    job_memory: Annotated[
        str | None,
        typer.Option(
            "--job-memory",
            metavar="SIZE",
            help="Memory that a long run may hold, such as 8G; 0: no limit. Default: half of the machine's, shared.",
        ),
    ] = None,
    auth: Annotated[
        bool, typer.Option("--auth", help="Ask for an API key over TCP even while none was made (env KINPRINT_AUTH).")
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen where other machines reach it without TLS and keys too.")
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", metavar="FILE", help="Certificate chain, PEM (env KINPRINT_TLS_CERT)."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM (env KINPRINT_TLS_KEY).")
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            "--tls-client-ca",
            metavar="FILE",
            help="Clients must show a certificate of these authorities, PEM (env KINPRINT_TLS_CLIENT_CA).",
        ),
    ] = None,
    reflection: Annotated[
        bool | None,
        typer.Option(
            "--reflection/--no-reflection",
            help="Answer for gRPC reflection. Default: where no keys are asked for and no other machine gets in.",
        ),
    ] = None,
    oidc_issuer: Annotated[
        str | None,
        typer.Option("--oidc-issuer", metavar="URL", help="Issuer of tokens to take (env KINPRINT_OIDC_ISSUER)."),
    ] = None,
    oidc_audience: Annotated[
        str | None,
        typer.Option("--oidc-audience", metavar="TEXT", help="Their audience (env KINPRINT_OIDC_AUDIENCE)."),
    ] = None,
    oidc_jwks: Annotated[
        str | None,
        typer.Option("--oidc-jwks", metavar="URL|FILE", help="The issuer's keys (env KINPRINT_OIDC_JWKS)."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings as TOML, for what is no flag (env KINPRINT_CONFIG)."),
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=VALUE", help="A limit of the server, such as streams=16; repeatable."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="HOST:PORT", help="Serve /metrics, /livez and /readyz over HTTP."),
    ] = None,
    audit: Annotated[
        Path | None, typer.Option("--audit", metavar="FILE", help="Append who asked for what to this file.")
    ] = None,
    log_format: Annotated[
        str | None, typer.Option("--log-format", metavar="text|json", help="Of standard error and server.log.")
    ] = None,
) -> None:
    """Serve a data directory over gRPC until SIGTERM or Ctrl-C, which let running calls end."""
    command = server_command("serve")
    if data is not None:
        command += ["--data", str(data)]
    elif not (config or os.environ.get("KINPRINT_DATA") or os.environ.get("KINPRINT_CONFIG")):
        fail("say what to serve: --data DIR")
    for name, value in (
        ("--config", config),
        ("--metrics", metrics),
        ("--audit", audit),
        ("--audit-bytes", audit_bytes),
        ("--log-format", log_format),
        ("--threads", threads),
        ("--scrub-hours", scrub_hours),
        ("--drain-seconds", drain_seconds),
    ):
        if value is not None:
            command += [name, str(value)]
    for item in limit or []:
        command += ["--limit", item]
    for address in listen or []:
        command += ["--listen", address]
    if model is not None:
        command += ["--model", model]
    if model_providers is not None:
        command += ["--model-providers", model_providers]
    if lazy_model:
        command.append("--lazy-model")
    if fast_tier is not None:
        command.append("--fast-tier" if fast_tier else "--no-fast-tier")
    if jobs is not None:
        command += ["--jobs", str(jobs)]
    if job_memory is not None:
        command += ["--job-memory", job_memory]
    command += [word for word, wanted in (("--auth", auth), ("--insecure", insecure)) if wanted]
    for option, path in (("--tls-cert", tls_cert), ("--tls-key", tls_key), ("--tls-client-ca", tls_client_ca)):
        if path is not None:
            command += [option, str(path)]
    if reflection is not None:
        command.append("--reflection" if reflection else "--no-reflection")
    for option, text in (
        ("--oidc-issuer", oidc_issuer),
        ("--oidc-audience", oidc_audience),
        ("--oidc-jwks", oidc_jwks),
    ):
        if text is not None:
            command += [option, text]
    sys.stdout.flush()
    sys.stderr.flush()
    # The server takes over this process: signals and the exit code are its own.
    os.execv(command[0], command)
