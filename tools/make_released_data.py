"""Write `tests/data/released/<version>/`: a data directory of the installed version, and what it answers about it.

Run by hand once for each release, from a checkout of it::

    python tools/make_released_data.py

`tests/e2e/test_released_data.py` holds every later version to it. An existing folder is not written again: what a
version has written stays as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import lineage_corpus  # noqa: E402
import released_data  # noqa: E402
from kinprint.client import Client, PanelEdge, PanelMember, Transcript, connect  # noqa: E402
from tiny_model import write_tiny_model  # noqa: E402

ALL = ("copy", "style", "semantic")
LETTERS, NOTES, LINEAGE, EMPTY = "Letters", "notes.v1", "lineage", "empty"

# Twenty families: the least that gives p-values. Twenty answers: the least that gives attributions.
MODELS = lineage_corpus.make_models(families=20, each=2)
PROMPTS = 20
MEMBERS = [{"model": m.name, "family": m.family} for m in MODELS]
EDGES = [{"model": m.name, "related_to": m.parent, "relation": "fine_tune"} for m in MODELS if m.parent]

OWL = (
    "An owl hears a mouse under a hand of snow because its ears sit at different heights, and the sound that reaches "
    "one a little later tells it how far up the mouse is. Its feathers are combed at the edges, so that nothing of its "
    "flight is heard."
)
LICENCE = (
    "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated "
    'documentation files (the "Software"), to deal in the Software without restriction, including without limitation '
    "the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software."
)
CODE = """Like this:

```python
def mean(values):
    total = 0.0
    for value in values:
        total += value
    return total / max(len(values), 1)
```

