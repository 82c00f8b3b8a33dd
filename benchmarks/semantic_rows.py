"""Rows and texts of `semantic.py`, drawn from files of transcripts; the same files and sizes give the same rows.

Some prompts are held out with all their answers: queries come from these, so that nothing that is searched has anything
to do with them but the subject. All transcripts of the sample corpus are among the rows.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parent.parent
SEED = 23
HELD_OUT = 0.03
"""Share of the prompts of each language that no row answers, two of them at least."""
PER_PROMPT = 12
"""Answers to one prompt that get accurate vectors, at most, so that there are many prompts among them."""
MINOR_SHARE = 0.3
"""Share of the rows with accurate vectors that are in other languages than most are, as far as there are so many."""
LENGTHS = (150, 350)
"""Words of an answer of about 250."""
HARD = {
    "emoji": ["😀😂🤣", "👩‍👩‍👧‍👦 🏳️‍🌈", "Great job! 🎉🎉🎉 See you at 🕗 tomorrow 🙏🏽.", "🔥"],
    "code": [
        "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }",
        'def f(x: int) -> str:\n    return f"{x:>08b}"',
        "SELECT name, COUNT(*) FROM users WHERE age >= 18 GROUP BY name HAVING COUNT(*) > 1;",
        '<div class="row"><a href="/x?y=1&amp;z=2">x</a></div>',
        "git rebase -i HEAD~3 && make -j8 2>&1 | tee build.log",
    ],
    "rare scripts": [
        "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ", "ᐃᓄᒃᑎᑐᑦ", "ჩემი სახელია ნინო და თბილისში ვცხოვრობ.", "Բարեւ ձեզ, ինչպե՞ս եք:",
        "ສະບາຍດີ ຂ້ອຍມາຈາກວຽງຈັນ", "བཀྲ་ཤིས་བདེ་ལེགས།", "ⵜⴰⵎⴰⵣⵉⵖⵜ", "សួស្តី ពិភពលោក", "አማርኛ የኢትዮጵያ ቋንቋ ነው።",
    ],
    "short": ["Yes.", "no", "42", "Why?", "OK", "?", "don't", "…"],
    "mixed": [
        "Das Meeting ist um 3pm, 我们在大厅见面, ок?",
        "xX_9f8a7b6c5d_Xx 0x1F4A9 1,234,567.89 € 50 %",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "https://example.org/a/b?c=d&e=f#g",
        "zażółć gęślą jaźń; Ω≈ç√∫˜µ≤≥÷ ½ ①②③ ﬁ ﷽",
    ],
}  # fmt: skip
"""Texts on which quantised models tend to err."""


class Rows(NamedTuple):
    """What was drawn."""

    rows: pl.DataFrame
    """id, model, prompt_id, response, language; the sample's first."""
    accurate: list[str]
    """Ids of the rows that get vectors of the accurate model; those of the sample first."""
    held_out: pl.DataFrame
    """The same columns, of the answers to prompts that were held out."""


def without_reasoning(text: str) -> str:
    """What follows a block of reasoning."""
    return text.rpartition("</think>")[2].strip()


