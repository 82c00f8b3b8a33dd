"""Sections `accurate` and `fast` of `semantic.py`: how quick texts become vectors, and how good these are."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import semantic_rows
from semantic_bench import Bench, interleaved, rates
from semantic_worker import Figures, Worker, WorkerError

WINDOW = 256
COSINE_TEXTS = 150
"""Sentences of each kind whose vectors are compared with those of the fp32 model, at most."""


def accurate(bench: Bench) -> Figures:
    """Section `accurate`."""
    texts = semantic_rows.answers(bench.frame, bench.sizes.texts)
    plain = semantic_rows.write_json(bench.work / "answers-plain.json", texts)
    prompt = bench.shape["prompt"]
    figures: Figures = {"texts": len(texts), "model": bench.shape, "threads": {}}
    fp32 = str(bench.work / "fp32")
    with bench.ours() as worker:
        worker.ask("split", texts=str(plain), out=str(bench.work / "answers-split.json"))
        if bench.peers_python:
            worker.ask("write_fp32", directory=bench.model, out=fp32)
        six = worker.ask("model", layers=6)
    split = json.loads((bench.work / "answers-split.json").read_text(encoding="utf-8"))
    # Other libraries are given the prompt with the text.
    semantic_rows.write_json(bench.work / "peers-plain.json", [prompt + text for text in texts])
    semantic_rows.write_json(bench.work / "peers-split.json", [[prompt + s for s in text] for text in split])
    figures["sentences"] = sum(map(len, split))
    for threads in bench.sizes.threads:
        with ExitStack() as stack:
            ours = stack.enter_context(bench.ours(threads))
            peers = stack.enter_context(bench.peers(threads))
            figures["threads"][threads] = _speeds(bench, ours, peers, six, len(texts), threads)
    with bench.ours(1) as ours, bench.peers(1) as peers:
        figures["cosine"] = _cosines(bench, ours, peers)
    return figures


def _speeds(
    bench: Bench, ours: Worker, peers: Worker | None, six: str | None, count: int, threads: int
) -> dict[str, Any]:
    """Texts a second of everyone."""
    ours.ask("load_accurate", name="twelve", directory=bench.model)
    ours.ask("load_accurate", name="window", directory=bench.model, max_windows=1)
    files = {form: str(bench.work / f"answers-{form}.json") for form in ("plain", "split")}
    everyone = {
        "kinprint, by sentence": partial(ours.ask, "embed", name="twelve", texts=files["split"]),
        f"kinprint, one window of {WINDOW} tokens": partial(ours.ask, "embed", name="window", texts=files["plain"]),
    }
    if six:
        ours.ask("load_accurate", name="six", directory=six)
        everyone["kinprint, 6 layers, by sentence"] = partial(ours.ask, "embed", name="six", texts=files["split"])
    if peers is not None:
        for library, directory in (("sentence_transformers", "fp32"), ("fastembed", "int8")):
            named = library.replace("_", "-")
            try:
                if library == "fastembed":
                    peers.ask("export_int8", fp32=str(bench.work / "fp32"), out=str(bench.work / "int8"))
                peers.ask(f"load_{library}", model=str(bench.work / directory), window=WINDOW)
            except WorkerError as error:
                print(error, flush=True)
                continue
            for form, told in (("split", "by sentence"), ("plain", f"one window of {WINDOW} tokens")):
                texts = str(bench.work / f"peers-{form}.json")
                everyone[f"{named}, {told}"] = partial(peers.ask, "embed", library=named, texts=texts)
    few = min(2, count)
    for run in everyone.values():
        run(first=0, last=few)  # untimed: what is allocated and compiled at first
    contestants = {name: lambda _, run=run: run(first=0, last=count) for name, run in everyone.items()}
    found: Figures = {"speeds": {k: rates(v) for k, v in interleaved(contestants, bench.sizes.rounds).items()}}
    if threads == 1:
        found["int8"] = _share_of_peak(bench, ours, found["speeds"], six, count)
    return found


def _share_of_peak(bench: Bench, ours: Worker, speeds: Figures, six: str | None, count: int) -> Figures:
    """Multiplications a second in the matrix products of the encoder's layers, over the most that there can be."""
    hidden, forward = bench.shape["hidden"], bench.shape["feed_forward"]
    peak = ours.ask("peak_int8", hidden=hidden, feed_forward=forward)
    work = {
        "qkv": 3 * hidden * hidden,
        "attention out": hidden * hidden,
        "feed forward in": hidden * forward,
        "feed forward out": hidden * forward,
    }
    tokens = ours.ask("tokens", name="twelve", texts=str(bench.work / "answers-split.json"), first=0, last=count)
    seconds = sum(work[name] / (peak[name] * 1e9) for name in work)
    shares = {}
    for name, layers in (("kinprint, by sentence", bench.shape["layers"]), ("kinprint, 6 layers, by sentence", 6)):
        if name in speeds:
            shares[name] = tokens / count * speeds[name]["cpu"] * layers * seconds
    return {
        "peak": peak,
        "peak_together": sum(work.values()) / seconds / 1e9,
        "tokens_a_text": tokens / count,
        "shares": shares,
    }