It returns nought for no values."""
WORDS = (
    "river stone market letter window garden engine paper silver winter bridge candle orchard signal harbour "
    "mountain teacher kitchen journey pattern morning library weather council shadow copper meadow"
)
JAPANESE = "声に出して読むと、目は声の速さまでゆっくりになります。黙読では見過ごした間違いが、はっきり聞こえてきます。"
ARABIC = "القراءة بصوت عالٍ تُبطئ العين إلى سرعة الصوت، وعندئذ تصبح الأخطاء مسموعة: كلمة ناقصة، جملة لا تنتهي."
HINDI = "ज़ोर से पढ़ने पर आँख आवाज़ की गति तक धीमी हो जाती है, और तब गलतियाँ सुनाई देने लगती हैं।"
THAI = "การอ่านออกเสียงทำให้สายตาช้าลงเท่าความเร็วของเสียง แล้วข้อผิดพลาดก็จะได้ยินชัดเจน"
KOREAN = "소리 내어 읽으면 눈이 목소리의 속도로 느려지고, 그러면 실수가 귀에 들린다."

TEXTS = [
    OWL,
    OWL.upper(),
    OWL.replace(" ", "  \n"),
    JAPANESE,
    ARABIC,
    HINDI,
    THAI,
    KOREAN,
    CODE,
    LICENCE,
    "Ἐν ἀρχῇ ἦν ὁ λόγος, καὶ ὁ λόγος ἦν πρὸς τὸν θεόν, καὶ θεὸς ἦν ὁ λόγος.",
    "Пишите письма! Не забывайте - и вам ответят; «кавычки» тоже считаются…",
    "朗读会让眼睛慢下来，慢到声音的速度，于是默读时一滑而过的错误就听得见了。",
    "cafe\u0301 caf\u00e9 ﬁne ﬁﬂ ½ Straße STRASSE ſtill İstanbul ΣΑΣ ᾴ",
    "zero\u200dwidth soft\u00adhyphen\ufeff and\u00a0spaces\u3000of\u2028many kinds\u0085here",
    "👩‍👩‍👧‍👦 👍🏽 🇫🇷 family, thumb and flag 𝐀𐐀 \U0010ffff",
    "nul\0byte and \x1f unit separator",
    "one",
    "two words",
    "a b c d e f g h i j k l m n o p",
    "!!! ... ??? --- ;;; ((()))",
    "word " * 400,
]


def sample_rows(language: str, count: int) -> list[dict[str, Any]]:
    """The first rows of the sample corpus in a language."""
    path = ROOT / "sample" / "transcripts" / f"{language}.ndjson"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:count]]


def letters_rows(copied: str) -> list[Transcript]:
    """Rows of all kinds of fields and texts; one quotes `copied`."""
    long_prompt = (
        "Please repeat this sentence word by word and then explain it: the quick brown fox jumps over the lazy dog "
        "while twelve grey geese look on from the far bank."
    )
    quoted = long_prompt.split(": ")[1]
    return [
        Transcript(OWL, id="owl", model="anna", prompt_id="owl", prompt="How do owls hunt?", account_id="k1", turn=0),
        Transcript(OWL, id="owl-again", model="bert", prompt_id="owl", prompt="How do owls hunt?"),
        Transcript(OWL.replace("mouse", "vole"), id="owl-edited", model="carl", prompt="How do owls hunt?"),
        Transcript(f"<think>Ears, then feathers.</think>{OWL} So it hunts by ear.", id="owl-thought", model="carl"),
        Transcript(f"Someone wrote this: {copied} I agree.", id="quote", model="bert", language="en"),
        Transcript("", id="blank", model="anna"),
        Transcript(" \n\t\u3000", id="spaces", model="anna", language="en"),
        Transcript("nul\0byte and emoji 🌊 stay as they are", id="odd", system_prompt="Be odd.", conversation_id="c"),
        Transcript(
            "A row with every field that there is, and enough words in it to have a style of its own, one would hope.",
            id="full/ид 全",
            model="dora",
            prompt_id="full",
            prompt="Say something.",
            language="en-GB",
            account_id="k2",
            created_at=datetime(2026, 3, 1, 12, 30, 0, 123456, UTC),
            metadata={"source": "forum", "score": "0.5", "empty": "", "ключ": "значение"},
            system_prompt="Be plain.",
            conversation_id="talk-1",
            turn=3,
            reasoning="They want any sentence.",
        ),
        Transcript(
            "Nobody gave this row an id, a model or a prompt; its id comes of what it says and where it stands."
        ),
        Transcript(
            "Nobody gave this row an id, a model or a prompt; its id comes of what it says and where it stands."
        ),
        Transcript(JAPANESE, id="ja", model="dora", prompt="なぜ音読するのですか。", language="ja"),
        Transcript(ARABIC, id="ar", model="dora", language="ar"),
        Transcript(HINDI, id="hi", model="anna"),
        Transcript(THAI, id="th", model="anna", language="th"),
        Transcript(KOREAN, id="ko", model="bert", created_at=datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)),
        Transcript(CODE, id="code-a", model="anna", prompt="A mean, please."),
        Transcript(CODE.replace("nought", "zero"), id="code-b", model="bert", prompt="Write a mean."),
        Transcript(LICENCE, id="licence-a", model="anna"),
        Transcript(f"The text of it: {LICENCE}", id="licence-b", model="carl"),
        Transcript(f"Here it is: {quoted} It holds every letter.", id="prompted-a", model="anna", prompt=long_prompt),
        Transcript(f"As you wish. {quoted} A pangram.", id="prompted-b", model="carl", prompt=long_prompt),
        Transcript("short", id="short", model="bert", language="en"),
    ]


def write_letters(client: Client) -> None:
    """Languages, fields and channels of all kinds; a small generation, and a record that goes on after it."""
    client.create_corpus(LETTERS, "Answers of all kinds. Ответы. 回答。")
    english, german = sample_rows("en", 20), sample_rows("de", 8)
    spanish, ukrainian, chinese = sample_rows("es", 6), sample_rows("uk", 6), sample_rows("zh", 8)
    client.upsert(LETTERS, [*english, *german], channels=ALL)
    client.upsert(LETTERS, spanish, channels=("copy",))
    client.upsert(LETTERS, ukrainian, channels=("semantic",))
    client.upsert(LETTERS, chinese)
    client.upsert(LETTERS, letters_rows(english[3]["response"]), channels=ALL)
    client.upsert(LETTERS, spanish, channels=ALL)
    client.upsert(LETTERS, [{**english[0], "response": "Replaced before the indexes were written."}], channels=ALL)
    client.delete(LETTERS, [german[0]["transcript_id"], "no such id"])
    client.purge(LETTERS, [german[1]["transcript_id"]])
    # From here on only the record knows.
    client.upsert(LETTERS, sample_rows("en", 32)[24:], channels=ALL)
    client.upsert(LETTERS, [Transcript("Late and blank.", id="late"), Transcript("  ", id="late-blank")], channels=ALL)
    client.upsert(LETTERS, [{**english[1], "response": english[1]["response"] + " Replaced after."}], channels=ALL)
    client.upsert(LETTERS, chinese[:5], channels=("semantic",))
    client.upsert(LETTERS, ukrainian[:3], channels=("copy", "style"))
    client.upsert(LETTERS, [english[5]], channels=ALL)  # changes nothing
    client.delete(LETTERS, [english[2]["transcript_id"], german[2]["transcript_id"]])
    client.upsert(LETTERS, [german[2]], channels=("copy",))
    client.upsert(LETTERS, [Transcript("Written and deleted.", id="gone")])
    client.delete(LETTERS, ["gone"])


def notes() -> Iterator[Transcript]:
    """Short texts, a third of them edits of ones before."""
    chance = random.Random(9)
    words = WORDS.split()
    texts: list[list[str]] = []
    k = 0
    while True:
        text = chance.choices(words, k=30)
        if texts and chance.random() < 0.35:
            text = [chance.choice(words) if chance.random() < 0.05 else word for word in chance.choice(texts)]
        texts.append(text)
        model = chance.choice(("anna", "bert", "carl"))
        yield Transcript(
            " ".join(text).capitalize() + ".", id=f"note-{k:03}", model=model, prompt_id=f"p{k % 20}", language="en"
        )
        k += 1


def write_notes(client: Client, data: Path) -> None:
    """Many small commits: the record gets compacted, the generation has two segments and dead rows."""
    source = notes()
    first = [next(source) for _ in range(160)]
    client.upsert(NOTES, first)
    client.upsert(NOTES, first[:40], channels=ALL)
    client.purge(NOTES)
    for row in first[1::4]:
        client.delete(NOTES, [str(row.id)])
    later = [next(source) for _ in range(45)]
    for draft in range(4):
        for row in later:
            text = row.response if draft == 3 else f"Draft {draft}. {row.response}"
            client.upsert(NOTES, [Transcript(text, id=row.id, model=row.model, prompt_id=row.prompt_id, language="en")])
    released_data.wait_for_generation(data, NOTES, 2)
    client.upsert(NOTES, [next(source) for _ in range(12)])
    client.delete(NOTES, [str(first[50].id), str(later[0].id)])
    client.upsert(NOTES, [Transcript("Replaced after the compaction.", id=first[60].id, model="anna")])
    client.upsert(NOTES, [Transcript(f"A letter says: {OWL}", id="of-a-letter", model="bert")], channels=ALL)


def write_data(client: Client, data: Path, folder: Path) -> None:
    """Fill the data directory, and make the documents beside it."""
    client.create_corpus(EMPTY, "Nothing yet.")
    write_letters(client)
    write_notes(client, data)
    # Short of what is worth a generation: every start reads this corpus from its record.
    client.upsert(LINEAGE, lineage_corpus.make_rows(MODELS, prompts=PROMPTS), channels=("copy",))
    members = [PanelMember(**member) for member in MEMBERS]
    edges = [PanelEdge(**edge) for edge in EDGES]
    client.fit_panel(LINEAGE, members, edges, seed=5).save(folder / "panel.json")


def calls(client: Client) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is asked: calls of the client (see `released_data.ask`) with JSON arguments."""
    yield "list_corpora", {}
    for corpus in (LETTERS, NOTES, LINEAGE, EMPTY):
        yield "get_corpus", {"name": corpus}
    yield "list", {"corpus": LETTERS}
    yield "list", {"corpus": NOTES, "filter": {"models": ["anna"]}, "page_size": 7}
    yield "list", {"corpus": LETTERS, "filter": {"created_from": "2026-03-10T00:00:00+00:00", "languages": ["en"]}}
    for corpus in (NOTES, LINEAGE, EMPTY):
        yield "list_digests", {"corpus": corpus}
    yield "export", {"corpus": LETTERS}
    yield "get", {"corpus": LETTERS, "transcript_id": "full/ид 全"}
    yield "get", {"corpus": LETTERS, "transcript_id": "owl-thought"}
    yield "fingerprint", {"texts": TEXTS, "channels": ALL}
    yield "fingerprint", {"texts": [row.response for row in client.list(LETTERS) if row.response.strip()]}
    yield "server_info", {}  # the model is loaded by now
    yield from searches(client)
    yield from comparisons()
    yield from runs()


