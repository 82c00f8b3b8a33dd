"""Evidence reports and family trees as the server writes them, made from seeds, for tests of the pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FAMILIES = ("aurora", "borealis", "cirrus", "delta", "ember", "fathom", "granite", "harbor", "isthmus", "juniper")

SAMPLE = Path(__file__).parent / "data" / "evidence.json"

HOSTILE = (
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "</title></svg>\"'><svg onload=alert(1)>",
    "<iframe src='https://evil.example/x'></iframe>",
    "javascript:alert(1) {{ 7 * 7 }} {% raw %} $\\frac{1}{2}$ $unclosed",
    "\u202egnp.exe\u202c and \u2066isolated",
    "NUL \x00 bell \x07 escape \x1b[31m delete \x7f next \x85 line\r\nend",
    "lone \ud800 surrogate \udfff and nonchar \ufffe \U0001ffff",
    "x" * 4_000,
    "模型回答了这个问题。" * 12,
    "النموذج يجيب عن السؤال",
    "मॉडल प्रश्न का उत्तर देता है",
    "עברית with English and \u200f marks",
    "👩‍👩‍👧‍👦 zalgo Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A",
    "*/ } body { display: none } /* <!-- --> ]]>",
    "qz0000zq &amp; &#x3C;script&#x3E;",
    "",
)


def names(count: int) -> list[str]:
    """`aurora-7b`, `aurora-7b-chat`, ...: models of ten families."""
    forms = ("7b", "7b-chat", "70b-instruct", "mini-2025-04", "large-preview", "code-13b")
    made = []
    for at in range(count):
        family, turn = FAMILIES[at % len(FAMILIES)], at // len(FAMILIES)
        made.append(
            f"{family}-{forms[turn % len(forms)]}" + (f"-v{turn // len(forms) + 1}" if turn >= len(forms) else "")
        )
    return made


def clustered(count: int, seed: int = 0) -> tuple[np.ndarray, list[list[float]], list[int]]:
    """Scores, merges (average linkage) and leaf order of models in ten families."""
    draw = np.random.default_rng(seed)
    centers = draw.normal(size=(len(FAMILIES), 6))
    points = np.array([centers[at % len(FAMILIES)] + 0.35 * draw.normal(size=6) for at in range(count)])
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    scores = 4.0 - distance
    apart = distance + np.diag(np.full(count, np.inf))
    groups = {at: [at] for at in range(count)}
    nodes = {at: at for at in range(count)}
    merges: list[list[float]] = []
    for step in range(count - 1):
        left, right = sorted(int(place) for place in np.unravel_index(np.argmin(apart), apart.shape))
        low, high = len(groups[left]), len(groups[right])
        merges.append([float(nodes[left]), float(nodes[right]), float(apart[left, right]), float(low + high)])
        mean = (low * apart[left] + high * apart[right]) / (low + high)
        apart[left], apart[:, left] = mean, mean
        apart[left, left] = apart[right] = apart[:, right] = np.inf
        groups[left] += groups.pop(right)
        nodes[left] = count + step
    return scores, merges, next(iter(groups.values()))


def lineage(count: int, seed: int = 0, missing: float = 0.0) -> dict[str, Any]:
    """A family tree of `count` models; a share of the pairs has no score."""
    models = names(count)
    scores, merges, order = clustered(count, seed)
    table: list[list[float | None]] = [[round(float(score), 4) for score in row] for row in scores]
    draw = np.random.default_rng(seed + 1)
    for at in range(count):
        for across in range(at):
            if draw.random() < missing:
                table[at][across] = table[across][at] = None
    trees = dict(enumerate(f"'{model}'" for model in models))
    for at, (left, right, height, _) in enumerate(merges):
        trees[count + at] = f"({trees[int(left)]}:{height / 2:.3f},{trees[int(right)]}:{height / 2:.3f})"
    return {
        "models": models,
        "scores": table,
        "merges": merges,
        "order": order,
        "newick": trees[2 * count - 2] + ";",
        "cautions": ["3 models answered fewer than 50 prompts; their branches are uncertain."] if count > 10 else [],
        "corpus": "arena-2026",
    }


def _histogram(values: np.ndarray, low: float, high: float, bins: int) -> dict[str, Any]:
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    return {"edges": [round(float(edge), 4) for edge in edges], "counts": [int(count) for count in counts]}


def evidence(count: int = 24, seed: int = 0) -> dict[str, Any]:
    """A report on a pair that points to derivation, with every part filled; `count` models in map and tree."""
    draw = np.random.default_rng(seed)
    report: dict[str, Any] = json.loads(SAMPLE.read_text(encoding="utf-8"))
    models = [report["source"], *names(count)[1:-1], report["subject"]]
    _, merges, order = clustered(count, seed)
    center = np.array([[np.cos(at), np.sin(at)] for at in np.linspace(0, 6.28, 10, endpoint=False)])
    places = np.array([center[at % 10] * (1 + at % 3) + 0.3 * draw.normal(size=2) for at in range(count)])
    places[-1] = places[0] + [0.25, 0.1]
    report["map"] = {
        "models": models,
        "x": [round(float(place[0]), 4) for place in places],
        "y": [round(float(place[1]), 4) for place in places],
        "family": [model.split("-")[0] for model in models],
    }
    report["tree"] = {"models": models, "merges": merges, "order": order}
    for key, center_score, spread, pairs in (("null", 0, 0.6, 1128), ("kin", 1.3, 0.6, 96), ("derived", 3.1, 0.7, 41)):
        report["distribution"][key] = _histogram(draw.normal(center_score, spread, pairs), -2.5, 5.5, 40)
    others = sorted(((float(draw.normal(0.4, 0.8)), model) for model in models[1:-1]), reverse=True)[:19]
    report["controls"] += [
        {
            "model": model,
            "score": round(score, 3),
            "log10_lr": round(score - 2, 2) if at % 4 else None,
            "why": "same family as the subject" if at == 0 else "another family",
        }
        for at, (score, model) in enumerate(others)
    ]
    report["data"]["models"] = count
    return report


def replaced(value: Any, swap: Any) -> Any:
    """A copy in which `swap` has been applied to every leaf (`swap(leaf) -> leaf`)."""
    if isinstance(value, dict):
        return {key: replaced(item, swap) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, swap) for item in value]
    return swap(value)


def hostile(seed: int = 0) -> dict[str, Any]:
    """A report in which every string is one of HOSTILE, other than those that choose a way through the page."""
    draw = np.random.default_rng(seed)
    report = evidence()
    kept = {report["format"]}
    ids = {"derived", "trained_on", "convergence", "opening", "phrase", "word", "punctuation", "character"}

    def swap(leaf: Any) -> Any:
        if not isinstance(leaf, str) or leaf in kept or leaf in ids:
            return leaf
        return HOSTILE[int(draw.integers(len(HOSTILE)))]

    report = replaced(report, swap)
    report["subject"], report["source"] = HOSTILE[seed % len(HOSTILE)], HOSTILE[(seed + 5) % len(HOSTILE)]
    report["parameters"] = {text: text for text in HOSTILE}
    report["data"]["languages"] = dict.fromkeys(HOSTILE, 3)
    return report