def _cosines(bench: Bench, ours: Worker, peers: Worker | None) -> Figures:
    """Cosines of int8 vectors to those of the fp32 model, of texts of many kinds; and of texts alone and in company."""
    from kinprint.server.embed import sentences_of
    from kinprint.server.embed.background import background_passages

    chance = np.random.default_rng(3)
    kinds: dict[str, list[str]] = {}
    for (language,), some in bench.frame.sort("language", maintain_order=True).group_by(
        "language", maintain_order=True
    ):
        sentences = [s for text in some["response"].head(400).to_list() for s in sentences_of(text)]
        kinds[f"answers, {language}"] = [sentences[k] for k in chance.permutation(len(sentences))[:COSINE_TEXTS]]
    hidden = [s for text in semantic_rows.sample()["response"].to_list() for s in sentences_of(text)]
    kinds["the sample, 5 languages"] = [hidden[k] for k in chance.permutation(len(hidden))[:COSINE_TEXTS]]
    passages = [s for passage in background_passages() for s in sentences_of(passage.text)]
    kinds["passages, 16 languages"] = [passages[k] for k in chance.permutation(len(passages))[:COSINE_TEXTS]]
    fenced = [text for text in bench.frame["response"].head(20_000).to_list() if "```" in text]
    code = [s for text in fenced[:60] for s in sentences_of(text.split("```")[1])]
    kinds["lines of code"] = [code[k] for k in chance.permutation(len(code))[:COSINE_TEXTS]]
    kinds |= semantic_rows.HARD
    everything = [(kind, text) for kind, texts in kinds.items() for text in dict.fromkeys(texts)]
    path = semantic_rows.write_json(bench.work / "cosine-all.json", [text for _, text in everything])
    ours.ask("load_accurate", name="twelve", directory=bench.model)
    short = str(bench.work / "cosine.json")
    kept = ours.ask("short_ones", name="twelve", texts=str(path), out=short)
    found: Figures = {"alone_and_together": ours.ask("same_alone", name="twelve", texts=short), "kinds": {}}
    if peers is None:
        return found
    texts = json.loads((bench.work / "cosine.json").read_text(encoding="utf-8"))
    asked = semantic_rows.write_json(bench.work / "cosine-peers.json", [bench.shape["prompt"] + t for t in texts])
    peers.ask("load_sentence_transformers", model=str(bench.work / "fp32"), window=512)
    vectors = []
    for worker, name, file in ((ours, "twelve", short), (peers, "sentence-transformers", str(asked))):
        which = {"name": name} if worker is ours else {"library": name}
        keep = str(bench.work / f"cosine-{name}.npy")
        worker.ask("embed", texts=file, first=0, last=len(texts), keep=keep, **which)
        made = np.load(keep)
        vectors.append(made / np.linalg.norm(made, axis=1, keepdims=True))
    cosines = (vectors[0] * vectors[1]).sum(axis=1)
    by = [everything[k][0] for k in kept]
    for kind in dict.fromkeys(by):
        some = cosines[[k == kind for k in by]]
        found["kinds"][kind] = {"texts": len(some), "least": float(some.min()), "mean": float(some.mean())}
    worst = int(cosines.argmin())
    found |= {"least": float(cosines[worst]), "worst": texts[worst][:80], "below": int((cosines < 0.999).sum())}
    found["texts"] = len(texts)
    return found


def fast(bench: Bench) -> Figures:
    """Section `fast`."""
    rounds, count = bench.sizes.rounds, bench.sizes.fast_texts
    figures: Figures = {"languages": {}, "threads": {}}
    files: dict[str, tuple[str, int, bool]] = {}
    languages = Counter(bench.frame["language"].to_list())
    for language, answers in languages.most_common():
        some = bench.frame.filter(bench.frame["language"] == language)["response"].to_list()
        # Every round has texts of its own: new to caches.
        each = min(count, answers // (rounds * len(bench.sizes.threads)))
        if each >= 50:
            some = some[: each * rounds * len(bench.sizes.threads)]
            path = semantic_rows.write_json(bench.work / f"fast-{language}.json", some)
            files[language] = str(path), each, True
    for language in semantic_rows.known_languages():
        if language not in files:
            each = min(count, 400)
            made = semantic_rows.made_texts(language, each * rounds * len(bench.sizes.threads), 165)
            path = semantic_rows.write_json(bench.work / f"fast-{language}.json", made)
            files[language] = str(path), each, False
    for position, threads in enumerate(bench.sizes.threads):
        with ExitStack() as stack:
            ours = stack.enter_context(bench.ours(threads))
            peers = stack.enter_context(bench.peers(threads))
            tokenizer = ours.ask("load_fast", directory=bench.table)["tokenizer"]
            if peers is not None:
                table = bench.work / "table.npy"
                ours.ask("write_table", out=str(table))
                peers.ask("load_model2vec", table=str(table), tokenizer=tokenizer)
                table.unlink()
            found = {}
            for language, (path, each, real) in files.items():
                base = position * rounds * each
                found[language] = _fast_speeds(ours, peers, path, base, each, rounds) | {"real": real}
            figures["threads"][threads] = found
    return figures


def _fast_speeds(ours: Worker, peers: Worker | None, path: str, base: int, each: int, rounds: int) -> Figures:
    """Texts a second of a language, each round its own texts."""

    def part(number: int, share: int = 1) -> dict[str, Any]:
        first = base + number * each
        return {"texts": path, "first": first, "last": first + max(1, each // share)}

    contestants = {
        "kinprint": lambda number: ours.ask("fast", **part(number)),
        "tokenizers alone": lambda number: ours.ask("tokenise", **part(number, 4)),
    }
    if peers is not None:
        contestants["model2vec"] = lambda number: peers.ask("embed", library="model2vec", **part(number, 8))
    return {name: rates(some) for name, some in interleaved(contestants, rounds).items()}