def searches(client: Client) -> Iterator[tuple[str, dict[str, Any]]]:
    stored = {str(row.id): row for row in client.list(LETTERS)}
    german = next(row.response for row in stored.values() if row.language == "de")
    for text in (OWL, stored["quote"].response, german, JAPANESE, CODE, "short"):
        yield "search", {"text": text, "corpus": LETTERS, "channels": ALL, "top": 8}
    note = next(client.list(NOTES))
    yield "search", {"text": note.response, "corpus": NOTES, "channels": ALL, "top": 10}
    yield "search", {"text": note.response[10:150], "corpora": [LETTERS, NOTES], "top": 10, "max_spans": 2}
    yield "search", {"id": note.id, "corpus": NOTES, "channels": ["copy", "style"], "top": 10}
    yield "search", {"id": "owl", "corpus": LETTERS, "channels": ALL, "top": 5, "min_score": 0.2}
    only = {"models": ["anna", "bert"], "languages": ["en"]}
    yield "search", {"text": OWL, "corpus": LETTERS, "channels": ALL, "filter": only, "top": 5}
    late = {"created_from": "2026-03-01T00:00:00+00:00", "created_before": "2026-04-01T00:00:00+00:00"}
    yield (
        "search",
        {"text": stored["full/ид 全"].response, "corpus": LETTERS, "channels": ALL, "filter": late, "top": 5},
    )
    other = {"exclude_models": ["anna"]}
    yield "search", {"text": OWL, "corpora": [NOTES, LETTERS], "channels": ALL, "filter": other, "top": 4}
    yield "search", {"text": ARABIC, "corpus": LETTERS, "channels": ["semantic"], "query_language": "ar", "top": 5}
    yield "search", {"text": lineage_corpus.answer(MODELS[0], 3), "corpus": LINEAGE, "top": 6}
    yield "search", {"text": f"<think>no</think> {OWL.lower()}", "corpus": LETTERS, "top": 3}