def sample() -> pl.DataFrame:
    """The transcripts of the sample corpus, as rows."""
    lines = [
        json.loads(line)
        for path in sorted((ROOT / "sample" / "transcripts").glob("*.ndjson"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return pl.DataFrame(
        {
            "id": [line["transcript_id"] for line in lines],
            "model": [line["model"] for line in lines],
            "prompt_id": [line["prompt_id"] for line in lines],
            "response": [line["response"] for line in lines],
            "language": [line["transcript_id"][:2] for line in lines],
        }
    )


def relations(kind: str) -> list[tuple[str, str]]:
    """Pairs of ids of the sample corpus that are related so."""
    with (ROOT / "sample" / "relations.csv").open(encoding="utf-8", newline="") as file:
        return [
            (line["transcript_id"], line["source_transcript_id"])
            for line in csv.DictReader(file)
            if line["relation"] == kind
        ]


def read(paths: Sequence[Path]) -> pl.DataFrame:
    """All answers of some files of transcripts, in an order that mixes prompts and models."""
    frames = []
    for path in paths:
        frame = pl.read_parquet(path)
        missing = {"prompt_id", "response", "language"} - set(frame.columns)
        if missing:
            raise SystemExit(f"{path.name} has no column {', '.join(sorted(missing))}")
        model = pl.col("model") if "model" in frame.columns else pl.lit(path.stem)
        frames.append(
            frame.select(
                id=pl.lit(f"{path.stem}-") + pl.int_range(pl.len()).cast(pl.String),
                model=model.cast(pl.String),
                prompt_id=pl.lit(f"{path.stem}/") + pl.col("prompt_id").cast(pl.String),
                response=pl.col("response").fill_null("").map_elements(without_reasoning, pl.String),
                language=pl.col("language").fill_null("").str.slice(0, 2),
            )
        )
    frame = pl.concat(frames).filter(pl.col("response") != "")
    if frame.is_empty():
        raise SystemExit("the files hold no answers")
    return frame.sample(fraction=1, shuffle=True, seed=SEED)


def draw(frame: pl.DataFrame, rows: int, accurate: int) -> Rows:
    """Rows among those of `read`, `rows` of them with the sample's, and `accurate` beside the sample's chosen."""
    held: list[str] = []
    for (_language,), some in frame.sort("language", maintain_order=True).group_by("language", maintain_order=True):
        prompts = some["prompt_id"].unique().sort().to_list()
        random.Random(SEED).shuffle(prompts)
        held += prompts[: max(2, round(HELD_OUT * len(prompts)))]
    out = pl.col("prompt_id").is_in(held)
    held_out, known = frame.filter(out), frame.filter(~out)
    most = known["language"].mode().sort()[0]
    major, minor = known.filter(pl.col("language") == most), known.filter(pl.col("language") != most)
    hidden = sample()
    chosen = pl.concat([minor, major]).head(max(0, rows - hidden.height)).sample(fraction=1, shuffle=True, seed=SEED)
    spoken = [_of_many_prompts(chosen.filter((pl.col("language") == most) == own)) for own in (False, True)]
    picked = [*hidden["id"].to_list(), *_mixed(*spoken)[:accurate]]
    return Rows(pl.concat([hidden, chosen]), picked, held_out)


def _mixed(minor: list[str], major: list[str]) -> list[str]:
    """One list of both, `MINOR_SHARE` of it from the first as long as that lasts: the beginning of a longer one."""
    made: list[str] = []
    taken = 0
    while taken < len(minor) or len(made) - taken < len(major):
        if taken < len(minor) and (taken < MINOR_SHARE * (len(made) + 1) or len(made) - taken == len(major)):
            made.append(minor[taken])
            taken += 1
        else:
            made.append(major[len(made) - taken])
    return made


def _of_many_prompts(frame: pl.DataFrame) -> list[str]:
    """Ids of rows: up to `PER_PROMPT` of a prompt, then of the next."""
    prompts = frame["prompt_id"].unique().sort().to_list()
    random.Random(SEED).shuffle(prompts)
    place = {prompt: k for k, prompt in enumerate(prompts)}
    few = frame.filter(pl.int_range(pl.len()).over("prompt_id") < PER_PROMPT)
    few = few.sort(pl.col("prompt_id").replace_strict(place, return_dtype=pl.Int64), maintain_order=True)
    return few["id"].to_list()


def answers(frame: pl.DataFrame, count: int, language: str = "en") -> list[str]:
    """Answers of about 250 words."""
    words = pl.col("response").str.count_matches(r"\S+")
    some = frame.filter((pl.col("language") == language) & words.is_between(*LENGTHS))
    return some["response"].head(count).to_list()


def made_texts(language: str, count: int, words: int) -> list[str]:
    """Texts in a language of which the package ships some passages: their words at random, one in five altered.

    Two letters of every fifth word are replaced by others of the language, which makes it new to a tokenizer; the other
    words repeat more than they do in real text.
    """
    from kinprint.server.embed.background import background_passages

    texts = [p.text for p in background_passages() if p.language == language]
    texts += sample().filter(pl.col("language") == language)["response"].to_list()
    spaced = re.findall(r"\S+", " ".join(texts))
    if len(spaced) < 400:  # a script without spaces: pieces of it
        whole = "".join(texts)
        spaced = [whole[i : i + 2] for i in range(len(whole) - 1)]
    chance = np.random.default_rng(SEED)
    letters = "".join(texts).replace(" ", "")
    made = []
    for _ in range(count):
        some = [spaced[k] for k in chance.integers(len(spaced), size=words)]
        for k in range(0, words, 5):
            word = list(some[k])
            for at in chance.integers(len(word), size=2).tolist():
                word[at] = letters[int(chance.integers(len(letters)))]
            some[k] = "".join(word)
        made.append(" ".join(some))
    return made


def known_languages() -> list[str]:
    """Languages of which `made_texts` has passages."""
    from kinprint.server.embed.background import background_passages

    return sorted({p.language for p in background_passages()})


def write_json(path: Path, content: Any) -> Path:
    """Write JSON, by a rename."""
    scratch = path.with_suffix(".unfinished")
    scratch.write_text(json.dumps(content), encoding="utf-8")
    scratch.rename(path)
    return path
