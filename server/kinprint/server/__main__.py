"""`python -m kinprint.server`: serve, and build the default model.

People use the `kinprint` command, which starts this.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import logging.handlers
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kinprint.server.edge.options import access_of, add_access_options, add_keys_command, run_keys
from kinprint.server.logs import formatter, log_to_stderr
from kinprint.server.native_logs import quiet_core, take_over_stderr
from kinprint.server.wording import counted

if TYPE_CHECKING:
    from kinprint.server.settings import Effective, Settings
    from kinprint.server.store.lock import DirectoryLock

EXIT_FAILED = 1
EXIT_HELD = 3
#: Seconds that a lingering server has to let its calls end.
_TAKE_OVER = 60.0


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)


def _limit(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kinprint.server", description="The Kinprint server.")
    commands = parser.add_subparsers(dest="command", required=True)
    # What is not given is left out: it comes from the environment, the file, or is as usual (settings.py).
    serve = commands.add_parser("serve", help="serve a data directory over gRPC", argument_default=argparse.SUPPRESS)
    serve.add_argument("--config", type=Path, metavar="FILE", help="settings, as TOML; also KINPRINT_CONFIG")
    serve.add_argument("--print-config", action="store_true", help="print the settings in force, and end")
    serve.add_argument("--json", action="store_true", help="with --print-config: as JSON")
    serve.add_argument("--data", type=Path, metavar="DIR", help="data directory; made if missing")
    serve.add_argument("--listen", action="append", metavar="ADDR", help="HOST:PORT or unix:PATH; repeatable")
    serve.add_argument("--model", metavar="DIR|default|none", help="embedding model")
    serve.add_argument(
        "--model-providers", metavar="NAME[,NAME]", help="ONNX Runtime's execution providers, the preferred first"
    )
    serve.add_argument("--lazy-model", action="store_true", help="load the model at its first use")
    serve.add_argument("--lazy", action="store_true", help="load kernels and model at their first use")
    serve.add_argument(
        "--linger", type=float, metavar="SECONDS", help="end after this time without a call, or when another asks"
    )
    serve.add_argument("--exit-with-stdin", action="store_true", help="end when standard input closes")
    serve.add_argument("--threads", metavar="N", help="cores to use; default: all at hand")
    serve.add_argument("--jobs", metavar="N", help="long runs at once; default: half the cores")
    serve.add_argument("--job-memory", metavar="SIZE", help="memory that a long run may hold, such as 8G; 0: no limit")
    serve.add_argument(
        "--fast-tier",
        action=argparse.BooleanOptionalAction,
        help="make the fast vectors of every row, behind (default: yes, or KINPRINT_FAST_TIER=off)",
    )
    serve.add_argument(
        "--scrub-hours",
        metavar="H",
        help="hours between two rounds in which all files are compared with their digests; 0: none (24)",
    )
    serve.add_argument(
        "--take-over",
        action=argparse.BooleanOptionalAction,
        help="end a lingering server that holds the directory (default: yes)",
    )
    serve.add_argument("--drain-seconds", metavar="SECONDS", help="time for calls to finish on SIGTERM (30)")
    serve.add_argument("--limit", type=_limit, action="append", metavar="NAME=VALUE", help="of [limits]; repeatable")
    serve.add_argument("--metrics", metavar="HOST:PORT", help="serve metrics, liveness and readiness over HTTP")
    serve.add_argument("--audit", type=Path, metavar="FILE", help="append who asked for what to this file")
    serve.add_argument("--audit-bytes", metavar="SIZE", help="put that file aside from this size on (64M)")
    serve.add_argument("--log-format", choices=("text", "json"), help="of standard error and server.log")
    add_access_options(serve)
    add_keys_command(commands)
    verifying = commands.add_parser("verify", help="check every file of a data directory")
    verifying.add_argument("data", type=Path, metavar="DIR", help="data directory")
    verifying.add_argument("--repair", action="store_true", help="mend what can be mended without losing a row")
    verifying.add_argument("--quiet", action="store_true", help="no progress")
    verifying.add_argument("--json", action="store_true", help="print the result as JSON")
    audit = commands.add_parser("audit", help="the audit log").add_subparsers(dest="action", required=True)
    check = audit.add_parser("verify", help="check the chain of an audit log, and name the first line that breaks it")
    check.add_argument("file", type=Path, metavar="FILE")
    check.add_argument("--head", metavar="DIGEST", help="and that it still holds the line of this digest")
    check.add_argument("--json", action="store_true", help="print the result as JSON")
    model = commands.add_parser("model", help="the default embedding model").add_subparsers(
        dest="action", required=True
    )
    build = model.add_parser("build", help="build it once, in the user's cache")
    build.add_argument("--layers", type=_at_least_one, metavar="N", help="run the first N layers only, of 12")
    build.add_argument("--out", type=Path, metavar="DIR", help="another directory")
    build.add_argument("--json", action="store_true", help="print the result as JSON")
    build.add_argument("--table", action="store_true", help="and its table of tokens, for the fast tier; prints that")
    build.add_argument("--model", default="default", metavar="DIR", help="with --table: another model's directory")
    build.add_argument("--nice", type=int, default=0, metavar="N", help="lower the priority by N")
    model.add_parser("path", help="print its directory; fails when it is not built")
    return parser


#: Options of `serve` that are about this process and no settings of the service.
_OF_THE_PROCESS = ("command", "config", "print_config", "json", "lazy", "linger", "exit_with_stdin", "take_over")


def _settings(arguments: argparse.Namespace) -> Effective:
    """The settings in force.  Raises SettingsError."""
    from kinprint.server.settings import load

    flags = {name: value for name, value in vars(arguments).items() if name not in _OF_THE_PROCESS}
    if "limit" in flags:
        flags["limits"] = dict(flags.pop("limit"))
    named = os.environ.get("KINPRINT_CONFIG")
    config: Path | None = getattr(arguments, "config", Path(named) if named else None)
    return load(flags, config)


def _serve(arguments: argparse.Namespace) -> int:
    # Before anything heavy is imported: a refusal should be quick.
    from kinprint.server.imports import importing

    with importing():
        from kinprint.server.settings import SettingsError
    from kinprint.server.edge.private import UMASK, keep_private
    from kinprint.server.store.location import check_path
    from kinprint.server.store.lock import DataFormatError, DirectoryHeld, DirectoryLock

    try:
        effective = _settings(arguments)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    if getattr(arguments, "print_config", False):
        print(json.dumps(effective.as_json()) if getattr(arguments, "json", False) else "\n".join(effective.lines()))
        return 0
    os.umask(UMASK)
    settings = effective.values
    quiet_core(settings.log_format)
    log_to_stderr(settings.log, settings.log_format, take_over_stderr() if settings.log_format == "json" else None)
    model = settings.model
    if model not in ("default", "none"):
        model = os.path.abspath(model)  # others compare it with theirs
    lock = DirectoryLock(settings.data, linger=getattr(arguments, "linger", None), model=model)
    try:
        check_path(settings.data)
        if getattr(arguments, "take_over", True):
            lock.take_over(_TAKE_OVER)
        else:
            lock.acquire()
        # Beside the data too: an embedded server's standard error is nobody's to read.
        log: logging.Handler = logging.NullHandler()
        if not lock.read_only:
            log = logging.handlers.RotatingFileHandler(settings.data / "server.log", maxBytes=4 << 20, backupCount=2)
    except DirectoryHeld as held:
        print(f"error: {held}; stop it, or use its address", file=sys.stderr)
        return EXIT_HELD
    except (DataFormatError, OSError) as error:
        print(f"error: cannot use {settings.data}: {error}", file=sys.stderr)
        return EXIT_FAILED
    log.setFormatter(formatter(settings.log_format))
    logging.getLogger().addHandler(log)
    keep_private(settings.data)
    try:
        _tell_settings(effective)
        return _serve_locked(arguments, settings, lock)
    finally:
        lock.release()


def _tell_settings(effective: Effective) -> None:
    """Log what differs from the defaults, a line a setting."""
    logger = logging.getLogger(__name__)
    logger.info("settings that differ from the defaults (kinprint config show tells all of them):")
    for line in effective.changed():
        logger.info("  %s", line)


def _serve_locked(arguments: argparse.Namespace, settings: Settings, lock: DirectoryLock) -> int:
    from kinprint.server import threads
    from kinprint.server.imports import importing, leave_out_what_is_not_used

    if settings.model_providers is not None:
        # For the processes of long runs, too.
        os.environ["KINPRINT_MODEL_PROVIDERS"] = settings.model_providers
    if settings.threads is not None:
        os.environ["KINPRINT_THREADS"] = str(settings.threads)
    pools = threads.configure()
    # A search asks for the interpreter a dozen times; beside a load it waits this long each time.
    sys.setswitchinterval(0.0001)
    with importing():
        leave_out_what_is_not_used()
        from kinprint.server.app import serve
        from kinprint.server.config import ServerConfig
        from kinprint.server.failures import Failure
        from kinprint.server.startup import StartFailed
        from kinprint.server.store.record import FormatTooNew, RecordBusy, RecordDamaged

    try:
        access = access_of(settings)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    config = ServerConfig(
        data_dir=settings.data,
        listen=tuple(settings.listen),
        model=settings.model,
        lazy_model=settings.lazy_model,
        fast_tier=settings.fast_tier,
        lazy=getattr(arguments, "lazy", False),
        linger=getattr(arguments, "linger", None),
        exit_with_stdin=getattr(arguments, "exit_with_stdin", False),
        drain_seconds=settings.drain_seconds,
        cores=pools["polars"],
        jobs=settings.jobs,
        job_memory=settings.job_memory,
        capacity=settings.capacity(),
        metrics=settings.metrics,
        audit=settings.audit,
        audit_bytes=settings.audit_bytes,
        scrub_hours=settings.scrub_hours,
        access=access,
    )
    try:
        asyncio.run(serve(config, lock))
    except (StartFailed, Failure, FormatTooNew, RecordDamaged, RecordBusy, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from kinprint.server import threads

    threads.configure()
    from kinprint.server.corpus.verify import verify
    from kinprint.server.store.lock import DataFormatError, DirectoryHeld, DirectoryLock

    lock = DirectoryLock(arguments.data)
    try:
        if arguments.repair and arguments.data.is_dir():
            lock.acquire()

        def report(step: str) -> None:
            if not arguments.quiet:
                print(step, file=sys.stderr, flush=True)

        done = verify(arguments.data, repair=arguments.repair, progress=report)
    except DirectoryHeld as held:
        print(f"error: {held}; stop it, then repair: kinprint stop --data {arguments.data}", file=sys.stderr)
        return EXIT_HELD
    except (DataFormatError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    finally:
        lock.release()
    if arguments.json:
        print(json.dumps(done.as_json()))
    else:
        for found in done.findings:
            print(f"{'' if found.repaired else 'DAMAGED '}{found.file}: {found.what}. {found.remedy}")
        again = sum(finding.repaired for finding in done.findings)
        state = f"nothing is lost; {again} to be made again" if again else "all is as it was written"
        if not done.ok:
            state = "DAMAGED: see above"
        counts = [
            counted(done.corpora, "corpus", "corpora"),
            counted(done.files, "file"),
            f"{done.bytes / 1e6:,.1f} MB",
        ]
        print(f"{', '.join((*counts, counted(done.rows, 'row')))}: {state}")
    return 0 if done.ok else EXIT_FAILED


def _audit(arguments: argparse.Namespace) -> int:
    from kinprint.server.edge.audit_chain import verify

    try:
        found = verify(arguments.file, arguments.head)
    except FileNotFoundError:
        print(f"error: there is no audit log {arguments.file}", file=sys.stderr)
        return EXIT_FAILED
    except OSError as error:
        print(f"error: cannot read {arguments.file}: {error}", file=sys.stderr)
        return EXIT_FAILED
    if arguments.json:
        print(json.dumps(found.as_dict()))
    else:
        print(found.sentence(), file=sys.stdout if found.problem is None else sys.stderr)
    return 0 if found.problem is None else EXIT_FAILED


def _model(arguments: argparse.Namespace) -> int:
    from kinprint.server import threads

    threads.configure()  # before Numba is imported
    from kinprint.server.embed import WeightsError, build_default_model, default_model_directory
    from kinprint.server.embed.default_model.build import is_built

    if arguments.action == "path":
        directory = default_model_directory()
        print(directory)
        return 0 if is_built(directory) else EXIT_FAILED

    last = None

    def report(step: str, share: float) -> None:
        nonlocal last
        line = f"{step} ({round(share * 100)} %)"
        if line != last:
            print(line, file=sys.stderr, flush=True)
            last = line

    if arguments.nice:
        os.nice(arguments.nice)
    try:
        if arguments.table and arguments.layers:
            raise ValueError("--table is for a model that is built; name the directory of the smaller one by --model")
        if arguments.table:
            directory = _build_table(arguments.model, arguments.out, report)
        else:
            directory = build_default_model(arguments.out, report, layers=arguments.layers)
    except (WeightsError, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    print(json.dumps({"directory": str(directory)}) if arguments.json else directory)
    return 0


def _build_table(model: str, out: Path | None, report: Callable[[str, float], None]) -> Path:
    """Build the table of a model, and that itself where it is the default one; where the table is."""
    from kinprint.server.embed import OnnxEmbedder, build_default_model, load_space
    from kinprint.server.embed.distil import load_table
    from kinprint.server.embed.table_cache import note_table

    def build(step: str, share: float) -> None:
        if step != "ready":
            report(step, 0.2 * share)

    directory = build_default_model(out, build) if model == "default" else Path(model)
    embedder = OnnxEmbedder(directory, threads=1, max_windows=2)
    report("measuring the background", 0.2)
    space = load_space(embedder)
    table = load_table(embedder, space, directory, lambda step, share: report(step, 0.25 + 0.75 * share))
    assert table.directory is not None
    if out is None:
        note_table(model, table.directory)
    return table.directory


def main() -> int:
    """Run a command; its exit status."""
    arguments = _parser().parse_args()
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # tells which builds it did not find
    if arguments.command == "serve":
        return _serve(arguments)
    log_to_stderr(os.environ.get("KINPRINT_LOG", "INFO").upper(), "text")
    return {"verify": _verify, "keys": run_keys, "audit": _audit, "model": _model}[arguments.command](arguments)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # while it imports; later the server drains
        sys.exit(130)