def comparisons() -> Iterator[tuple[str, dict[str, Any]]]:
    owl = {"corpus": LETTERS, "id": "owl"}
    yield "compare", {"a": owl, "b": {"corpus": LETTERS, "id": "owl-edited"}}
    yield "compare", {"a": OWL, "b": OWL.replace(", and", ". And"), "max_spans": 1}
    yield "compare", {"a": JAPANESE, "b": JAPANESE[8:]}
    yield "compare", {"a": owl, "b": HINDI, "channels": ["style", "semantic"]}


def runs() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "find_duplicates", {"corpora": LETTERS, "threshold": 0.3}
    yield "find_duplicates", {"corpora": [NOTES], "threshold": 0.5, "exact": True}
    yield "find_duplicates", {"corpora": NOTES, "threshold": 0.5, "against": [LETTERS]}
    yield "find_duplicates", {"corpora": [LETTERS, NOTES], "threshold": 0.7, "expand": True}
    yield "find_clusters", {"corpora": [LETTERS, NOTES], "threshold": 0.5}
    yield "find_overlaps", {"corpora": LETTERS, "against": LETTERS}
    yield "find_overlaps", {"corpora": [LETTERS], "against": [LETTERS], "every": True, "min_tokens": 8}
    yield "find_overlaps", {"corpora": [NOTES], "against": [LETTERS], "every": True, "min_tokens": 8}
    bert = {"models": ["bert"]}
    yield "find_overlaps", {"corpora": NOTES, "against": NOTES, "filter": bert, "unmarked": True, "min_bits": 5.0}
    names = [m.name for m in MODELS]
    fit = {"corpus": LINEAGE, "members": MEMBERS}
    yield "refit_panel", {**fit, "edges": EDGES, "seed": 5}
    yield "inspect_panel", {"panel": "panel.json"}
    yield "find_kinship", {"corpus": LINEAGE, "panel": "panel.json"}
    yield "find_kinship", {"corpus": LINEAGE, "models": names[:6]}
    yield "find_lineage", {"corpus": LINEAGE, "panel": "panel.json", "filter": {"models": names[:12]}}
    pair = {"corpus": LINEAGE, "subject": names[1], "source": names[0]}
    yield "build_evidence", {**pair, "panel": "panel.json", "also": [[names[3], names[2]]]}
    texts = [
        {"text": lineage_corpus.answer(MODELS[k], 700 + n, 1), "set_id": f"of {names[k]}"}
        for k in (0, 6)
        for n in range(6)
    ]
    texts.append({"text": "Far too short.", "id": "short"})
    some = {"models": names[:16:2], "filter": {"models": names[:16]}}
    yield "attribute", {"corpus": LINEAGE, "texts": texts, **some, "panel": "panel.json", "seed": 3}


