"""The report of `semantic.py`: what it measured, as Markdown; nothing is measured here."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

from timing import header, quantiles, row

Figures = dict[str, Any]
Cell = Callable[[Figures], str]
SIZES = ("1", "2", "3-4", "5-8", "9-16", "17 and more")
"""Sentences of a query, by class."""
OURS, WINDOW = "kinprint, by sentence", "one window of 256 tokens"
HOW = (
    "$ python -m venv peers  # the other libraries have an environment of their own",
    "$ peers/bin/pip install torch sentence-transformers fastembed onnx model2vec qdrant-client lancedb faiss-cpu",
    '$ make bench-semantic DATA="answers.parquet others.parquet" PEERS=peers/bin/python WORK=work JSON=semantic.json',
)
RECALLED = ("stored rows", "sentences", "answers")
"""What is searched exactly, too."""
MANY = 50_000
"""Rows of a corpus from which on its memory tells something of a million."""
FEW = 1_000
"""Pairs of languages and sizes with fewer pairs are not judged by their share."""


# ---- the table of figures ----


def _one(of: Figures, section: str) -> Figures:
    """Figures on one thread."""
    return dict(of[section]["threads"]["1"])


def _speed(name: str) -> Cell:
    return lambda of: f"{_one(of, 'accurate')['speeds'][name]['cpu']:,.1f}"


def _over(ours: str, form: str) -> Cell:
    def cell(of: Figures) -> str:
        speeds = _one(of, "accurate")["speeds"]
        peers = (f"{library}, {form}" for library in ("sentence-transformers", "fastembed"))
        return " / ".join(f"{speeds[ours]['cpu'] / speeds[peer]['cpu']:.1f}x" for peer in peers)

    return cell


def _fast_over(of: Figures, language: str, peer: str) -> float:
    speeds = _one(of, "fast")[language]
    return float(speeds["kinprint"]["cpu"] / speeds[peer]["cpu"])


def _others(of: Figures) -> str:
    some = sorted(set(_one(of, "fast")) - {"en"})
    worst = min(some, key=lambda language: _fast_over(of, language, "tokenizers alone"))
    shown = [language for language in ("zh", "fi", "uk") if language in some] + [worst]
    told = (f"{language} {_fast_over(of, language, 'tokenizers alone'):.1f}x" for language in dict.fromkeys(shown))
    return ", ".join(told)


def _loaded(of: Figures) -> str:
    run = of["load"]["runs"][-1]
    return f"{run['default']['indexed'] / 60:.1f} for {run['default']['rows']:,} rows"


def _latency(name: str, tier: str) -> Cell:
    def cell(of: Figures) -> str:
        found = of["search"]["served"][name]["tiers"][tier]
        p50, p99 = quantiles(found["ms"])
        rows = f" ({of['search']['relatives']['translation']['rows']:,} rows)" if name == "rows" else ""
        return f"{p50:,.1f}; {p99:,.1f}{rows}"

    return cell


def _first(of: Figures) -> str:
    found = of["search"]["relatives"]["translation"]
    by = ", ".join(f"{tier} {found[tier]['first']}" for tier in ("auto", "accurate", "fast"))
    return f"{by} of {found['auto']['of']} among {found['rows']:,}"


def _recall(of: Figures) -> str:
    found = of["search"]["recall"]
    kinds = (f"{found['real'][kind]['recall']:.3f}" for kind in RECALLED)
    at_size = found["full"]
    return (
        f"{' / '.join(kinds)} ({found['real']['rows']:,} rows); "
        f"{at_size[RECALLED[0]]['recall']:.3f} ({at_size['rows']:,} rows, fast vectors standing in)"
    )


def _memory(of: Figures) -> str:
    grown = memory_of_rows(of["search"], "million" if "million" in of["search"]["served"] else "rows")
    sentences = f"{grown['sentences']:.1f} sentences a row"
    return f"fast {grown['fast']:.2f}; all {grown['all']:.2f}, held and mapped ({sentences})"


def memory_of_rows(search: Figures, name: str) -> Figures:
    """GB a million rows that a server takes for its rows, over what it takes for a few: by held and mapped pages."""
    few, many = (search["served"][one]["memory"] for one in ("tiny", name))
    build = search["builds"]["full" if name == "rows" else name]
    if build["rows"] < MANY:
        raise KeyError(name)
    rows = build["rows"] / 1e6

    def gigabytes(at: str, *kinds: str) -> float:
        return float(sum(many[at][kind] - few[at][kind] for kind in kinds) / 1e3 / rows)

    made: Figures = {"rows": build["rows"], "sentences": build["sentences"] / build["rows"]}
    made |= {"fast": gigabytes("after fast", "held", "mapped"), "fast held": gigabytes("after fast", "held")}
    return made | {"all": gigabytes("after accurate", "held", "mapped"), "held": gigabytes("after accurate", "held")}


def _shares(of: Figures, tier: str) -> str:
    pairs = of["calibration"]["tiers"][tier]["pairs"]
    enough = [100 * one["unlikely"] / one["pairs"] for one in pairs if one["pairs"] >= FEW]
    inside = sum(0.5 <= share <= 2 for share in enough)
    total = 100 * sum(one["unlikely"] for one in pairs) / max(sum(one["pairs"] for one in pairs), 1)
    return f"{total:.2f} %; {inside} of {len(enough)} within, {min(enough):.2f} to {max(enough):.2f} %"


def _busy(of: Figures) -> str:
    found = of["busy"]
    told = []
    for tier in ("fast", "auto"):
        alone = quantiles(found["alone"][tier]["ms"])[1]
        told.append(f"{tier} {quantiles(found['loading'][tier]['ms'])[1] / alone:.1f}x")
    return ", ".join(told)


FIGURES: list[tuple[str, Cell, str]] = [
    ("accurate, 250-word English answers, texts/s/core", _speed(OURS), "13"),
    ("- with 6 layers", _speed("kinprint, 6 layers, by sentence"), "24"),
    ("- over sentence-transformers / fastembed, by sentence", _over(OURS, "by sentence"), "4.5x / 2.5x"),
    (f"- over them, {WINDOW}", _over(f"kinprint, {WINDOW}", WINDOW), "3.2x / 1.5x"),
    (
        "share of the measured int8 peak",
        lambda of: f"{_one(of, 'accurate')['int8']['shares'][OURS]:.0%}",
        "55 %, 70 % excellent",
    ),
    ("cosine to fp32, worst text", lambda of: f"{of['accurate']['cosine']['least']:.4f}", ".999"),
    (
        "fast tier, new English text, texts/s/core",
        lambda of: f"{_one(of, 'fast')['en']['kinprint']['cpu']:,.0f}",
        "12,000",
    ),
    ("- over model2vec with the same table", lambda of: f"{_fast_over(of, 'en', 'model2vec'):.1f}x", "15x"),
    ("- other languages, over the tokenizer's library alone", _others, "10x"),
    ("rows searchable by meaning with copy and style, index included, min", _loaded, "4 for a million"),
    ("translations of the sample first, both directions", _first, "all"),
    ("recall@10 of exact accurate search, stored rows / new sentences / new answers", _recall, ".98"),
    ("search, new query of up to 32 tokens, 100k rows, p50; p99, ms", _latency("rows", "auto"), "20; 100"),
    ("- a million rows", _latency("million", "auto"), "30; 100"),
    ("fast tier alone, a million rows, p50; p99, ms", _latency("million", "fast"), "5"),
    ("resident memory, GB a million rows", _memory, "fast .5; all 1.5"),
    ("unrelated pairs with p <= .01, accurate", lambda of: _shares(of, "accurate"), ".5 to 2 % each"),
    ("unrelated pairs with p <= .01, fast", lambda of: _shares(of, "fast"), ".5 to 2 % each"),
    ("query p99 beside a load, over idle", _busy, "3x"),
]
"""What each line says, what stands in it, and what is wanted."""


def _told(of: Figures, cell: Cell) -> str:
    try:
        return cell(of)
    except (KeyError, IndexError, ValueError):  # the section was not run, or not all of it
        return "-"


# ---- sections ----


def _accurate(of: Figures) -> list[str]:
    model = of["model"]
    lines = [
        f"{of['texts']} answers of about 250 words, {of['sentences']} sentences; {model['name']}, {model['layers']} "
        "layers. Texts a second of CPU and of wall, in the best of the rounds; in brackets the median round. Others "
        "get the same weights: sentence-transformers as float32 in PyTorch, fastembed as the usual int8 ONNX file, "
        "quantised dynamically.",
        "",
    ]
    for threads, found in of["threads"].items():
        lines += header(f"{threads} thread{'s' if threads != '1' else ''}", "texts/s of CPU", "texts/s of wall", text=1)
        for name, speed in found["speeds"].items():
            cells = (f"{speed[kind]:,.2f} ({speed[kind + '_median']:,.2f})" for kind in ("cpu", "wall"))
            lines.append(row(name, *cells))
        lines.append("")
    int8 = of["threads"].get("1", {}).get("int8")
    if int8:
        lines += [
            f"Most int8 products here, MatMulInteger at the model's shapes: {int8['peak_together']:,.0f} "
            "x 10^9 multiplications a CPU second ("
            + ", ".join(f"{name} {value:,.0f}" for name, value in int8["peak"].items())
            + f"). A text has {int8['tokens_a_text']:.0f} tokens in its sentences. Share of that peak in the matrix "
            "products of the layers alone, tokenising, attention and all else in the time: "
            + ", ".join(f"{name} {share:.0%}" for name, share in int8["shares"].items())
            + ".",
            "",
        ]
    cosine = of["cosine"]
    lines.append(f"Largest difference of a text's vector alone and in company: {cosine['alone_and_together']:.1e}.")
    if cosine["kinds"]:
        lines += [
            "",
            f"Cosines to the fp32 model, {cosine['texts']} texts; {cosine['below']} lie below .999. "
            f"Worst: `{cosine['worst']!r}`.",
            "",
            *header("texts", "n", "least", "mean", text=1),
            *(
                row(kind, one["texts"], f"{one['least']:.5f}", f"{one['mean']:.5f}")
                for kind, one in cosine["kinds"].items()
            ),
        ]
    return lines


def _fast(of: Figures) -> list[str]:
    lines = [
        "Texts a second, tokenising and cutting into sentences counted; each round has texts that were not there "
        "before. Languages marked * are made texts of 165 words of a few hundred that ship with the package, every "
        "fifth altered: they repeat more than real text does. `tokenizers` is the tokenizer's own library alone; "
        "model2vec has the same table.",
        "",
    ]
    for threads, found in of["threads"].items():
        names = list(dict.fromkeys(name for one in found.values() for name in one if name != "real"))
        of_wall = [f"{name}, wall" for name in names[:1]]
        ratios = [f"over {name}" for name in names[1:]]
        lines += header(f"{threads} thread{'s' if threads != '1' else ''}", *names, *of_wall, *ratios, text=1)
        for language, one in found.items():
            mine = one["kinprint"]
            cells = [f"{one[name]['cpu']:,.0f}" if name in one else "-" for name in names]
            over = [f"{mine['cpu'] / one[name]['cpu']:.1f}x" if name in one else "-" for name in names[1:]]
            lines.append(row(language + ("" if one["real"] else " *"), *cells, f"{mine['wall']:,.0f}", *over))
        lines.append("")
    return lines


def _load(of: Figures) -> list[str]:
    lines = [
        "One client loads with copy and style into a server: until every row is acknowledged, and can be found; until "
        "the indexes are on disk; and until the server has nothing left to do, scores calibrated, with the CPU of all "
        "that. Without a model there is no fast tier. `alone`: fast vectors, and their index, in process, and nothing "
        "else.",
        "",
        *header("rows", "", "acknowledged, s", "indexed, s", "settled, s", "CPU s", "peak MB", "fast tier", text=2),
    ]
    for run in of["runs"]:
        for model, told in (("default", "with the fast tier"), ("none", "without")):
            one = run[model]
            cells = (one[name] for name in ("acknowledged", "indexed", "settled", "cpu", "peak"))
            lines.append(
                row(f"{one['rows']:,} {run['rows']}", told, *(f"{c:,.1f}" for c in cells), f"{one['fast']:.0%}")
            )
        alone = run["alone"]
        wall = (alone["vectors"]["wall"], alone["vectors"]["wall"] + alone["index"]["wall"])
        cpu = alone["vectors"]["cpu"] + alone["index"]["cpu"]
        cells = (f"{c:,.1f}" for c in wall)
        lines.append(row(f"{alone['rows']:,} {run['rows']}", "alone", *cells, "-", f"{cpu:,.1f}", "-", "-"))
    return lines


def _search(of: Figures) -> list[str]:
    embedded = of["embedded"]
    lines = [
        "`rows`: answers of the files, all with fast vectors. "
        f"{embedded['rows']:,} of them ({embedded['sentences']:,} sentences) have accurate vectors of their own; where "
        "all have some (`full`, `million`), for speed and size, those of the fast tier stand in for the others'. A "
        "million rows are pieces of answers with many words replaced. Queries are sentences of answers to prompts that "
        "no row answers.",
        "",
        *header("search, ms", "tier", "n", "p50", "p99", "most", "server p50", "failed", text=2),
    ]
    for name, served in of["served"].items():
        for tier, one in served["tiers"].items():
            p50, p99 = quantiles(one["ms"])
            server = statistics.median(one["server_ms"]) if one["server_ms"] else float("nan")
            failed = ", ".join(f"{count} {error}" for error, count in one["failed"].items())
            times = (p50, p99, max(one["ms"]), server)
            lines.append(row(name, tier, len(one["ms"]), *(f"{t:,.1f}" for t in times), failed))
    lines += [
        "",
        "Stored rows have relatives: other answers to their prompts. New ones have none, and ten hits that are nothing "
        "but the best of chance.",
        "",
        *header("recall@10 of exact accurate search", "rows", *(f"{kind} (worst)" for kind in RECALLED), text=1),
    ]
    for name, one in of["recall"].items():
        kinds = (one.get(kind) for kind in RECALLED)
        cells = ("-" if k is None else f"{k['recall']:.3f} ({k['worst']:.1f}), n = {k['queries']}" for k in kinds)
        lines.append(row(name, f"{one['rows']:,}", *cells))
    lines += [
        "",
        "Relatives of the sample among the rows of `real`, both directions: rank of the other, copies of either left "
        "out; p-value and that among answers to the same prompt, medians.",
        "",
        *header("relation", "tier", "first", "in 10", "in 200", "worst", "p", "same-prompt p", text=2),
    ]
    for kind, by_tier in of["relatives"].items():
        for tier in ("auto", "accurate", "fast"):
            one = by_tier[tier]
            ranks = [rank or 999 for rank in one["ranks"]]
            worst = "not found" if max(ranks) == 999 else max(ranks)
            within = (sum(rank <= most for rank in ranks) for most in (10, 200))
            same = [p for p in one["same_prompt_p"] if p is not None]
            p_values = (f"{statistics.median(some):.4f}" if some else "-" for some in (one["p_values"], same))
            lines.append(row(kind, tier, f"{one['first']} of {one['of']}", *within, worst, *p_values))
    lines += ["", *_sizes(of)]
    return lines


def _sizes(of: Figures) -> Iterable[str]:
    yield from header(
        "corpus", "rows", "sentences", "write s", "publish s", "index recall", "record MB", "rows MB", "fast MB",
        "accurate MB", text=1,
    )  # fmt: skip
    for name, one in of["builds"].items():
        recalls = [f"{index['recall']:.3f}" for kind in ("fast", "semantic") for index in one["indexes"][kind]]
        disk = (f"{one['disk'].get(kind, 0):,.0f}" for kind in ("record", "rows", "fast", "semantic"))
        times = (f"{one[step]['wall']:,.0f}" for step in ("write", "publish"))
        yield row(name, f"{one['rows']:,}", f"{one['sentences']:,}", *times, ", ".join(recalls) or "-", *disk)
    yield ""
    yield from header("memory of a server, MB", "when", "held", "mapped", text=2)
    for name, served in of["served"].items():
        for when, memory in served["memory"].items():
            yield row(name, when, f"{memory['held']:,.0f}", f"{memory['mapped']:,.0f}")
    yield ""
    for name in ("rows", "million"):
        if name in of["served"] and of["builds"]["full" if name == "rows" else name]["rows"] >= MANY:
            grown = memory_of_rows(of, name)
            yield (
                f"Over the smallest corpus, a million rows as those of `{name}` ({grown['rows']:,} rows, "
                f"{grown['sentences']:.1f} sentences a row with accurate vectors) take {grown['fast']:.2f} GB by fast "
                f"searches ({grown['fast held']:.2f} held), {grown['all']:.2f} GB by all ({grown['held']:.2f} held)."
            )
            yield ""


def _calibration(of: Figures) -> list[str]:
    lines = [
        f"Calibrated on {of['rows']:,} rows; pairs and queries are of {of['others']:,} rows that answer other prompts. "
        "Shares of what is unrelated, in %.",
        "",
    ]
    for tier, found in of["tiers"].items():
        if "pairs" not in found:
            lines += [f"{tier}: too few rows", ""]
            continue
        lines += header(f"{tier}: pairs with p <= .01", *SIZES, "z >= 3, 1 sentence", text=1)
        by: dict[str, dict[int, Figures]] = {}
        for one in found["pairs"]:
            by.setdefault(f"{one['query']}, {one['match']}", {})[one["size"]] = one
        for languages, sizes in by.items():
            cells = [
                f"{100 * sizes[k]['unlikely'] / sizes[k]['pairs']:.2f} ({sizes[k]['pairs']:,})" if k in sizes else "-"
                for k in range(len(SIZES))
            ]
            z3 = f"{100 * sizes[0]['z3'] / sizes[0]['pairs']:.1f}" if 0 in sizes and tier == "accurate" else "-"
            lines.append(row(languages, *cells, z3))
        lines.append("")
    lines += header("searches, best hit", "sentences", "n", "p <= .01", "p <= .1", "a hit with z >= 3", text=2)
    searches = {f"{tier}, {of['rows']:,} rows": f.get("searches", []) for tier, f in of["tiers"].items()}
    searches |= {f"{tier}, {of['rows at size']:,} rows": found for tier, found in of["at size"].items()}
    for name, found in searches.items():
        for one in found:
            n = max(one["searches"], 1)
            cells = (f"{100 * one[kind] / n:.1f}" for kind in ("unlikely", "below .1", "z3"))
            lines.append(row(name, SIZES[one["size"]], one["searches"], *cells))
    return lines


def _busy_table(of: Figures) -> list[str]:
    load, fill = of["load"], of["fill"]
    lines = [
        f"{of['rows']:,} rows (`full`), one query after the other; milliseconds.",
        "",
        *header("beside", "tier", "n", "p50", "p99", "most", "p99 over alone", text=2),
    ]
    told = {"alone": "nothing", "loading": "a load at full speed", "filling": "filling of the accurate tier"}
    for when, name in told.items():
        for tier, one in of[when].items():
            p50, p99 = quantiles(one["ms"])
            over = p99 / quantiles(of["alone"][tier]["ms"])[1]
            lines.append(row(name, tier, len(one["ms"]), *(f"{t:,.1f}" for t in (p50, p99, max(one["ms"]), over))))
    rate = load["rows"] / max(load["wall"], 1e-9)
    lines += [
        "",
        f"Meanwhile {load['rows']:,} rows were loaded, {rate:,.0f} a second; and {fill['rows']:,} of {fill['of']:,} "
        f"rows were filled in {fill['wall']:,.0f} s.",
    ]
    return lines


def _flow(of: Figures) -> list[str]:
    lines = [
        f"{of['rows']:,} rows, loaded until they can be searched. Where fewer were embedded the time of the rest is in "
        "proportion, and their vectors are copies with a little noise. Translations: of the sample, both directions, "
        "first among the rows that were embedded. Queries are short sentences, embedding counted.",
        "",
        *header("", "embedded", "load, min", "CPU min", "query p50, ms", "p99", "translations", "peak MB", text=1),
    ]
    named = {f"kinprint, {tier}": found for tier, found in of["ours"].items()} | of["peers"]
    for name, one in named.items():
        p50, p99 = quantiles(one["ms"])
        first = f"{sum(rank == 1 for rank in one['ranks'])} of {len(one['ranks'])}"
        minutes = (f"{one[kind] / 60:,.1f}" for kind in ("wall", "cpu"))
        times = (f"{t:,.1f}" for t in (p50, p99))
        lines.append(row(name, f"{one['embedded']:,}", *minutes, *times, first, f"{one['peak']:,.0f}"))
    if "versions" in of:
        lines += ["", ", ".join(f"{name} {number}" for name, number in of["versions"].items()) + "."]
    return lines


SECTIONS: dict[str, tuple[str, Callable[[Figures], list[str]]]] = {
    "accurate": ("The accurate tier", _accurate),
    "fast": ("The fast tier", _fast),
    "load": ("Loading", _load),
    "search": ("Searching", _search),
    "calibration": ("What scores are worth", _calibration),
    "busy": ("Searches beside other work", _busy_table),
    "flow": ("End to end", _flow),
    "quality": ("How near the fast tier comes to the accurate one", lambda of: [of["report"]]),
}


def report(figures: Figures) -> str:
    """The report."""
    processor = figures["processor"]
    extra = [name for name, has in (("VNNI", processor["vnni"]), ("AMX int8", processor["amx"])) if has]
    lines = [
        "# The semantic channel, measured",
        "",
        "Written by `benchmarks/semantic.py`; targets are those that the channel was built for. `CPU` is the time of "
        "all threads of a process.",
        "",
        "```console",
        *HOW,
        "```",
        "",
        f"- Version: {figures['version']}; {figures['machine']}",
        f"- Processor: {processor['name']}, {processor['model']}, {' and '.join(extra) or 'without VNNI'}",
        f"- Transcripts: {', '.join(figures['files'])}, and the sample corpus",
        "",
        "## Figures",
        "",
        *header("", "measured", "target", text=1),
        *(row(text, _told(figures["sections"], cell), target) for text, cell, target in FIGURES),
    ]
    for name, (title, section) in SECTIONS.items():
        found = figures["sections"].get(name)
        if found is not None:
            took = f"Measured {found['date']}, in {found['took']:,.0f} s."
            lines += ["", f"## {title}", "", *section(found), "", took]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"
