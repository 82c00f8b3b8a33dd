"""The lineage calls of the synchronous and the asyncio client, the frames, and the commands, on a real server."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lineage_corpus
import polars as pl
import pytest
from kinprint.client import (
    Client,
    Filter,
    InvalidArgumentError,
    NotFoundError,
    PanelEdge,
    PanelFile,
    PanelMember,
    UnknownText,
    aconnect,
    connect,
)
from kinprint.client import frames as kp
from kinprint.client.cli import terminal
from kinprint.client.cli.app import app
from kinprint.client.wire.sync import Stream
from kinprint.report import render
from typer.testing import CliRunner, Result

CORPUS = "lineage-calls"
MODELS = lineage_corpus.make_models()
NAMES = [model.name for model in MODELS]
PAIRS = len(MODELS) * (len(MODELS) - 1) // 2
MEMBERS = [PanelMember(m.name, m.family) for m in MODELS]
EDGES = [PanelEdge(m.name, m.parent, "fine_tune") for m in MODELS if m.parent]
# Four models of two families: too few for a background.
FEW = MODELS[:4]


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Client]:
    lineage_corpus.load(server.address, CORPUS, lineage_corpus.make_rows(MODELS))
    lineage_corpus.load(server.address, f"{CORPUS}-few", lineage_corpus.make_rows(FEW))
    with connect(server.address) as made:
        yield made


@pytest.fixture(scope="module")
def panel(client: Client) -> PanelFile:
    return client.fit_panel(CORPUS, MEMBERS, EDGES)


def unknown(k: int, texts: int = 6) -> list[UnknownText]:
    return [
        UnknownText(lineage_corpus.answer(MODELS[k], 700 + n, 1), set_id=f"of {MODELS[k].name}") for n in range(texts)
    ]


# Clients


def test_both_clients_give_the_same(server: Any, client: Client, panel: PanelFile) -> None:
    steps: list[float] = []
    texts = [*unknown(0), *unknown(6), "Far too short."]

    async def ask() -> list[Any]:
        async with await aconnect(server.address) as other:
            fitted = await other.fit_panel(CORPUS, MEMBERS, EDGES, progress=lambda p: steps.append(p.share))
            kinship = await other.find_kinship(CORPUS, panel=fitted, models=NAMES[:5])
            pairs = [batch async for batch in kinship]
            attribution = await other.attribute(CORPUS, texts, models=NAMES[::3], seed=3)
            sets = [found async for batch in attribution for found in batch]
            evidence = await other.build_evidence(CORPUS, NAMES[1], NAMES[0], panel=fitted, also=[(NAMES[4], NAMES[3])])
            tree = await other.find_lineage(CORPUS, filter=Filter(models=NAMES[:7]))
            summary = await other.inspect_panel(fitted)
            return [fitted, pairs, kinship.summary, sets, attribution.summary, evidence, tree, summary]

    kinship = client.find_kinship(CORPUS, panel=panel, models=NAMES[:5])
    pairs = list(kinship)
    attribution = client.attribute(CORPUS, texts, models=NAMES[::3], seed=3)
    sets = [found for batch in attribution for found in batch]
    evidence = client.build_evidence(CORPUS, NAMES[1], NAMES[0], panel=panel, also=[(NAMES[4], NAMES[3])])
    tree = client.find_lineage(CORPUS, filter=Filter(models=NAMES[:7]))
    asked = asyncio.run(ask())
    mine = [panel, pairs, kinship.summary, sets, attribution.summary, evidence, tree, client.inspect_panel(panel)]
    for one, other in zip(mine[:6], asked[:6], strict=True):
        assert one == other
    assert tree.models == asked[6].models
    assert tree.newick == asked[6].newick
    assert tree.scores.data == asked[6].scores.data
    assert mine[7] == asked[7] == panel.summary
    assert steps == sorted(steps)
    assert steps


def test_answers_tell_what_they_were_made_with_and_from(client: Client, panel: PanelFile) -> None:
    search = client.find_kinship(CORPUS, panel=panel, models=NAMES[:5])
    list(search)
    attribution = client.attribute(CORPUS, unknown(0), models=NAMES[::3], seed=3)
    list(attribution)
    tree = client.find_lineage(CORPUS, filter=Filter(models=NAMES[:7]))
    evidence = client.build_evidence(CORPUS, NAMES[1], NAMES[0], panel=panel)
    assert search.summary is not None
    assert attribution.summary is not None
    record = client.get_corpus(CORPUS)
    for told in (search.summary.provenance, attribution.summary.provenance, tree.provenance):
        assert told is not None
        (state,) = told.corpora
        assert (state.corpus, state.record_version) == (CORPUS, record.record_version)
        assert state.transcripts == record.transcripts
        assert len(state.record_entry) == 64
        assert told.kinprint
        assert told.pipeline
    kinship, attributed, arranged = (
        found.provenance for found in (search.summary, attribution.summary, tree) if found.provenance is not None
    )
    assert (kinship.panel_digest, kinship.kinship_scheme) == (panel.summary.digest, panel.summary.scheme)
    assert json.loads(kinship.parameters) == {"corpus": CORPUS, "models": NAMES[:5]}
    assert (attributed.panel_digest, attributed.seed) == ("", 3)
    assert json.loads(attributed.parameters) == {"corpus": CORPUS, "models": NAMES[::3], "seed": "3"}
    assert (arranged.panel_digest, arranged.seed) == ("", None)
    assert json.loads(arranged.parameters) == {"corpus": CORPUS, "filter": {"models": NAMES[:7]}}
    document = evidence.report["provenance"]
    assert document["kinship_scheme"] == panel.summary.scheme
    (state,) = document["corpora"]
    assert (state["record_version"], state["record_entry"]) == (
        kinship.corpora[0].record_version,
        kinship.corpora[0].record_entry,
    )
    page = render(evidence.report).decode()
    assert state["record_entry"] in page
    assert "Record and pipeline" in page


def test_of_a_long_question_the_digest_is_told(client: Client) -> None:
    names = NAMES[:3] * 700
    told = client.find_lineage(CORPUS, filter=Filter(models=names)).provenance
    assert told is not None
    whole = json.dumps({"corpus": CORPUS, "filter": {"models": names}}, sort_keys=True, separators=(",", ":"))
    assert told.parameters == f"sha256:{hashlib.sha256(whole.encode()).hexdigest()}"


def test_attribution_tells_sets_apart(client: Client) -> None:
    texts = [text for k in (0, 3, 6, 9) for text in unknown(k)]
    with client.attribute(CORPUS, texts, models=NAMES[::3]) as found:
        sets = [one for batch in found for one in batch]
    assert [one.set_id for one in sets] == [f"of {NAMES[k]}" for k in (0, 3, 6, 9)]
    first = [next(c.model for c in one.candidates if c.model is not None) for one in sets]
    assert sum(model == NAMES[k] for model, k in zip(first, (0, 3, 6, 9), strict=True)) >= 3
    assert found.summary is not None
    assert [model.model for model in found.summary.models] == sorted(NAMES[::3])


def test_many_texts_are_sent_in_batches(client: Client) -> None:
    texts = (UnknownText("word " * 5_000, id=str(k)) for k in range(900))  # 22 MB
    with client.attribute(CORPUS, texts, models=NAMES[::3]) as found:
        ids = [one.id for batch in found for one in batch]
    assert ids == [str(k) for k in range(900)]


def test_what_the_server_refuses(client: Client) -> None:
    with pytest.raises(NotFoundError) as found:
        client.build_evidence(CORPUS, "family0-modle1", NAMES[0])
    assert found.value.reason == "MODEL_NOT_FOUND"
    assert "family0-model1" in str(found.value)
    with pytest.raises(NotFoundError):
        client.attribute("nowhere", ["text"])
    with pytest.raises(InvalidArgumentError) as refused:
        client.find_lineage(CORPUS, panel=b"{}")
    assert refused.value.reason == "PANEL_DAMAGED"
    with pytest.raises(InvalidArgumentError, match="no text was sent"), client.attribute(CORPUS, []) as run:
        list(run)


def test_frames(client: Client, panel: PanelFile) -> None:
    pairs = kp.scan_kinship(client, CORPUS, panel=panel).collect()
    assert pairs.schema == kp.KINSHIP_SCHEMA
    assert pairs.height == PAIRS
    assert pairs["p_value"].null_count() == PAIRS
    assert pairs["score"].is_sorted(descending=True)
    assert set(pairs["verdict"]) <= {"derived", "kin", "unresolved"}
    frame = pl.DataFrame(
        {
            "who": ["x", "x", None, "y"],
            "text": [lineage_corpus.answer(MODELS[k], 800 + k, 1) for k in (0, 1, 2, 3)],
        }
    )
    found = kp.attribute_frame(client, frame, CORPUS, text="text", by="who", models=NAMES[:6])
    assert found.schema == kp.ATTRIBUTION_SCHEMA
    assert found["set_id"].unique(maintain_order=True).to_list() == ["x", "y"]
    assert found.height == 2 * 7
    assert found.group_by("set_id").agg(pl.col("probability").sum())["probability"].to_list() == pytest.approx([1, 1])
    single = kp.attribute_frame(client, frame.lazy(), CORPUS, text="text", models=NAMES[:6])
    assert single["set_id"].unique(maintain_order=True).to_list() == ["0", "1", "2", "3"]
    with pytest.raises(InvalidArgumentError, match="no column 'whom'"):
        kp.attribute_frame(client, frame, CORPUS, text="text", by="whom")
    tree = client.find_lineage(CORPUS)
    scores = kp.lineage_frame(tree)
    assert scores.height == len(MODELS) ** 2
    one = scores.filter((pl.col("model_a") == NAMES[0]) & (pl.col("model_b") == NAMES[1]))["score"]
    other = scores.filter((pl.col("model_a") == NAMES[1]) & (pl.col("model_b") == NAMES[0]))["score"]
    assert one.to_list() == pytest.approx(other.to_list())


# Commands


RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.out, "_width", 200)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    folder = tmp_path_factory.mktemp("lineage-files")
    with (folder / "models.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["corpus", "model", "family", "shares_with"])
        writer.writerows([CORPUS, m.name, m.family, ""] for m in MODELS)
        writer.writerow(["elsewhere", "stranger", "f", "a;b"])
    with (folder / "lineage.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["model", "related_to", "relation"])
        writer.writerows([m.name, m.parent, "fine_tune"] for m in MODELS if m.parent)
        writer.writerow([NAMES[0], "stranger", "kin"])
    rows = [
        dict(row, account_id=f"account of {row['model']}", group=row["model"][-1])
        for k in (0, 4)
        for row in lineage_corpus.make_rows(MODELS[k : k + 1], 6, 300, 1)
    ]
    for row in rows:
        del row["model"]
    rows[0].pop("account_id")
    pl.DataFrame(rows).write_parquet(folder / "texts.parquet")
    pl.DataFrame(rows).write_ndjson(folder / "texts.ndjson")
    return folder


def run(server: Any, *arguments: object, corpus: str = CORPUS) -> Result:
    options: list[object] = ["--corpus", corpus, "--server", server.address]
    words = arguments if arguments[:2] == ("panel", "show") else (*arguments, *options)
    return RUNNER.invoke(app, [*map(str, words)])


def ok(server: Any, *arguments: object, **options: Any) -> str:
    done = run(server, *arguments, **options)
    assert done.exit_code == 0, (done.stderr, done.exception)
    return done.stdout


def refused(server: Any, *arguments: object, **options: Any) -> str:
    done = run(server, *arguments, **options)
    assert done.exit_code in (1, 2), (done.stdout, done.exception)
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_panel_from_the_command_line(server: Any, files: Path, panel: PanelFile) -> None:
    path = files / "news.panel"
    fit = ("panel", "fit", "--families", files / "models.csv", "--lineage", files / "lineage.csv", "--out", path)
    done = run(server, *fit)
    assert done.exit_code == 0, done.stderr
    assert path.read_bytes() == panel.data
    assert "24 models of 8 families" in done.stdout
    assert "1 of 9 relations" in done.stderr
    assert "no p-values are given" in done.stdout
    shown = json.loads(ok(server, "panel", "show", path, "--json"))
    assert shown["digest"] == panel.summary.digest
    assert len(shown["members"]) == len(MODELS)
    assert "24 models of 8 families" in ok(server, "panel", "show", path)
    typo = files / "typo.csv"
    typo.write_text((files / "models.csv").read_text().replace("family0-model0", "family0-modle0"))
    done = run(server, "panel", "fit", "--families", typo, "--out", path)
    assert done.exit_code == 0, done.stderr
    assert "'family0-modle0' (did you mean 'family0-model0'?)" in done.stderr
    assert "1 of 24 models of corpus" in done.stderr


def test_panels_that_fail_before_any_work(server: Any, files: Path, tmp_path: Path) -> None:
    models = (files / "models.csv").read_text()

    def fit(text: str, out: object = tmp_path / "p", *more: object) -> str:
        path = tmp_path / "models.csv"
        path.write_text(text)
        return refused(server, "panel", "fit", "--families", path, "--out", out, *more)

    assert "no column 'family'" in fit(models.replace("family,", "famille,", 1))
    strangers = "model,family\nfamily0-modle0,f\nfamily1-modle0,g\n"
    assert "did you mean 'family0-model0'" in fit(strangers)
    assert "has the family" in fit(models + f"{CORPUS},{NAMES[0]},another,\n")
    assert "no directory" in fit(models, tmp_path / "missing" / "p")
    assert "is a directory" in fit(models, tmp_path)
    one = "model,family\n" + "".join(f"{name},one\n" for name in NAMES)
    assert "PANEL_UNFIT" in fit(one)
    assert not (tmp_path / "p").exists()
    assert "no such file" in refused(server, "kinship", "--panel", tmp_path / "missing")
    assert "no Kinprint panel" in refused(server, "kinship", "--panel", files / "models.csv")


def test_kinship_from_the_command_line(server: Any, files: Path, panel: PanelFile, tmp_path: Path) -> None:
    panel.save(tmp_path / "p.panel")
    out = tmp_path / "pairs.parquet"
    text = ok(server, "kinship", "--panel", tmp_path / "p.panel", "--out", out)
    pairs = pl.read_parquet(out)
    assert pairs.schema == kp.KINSHIP_SCHEMA
    assert pairs.height == PAIRS
    assert pairs["p_value"].null_count() == PAIRS
    assert pairs["log10_lr"].null_count() == 0
    assert f"{PAIRS} pairs of 24 models on 30 prompts (720 answers)" in text
    assert "unresolved does not mean unrelated" in text
    assert "carries over" in text
    for name in ("pairs.csv", "pairs.ndjson"):
        ok(server, "kinship", "--model", NAMES[0], "--model", NAMES[1], "--out", tmp_path / name)
    assert (tmp_path / "pairs.csv").read_text().splitlines()[1].endswith(",,,,no_background,matched")
    row = json.loads((tmp_path / "pairs.ndjson").read_text())
    assert {"log10_lr", "p_value", "p_floor"} & set(row) == set()
    assert sorted((row["model_a"], row["model_b"])) == sorted(NAMES[:2])
    told = json.loads(ok(server, "kinship", "--panel", tmp_path / "p.panel", "--json"))
    assert sum(told["verdicts"].values()) == told["pairs"] == PAIRS
    assert told["top"][0]["log10_lr"] is not None
    assert told["does_not_carry_over"]


def test_few_models_are_no_background(server: Any, client: Client, panel: PanelFile, tmp_path: Path) -> None:
    few = f"{CORPUS}-few"
    sentence = "4 models are no background: no likelihood ratio, no p-value, no verdict"
    text = ok(server, "kinship", corpus=few)
    assert sentence in text
    assert "derived" not in text
    panel.save(tmp_path / "p.panel")
    out = tmp_path / "pairs.parquet"
    assert sentence in ok(server, "kinship", "--panel", tmp_path / "p.panel", "--out", out, corpus=few)
    pairs = pl.read_parquet(out)
    assert pairs["log10_lr"].null_count() == pairs["p_value"].null_count() == pairs.height == 6
    assert set(pairs["verdict"]) == {"no_background"}


def test_commands_that_fail_before_any_work(server: Any, files: Path, tmp_path: Path) -> None:
    pair = ("--subject", NAMES[1], "--source", NAMES[0])
    for command in (("kinship",), ("lineage",), ("evidence", *pair), ("attribute", files / "texts.parquet")):
        assert "write to" in refused(server, *command, "--out", tmp_path / "x.docx")
        suffix = ".json" if command[0] == "evidence" else ".parquet"
        assert "no directory" in refused(server, *command, "--out", tmp_path / "missing" / f"x{suffix}")
        if command[0] != "evidence":
            assert "did you mean" in refused(server, *command, "--model", "family0-modle0")
        assert "CORPUS_NOT_FOUND" in refused(server, *command, corpus="nowhere")
    assert "did you mean" in refused(server, "evidence", "--subject", "family1-modle1", "--source", NAMES[0])
    assert "same model" in refused(server, "evidence", "--subject", NAMES[0], "--source", NAMES[0])
    assert "SUBJECT:SOURCE" in refused(server, "evidence", *pair, "--also", "x")
    assert "--also: corpus" in refused(server, "evidence", *pair, "--also", f"x:{NAMES[0]}")
    assert not list(tmp_path.iterdir())


def test_attribution_from_the_command_line(server: Any, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    models = [word for name in NAMES[:6] for word in ("--model", name)]
    done = run(server, "attribute", files / "texts.parquet", "--by", "account_id", "--out", out, *models)
    assert done.exit_code == 0, done.stderr
    assert "1 row of" in done.stderr
    assert "no account_id" in done.stderr
    found = pl.read_parquet(out)
    assert found.schema == kp.ATTRIBUTION_SCHEMA
    assert set(found["set_id"]) == {f"account of {NAMES[k]}" for k in (0, 4)}
    assert found.filter(pl.col("model").is_null()).height == 2
    assert found["rank"].to_list() == [1, 2, 3, 4, 5, 6, 7] * 2
    assert "of 2 sets named" in done.stdout
    assert "of models held out" in done.stdout
    ok(server, "attribute", files / "texts.ndjson", "--out", tmp_path / "out.csv", *models)
    with (tmp_path / "out.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["transcript_id", "rank", "model", "log10_lr", "probability", "abstained", "reason"]
    assert len({row["transcript_id"] for row in rows}) == 12
    told = json.loads(ok(server, "attribute", files / "texts.ndjson", "--by", "group", "--json", *models))
    assert [item["set_id"] for item in told["results"]] == ["0", "1"]
    assert told["sets"] == 2
    assert told["power"][0]["size"] == 1
    assert "did you mean 'account_id'" in refused(server, "attribute", files / "texts.ndjson", "--by", "acount_id")
    (tmp_path / "empty.ndjson").write_text("")
    assert "no texts" in refused(server, "attribute", tmp_path / "empty.ndjson")
    (tmp_path / "other.csv").write_text("answer\nhello\n")
    assert "no column 'response'" in refused(server, "attribute", tmp_path / "other.csv")


def test_evidence_from_the_command_line(server: Any, panel: PanelFile, client: Client, tmp_path: Path) -> None:
    panel.save(tmp_path / "p.panel")
    pair = ("evidence", "--subject", NAMES[4], "--source", NAMES[3])
    out = tmp_path / "report.json"
    text = ok(server, *pair, "--panel", tmp_path / "p.panel", "--also", f"{NAMES[1]}:{NAMES[0]}", "--out", out)
    found = client.build_evidence(CORPUS, NAMES[4], NAMES[3], panel=panel, also=[(NAMES[1], NAMES[0])])
    assert out.read_bytes() == found.data
    assert found.report["statement"]["headline"] in text
    assert "may not be said" in text
    assert json.loads(ok(server, *pair, "--panel", tmp_path / "p.panel", "--json"))["subject"] == NAMES[4]
    without = ok(server, *pair)
    assert "no background" in without
    page = tmp_path / "report.html"
    ok(server, *pair, "--panel", tmp_path / "p.panel", "--out", page)
    html = page.read_text(encoding="utf-8")
    assert html.lstrip().lower().startswith("<!doctype html")
    assert NAMES[4] in html


def test_lineage_from_the_command_line(server: Any, tmp_path: Path) -> None:
    text = ok(server, "lineage")
    assert all(text.count(name) == 1 for name in NAMES)
    ok(server, "lineage", "--out", tmp_path / "tree.nwk")
    newick = (tmp_path / "tree.nwk").read_text()
    assert newick.endswith(";\n")
    assert newick.count("(") == len(MODELS) - 1
    ok(server, "lineage", "--out", tmp_path / "matrix.parquet")
    matrix = pl.read_parquet(tmp_path / "matrix.parquet")
    assert matrix.columns == ["model", *matrix["model"]]
    assert sorted(matrix["model"]) == sorted(NAMES)
    told = json.loads(ok(server, "lineage", "--model", NAMES[0], "--model", NAMES[1], "--model", NAMES[3], "--json"))
    assert len(told["merges"]) == 2
    assert len(told["scores"]) == 3
    ok(server, "lineage", "--out", tmp_path / "tree.html")
    assert NAMES[0] in (tmp_path / "tree.html").read_text(encoding="utf-8")


def test_html_without_its_extra(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinprint.client.cli.evidence.importlib.util.find_spec", lambda name: None)
    text = refused(server, "lineage", "--out", tmp_path / "tree.html")
    assert "pip install 'kinprint[report]'" in text


def test_ctrl_c_is_clean(server: Any, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receive = Stream.receive
    calls = 0

    def interrupted(stream: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise KeyboardInterrupt
        return receive(stream)

    monkeypatch.setattr(Stream, "receive", interrupted)
    for command in (
        ("panel", "fit", "--families", files / "models.csv", "--out", tmp_path / "p"),
        ("kinship", "--out", tmp_path / "pairs.parquet"),
        ("attribute", files / "texts.parquet", "--out", tmp_path / "out.csv"),
        ("evidence", "--subject", NAMES[1], "--source", NAMES[0], "--out", tmp_path / "report.json"),
        ("lineage", "--out", tmp_path / "tree.nwk"),
    ):
        calls = 0
        done = run(server, *command)
        assert (done.exit_code, calls) == (130, 2), done.stderr
        assert done.stderr.strip().endswith("interrupted")
    assert not list(tmp_path.iterdir())