def make(folder: Path) -> None:
    """Write all that is kept of the installed version into `folder`, which must not exist."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) / "released"
        data, model = work / "data", write_tiny_model(work / "model")
        os.environ["KINPRINT_CACHE"] = str(Path(scratch) / "cache")
        with connect(data, model=model, start_timeout=3600) as client:
            version = client.server_info().version
            write_data(client, data, work)
        _tidy(data)
        folder.mkdir(parents=True)
        released_data.pack(work, folder / released_data.ARCHIVE)
        with connect(data, model=model, start_timeout=3600) as client:
            answers = []
            for call, arguments in calls(client):
                began = time.monotonic()
                plain = json.loads(json.dumps(arguments))
                answers.append(
                    {"call": call, "arguments": plain, "answer": released_data.ask(client, work, call, plain)}
                )
                print(f"{call}: {time.monotonic() - began:.2f} s", file=sys.stderr)
            made = {"version": version, "environment": released_data.environment(client), "answers": answers}
            released_data.write_expected(folder / released_data.EXPECTED, made)
        fresh = Path(scratch) / "fresh"
        with connect(fresh, model=model) as client:
            released_data.write_rows(client, fresh)
        released_data.write_json(folder / released_data.LAYOUT, released_data.written_layout(fresh))


def _tidy(data: Path) -> None:
    """Remove what belongs to a running server, and see that the data holds what it is made to hold."""
    (data / "server.log").unlink(missing_ok=True)
    manifests = {}
    for path in data.glob("corpora/*/generations/*/manifest.json"):
        corpus = path.parents[2].name.rpartition("-")[0]
        assert corpus not in manifests, "one generation a corpus"
        manifests[corpus] = json.loads(path.read_text(encoding="utf-8"))
    assert set(manifests) == {LETTERS.lower(), NOTES}
    segments = [(one["rows"], one["dead"]) for one in manifests[NOTES]["segments"]]
    print(f"generation of {NOTES}: (rows, dead) {segments}", file=sys.stderr)
    assert len(segments) > 1
    assert any(dead for _rows, dead in segments)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="the folder to write; default: that of the installed version")
    out = parser.parse_args().out
    if out is None:
        from importlib.metadata import version

        out = released_data.FOLDER / version("kinprint")
    if out.exists():
        raise SystemExit(f"{out} exists: what a version has written stays as it is")
    try:
        make(out)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
