"""The report of `serving.py`: what it measured, as Markdown; nothing is measured here."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

from serving_rows import HELD_OUT, KINDS, SHARED_EVERY
from timing import header, quantiles, row

Figures = dict[str, Any]
CHANNELS = ("copy", "style")
_FEW = 100
"""With fewer searches than this the p99 is simply the slowest of them."""
BESIDE = {"loading": "while another client loads", "jobs": "while six clients find near-duplicates"}
Cell = Callable[[Figures], str]


# ---- the table of figures ----


def _searched(section: str, channel: str, which: int) -> Cell:
    def cell(of: Figures) -> str:
        times = of[section][channel]["ms"]
        few = f" (n = {len(times)})" if len(times) < _FEW else ""
        return f"{quantiles(times)[which]:,.1f}{few}"

    return cell


def _factor(section: str, channel: str) -> Cell:
    return lambda of: f"{quantiles(of[section][channel]['ms'])[1] / quantiles(of['search'][channel]['ms'])[1]:,.1f}"


def _rate(of: Figures) -> str:
    return f"{statistics.median(run['client']['rows'] / run['client']['wall'] for run in of['load']['runs']):,.0f}"


def _peak_over_steady(of: Figures) -> str:
    return f"{max(run['peak']['held'] / run['steady']['held'] for run in of['load']['runs']):.2f}"


def _command(which: str) -> Cell:
    return lambda of: f"{statistics.median(of['start']['commands']['search'][which]):.2f}"


FIGURES: list[tuple[str, Cell, str]] = [
    *(
        (f"search, `{channel}`, {name}, ms", _searched("search", channel, which), target)
        for channel, targets in (("copy", ("6", "25")), ("style", ("6", "20")))
        for which, (name, target) in enumerate(zip(("p50", "p99"), targets, strict=True))
    ),
    *(
        figure
        for section, text in BESIDE.items()
        for channel in CHANNELS
        for figure in (
            (f"`{channel}` {text}, p99, ms", _searched(section, channel, 1), ""),
            ("- over the p99 alone", _factor(section, channel), "3"),
        )
    ),
    ("load with `copy,style`, rows/s, median", _rate, "20,000"),
    ("peak over steady memory (held), worst load", _peak_over_steady, "1.3"),
    ("first `kinprint search` on a directory, s, median", _command("first"), "1.5"),
    ("second `kinprint search`, s, median", _command("second"), "0.4"),
]
"""What each line says, what stands in it, and the most (of rows/s the least) that is wanted."""


def _told(of: Figures, cell: Cell) -> str:
    try:
        return cell(of)
    except KeyError:  # the section was not run
        return "-"


def figures_table(now: Figures, before: Figures | None) -> list[str]:
    """One line a figure, of both versions where there are two."""
    names = ["now", "target"] if before is None else ["before", "after", "target"]
    lines = ["## Figures", "", *header("", *names, text=1)]
    for text, cell, target in FIGURES:
        values = [_told(of["sections"], cell) for of in (before, now) if of is not None]
        if any(value != "-" for value in values):
            lines.append(row(text, *values, target))
    return [*lines, ""]


# ---- sections ----


def _kinds() -> list[str]:
    return [f"- {name}: {text}" for name, text in KINDS.items()]


def _of_kind(found: Figures, name: str, kind: str) -> list[Any]:
    return [value for value, k in zip(found[name], found["kind"], strict=True) if k == kind]


def _median(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.3f}" if known else "-"


def _same(now: Figures, before: Figures | None, kind: str) -> str:
    """Of how many queries the hits, scores and spans are those of the version before."""
    if before is None:
        return "-"
    pairs = list(zip(_of_kind(now, "answer", kind), _of_kind(before, "answer", kind), strict=False))
    return f"{sum(a == b for a, b in pairs)} of {len(pairs)}"


def search(now: Figures, before: Figures | None) -> list[str]:
    """Searches alone, by kind of query."""
    lines = [
        "## Searches alone",
        "",
        "Top 10 with evidence, one query after the other, milliseconds until the result is a Python object; `server`",
        "is the server's own time of it. Score: of the first hit, median. Same: queries whose hits, scores and spans",
        "are those of the version before. The kinds take turns:",
        "",
        *_kinds(),
        "",
        *header(
            "channel", "queries", "n", "p50", "p99", "most", "server p50", "server p99", "hits", "score", "same",
            "failed", text=2,
        ),
    ]  # fmt: skip
    for channel in CHANNELS:
        found = now["search"][channel]
        earlier = None if before is None or "search" not in before else before["search"][channel]
        for kind in (*KINDS, None):
            chosen = {
                name: found[name] if kind is None else _of_kind(found, name, kind)
                for name in ("ms", "server_ms", "hits", "score")
            }
            if not chosen["ms"]:
                continue
            server = [ms for ms in chosen["server_ms"] if ms is not None]
            lines.append(
                row(
                    f"`{channel}`", kind or "all", len(chosen["ms"]),
                    *(f"{ms:.1f}" for ms in (*quantiles(chosen["ms"]), max(chosen["ms"]))),
                    *(f"{ms:.1f}" for ms in (quantiles(server) if server else (float("nan"),) * 2)),
                    f"{statistics.mean(chosen['hits']):.1f}", _median(chosen["score"]),
                    "" if kind is None else _same(found, earlier, kind),
                    sum(found["failed"].values()) if kind is None else "",
                )
            )  # fmt: skip
    return [*lines, ""]


def _beside(now: Figures, section: str) -> list[str]:
    lines = header("channel", "n", "p50", "p99", "most", "p50 over alone", "p99 over alone", "failed", text=1)
    for channel in CHANNELS:
        found = now[section][channel]
        p50, p99 = quantiles(found["ms"])
        over = ["-", "-"]
        if "search" in now:
            alone = quantiles(now["search"][channel]["ms"])
            over = [f"{p50 / alone[0]:.1f}", f"{p99 / alone[1]:.1f}"]
        failed = ", ".join(f"{count} {name}" for name, count in found["failed"].items()) or "0"
        lines.append(
            row(f"`{channel}`", len(found["ms"]), f"{p50:.1f}", f"{p99:.1f}", f"{max(found['ms']):.1f}", *over, failed)
        )
    return lines


def loading(now: Figures, _: Figures | None) -> list[str]:
    """Searches during a load."""
    of = now["loading"]
    load = of["load"]
    return [
        "## Searches while another client loads",
        "",
        "The same searches; another process loads the same rows at full speed into other corpora of the same server,",
        "one after the other. Milliseconds. A client with one query at a time meets a standstill once, however long it",
        "is: see `most`.",
        "",
        *_beside(now, "loading"),
        "",
        f"Meanwhile {load['rows']:,} rows were loaded, {load['rows'] / load['wall']:,.0f} a second; the server used "
        f"{of['server_cpu']:.0f} CPU seconds.",
        "",
    ]


def jobs(now: Figures, _: Figures | None) -> list[str]:
    """Searches during searches for duplicates."""
    of = now["jobs"]
    lines = [
        "## Searches while six clients find near-duplicates",
        "",
        "The same searches; six other processes find the near-duplicate pairs of the corpus, each again as soon as a",
        "run has ended. A run that has not finished by its deadline is given up by its client.",
        "",
        *_beside(now, "jobs"),
        "",
        *header("threshold", "misses none", "how runs ended", "pairs received", text=3),
    ]
    for run in of["runs"]:
        ended = ", ".join(f"{count} {name}" for name, count in sorted(run["ended"].items()))
        lines.append(row(run["threshold"], "yes" if run["exact"] else "no", ended, f"{run['pairs']:,}"))
    return [
        *lines,
        "",
        f"Most memory held by the server and its processes: {of['peak']['held']:,.0f} MB. After the last client had "
        f"gone, they worked for another {of['busy_after']:.1f} s; {of['server_cpu']:.0f} CPU seconds before that.",
        "",
    ]


def load(now: Figures, _: Figures | None) -> list[str]:
    """Loading."""
    runs = now["load"]["runs"]
    walls = [run["client"]["wall"] for run in runs]
    rows = runs[0]["client"]["rows"]
    lines = [
        "## Loading with `copy,style`",
        "",
        "From a Parquet file, through `kinprint.client.frames.load`, into an empty directory; each load has a server",
        f"of its own. Of {len(runs)} loads the slowest made {rows / max(walls):,.0f} rows/s, the median "
        f"{rows / statistics.median(walls):,.0f}.",
        "Wall: until the last row is acknowledged. Settled: how much later the server has nothing left to do.",
        "",
        *header(
            "load", "rows", "wall s", "rows/s", "settled s", "server user s", "server system s", "until settled CPU s",
            "client user s", "client system s", "written MB",
        ),
    ]  # fmt: skip
    for i, run in enumerate(runs):
        client, server, settled = run["client"], run["server"], run["server_settled"]
        lines.append(
            row(
                i + 1, f"{client['rows']:,}", f"{client['wall']:.1f}", f"{client['rows'] / client['wall']:,.0f}",
                f"{run['settled']:.1f}", f"{server['user']:.1f}", f"{server['system']:.1f}",
                f"{settled['user'] + settled['system']:.1f}", f"{client['user']:.1f}", f"{client['system']:.1f}",
                f"{settled['written']:,.0f}",
            )
        )  # fmt: skip
    lines += [
        "",
        "CPU seconds of the server by the name of its threads, until settled (those that ended are not here):",
        "",
    ]
    names = list(dict.fromkeys(name for run in runs for name in run["threads"]))
    lines += header("load", *(f"`{name}`" for name in names))
    for i, run in enumerate(runs):
        lines.append(row(i + 1, *(f"{run['threads'].get(name, 0.0):.1f}" for name in names)))
    lines += [
        "",
        "Memory of the server and the processes it starts, MB, sampled every 20 ms from the first row until settled.",
        "Held: pages of no file (RssAnon). Resident: mapped files too, which the system takes back when it needs them;",
        "high water is the same by the kernel's own account of the server (VmHWM). Steady: when settled.",
        "",
        *header(
            "load", "held before", "held peak", "held steady", "peak / steady", "resident peak", "high water",
            "resident steady", "client peak",
        ),
    ]  # fmt: skip
    for i, run in enumerate(runs):
        most, steady = run["peak"], run["steady"]
        values = (
            f"{run['idle']['held']:,.0f}", f"{most['held']:,.0f}", f"{steady['held']:,.0f}",
            f"{most['held'] / steady['held']:.2f}", f"{most['resident']:,.0f}", f"{most['high_water']:,.0f}",
            f"{steady['resident']:,.0f}", f"{run['client']['peak']:,.0f}",
        )  # fmt: skip
        lines.append(row(i + 1, *values))
    return [*lines, ""]


def start(now: Figures, _: Figures | None) -> list[str]:
    """First and second answers."""
    of = now["start"]
    lines = [
        "## The first answer of a command, and the second",
        "",
        "`kinprint ... --data DIR` from its start to its end, seconds: first without a server on the directory, then",
        "the same again at once. Pages are in the cache and kernels compiled.",
        "A server that a command starts " + ("stays for the next one." if of["lingers"] else "ends with it."),
        "",
        *header("command", "n", "first, median", "first, most", "second, median", "second, most", text=1),
    ]
    for command, took in of["commands"].items():
        values = [f"{f(took[which]):.2f}" for which in ("first", "second") for f in (statistics.median, max)]
        lines.append(row(f"`{command}`", len(took["first"]), *values))
    memory = f"{of['server_peak']:,.0f} MB in the server that it starts, {of['command_peak']:,.0f} MB in the command"
    return [*lines, "", f"Most memory resident during a first `search`: {memory}.", ""]


PEERS = {
    "numpy": "NumPy, float32, z-scored: every vector, for `style`",
    "rensa": "rensa, `RMinHashLSH`, for `copy`",
    "datasketch": "datasketch, `MinHashLSH`, for `copy`",
}


def peers(now: Figures, _: Figures | None) -> list[str]:
    """Peers."""
    of = now["peers"]
    lines = [
        "## Peers",
        "",
        "In process, on the same rows and queries. They give keys alone, without record, filters, evidence or spans,",
        "and are not asked over gRPC. For `style` the vectors of rows and queries are given; for `copy` a query is cut",
        "into shingles and sketched (128 permutations, 32 bands).",
        "",
        *header("peer", "rows", "build s", "n", "p50 ms", "p99 ms", text=1),
    ]
    for name, text in PEERS.items():
        if name in of:
            p50, p99 = quantiles(of[name]["ms"])
            cells = (
                f"{of[name]['rows']:,}",
                f"{of[name]['build']:.1f}",
                len(of[name]["ms"]),
                f"{p50:.2f}",
                f"{p99:.2f}",
            )
            lines.append(row(text, *cells))
    missing = [name for name in PEERS if name not in of]
    return [*lines, "", *([f"Not installed, so not run: {', '.join(missing)}.", ""] if missing else [])]


SECTIONS = {"search": search, "loading": loading, "jobs": jobs, "load": load, "start": start, "peers": peers}


def report(now: Figures, before: Figures | None) -> str:
    """Everything that was measured."""
    versions = [("", now)] if before is None else [("Before: ", before), ("After: ", now)]
    # Answers are compared only where the rows and queries are the same.
    alike = before is not None and all(before[name] == now[name] for name in ("bytes", "rows", "queries"))
    sections, earlier = now["sections"], before["sections"] if before is not None and alike else None
    lines = [
        f"# Serving, {now['rows']:,} rows",
        "",
        "Written by `benchmarks/serving.py`. One server, over gRPC on a Unix socket; every client is a process of its",
        "own on the same machine and shares its cores. Rows are answers of a file of transcripts, one in "
        f"{HELD_OUT} held",
        f"out; one row in {SHARED_EVERY} begins with the same sentence. p99: what one search in a hundred exceeds.",
        "",
        *(f"- {label}{of['version']}; {of['rows']:,} rows; {of['machine']}" for label, of in versions),
        "",
        *figures_table(now, before),
    ]
    if before is not None:
        lines += ["What follows is of the version after.", ""]
    for name, section in SECTIONS.items():
        if name in sections:
            lines += section(sections, earlier)
    return "\n".join(lines)
