"""LineageService on the wire: messages, their order and sizes, refusals, cancelled calls."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from typing import Any

import grpc
import lineage_corpus
import pytest
from contract.wire import DEADLINE, Stubs, expect, refused
from kinprint.v1 import lineage_pb2, types_pb2

CORPUS = "lineage-service"
MODELS = lineage_corpus.make_models()
PAIRS = len(MODELS) * (len(MODELS) - 1) // 2
MEMBERS = [lineage_pb2.PanelMember(model=m.name, family=m.family) for m in MODELS]
EDGES = [lineage_pb2.PanelEdge(model=m.name, related_to=m.parent, relation="fine_tune") for m in MODELS if m.parent]


@pytest.fixture(scope="module")
def stubs(server: Any) -> Iterator[Stubs]:
    lineage_corpus.load(server.address, CORPUS, lineage_corpus.make_rows(MODELS))
    made = Stubs(server.address)
    yield made
    made.close()


@pytest.fixture(scope="module")
def panel(stubs: Stubs) -> bytes:
    return b"".join(m.chunk for m in run(stubs.lineage.FitPanel, fit_request()) if m.HasField("chunk"))


def fit_request(**fields: Any) -> lineage_pb2.FitPanelRequest:
    return lineage_pb2.FitPanelRequest(**{"corpus": CORPUS, "members": MEMBERS, "edges": EDGES, **fields})


def run(method: Any, request: Any) -> list[Any]:
    """All messages of a run that ends well; progress rises, the totals come last and once."""
    messages = list(method(request, timeout=4 * DEADLINE))
    kinds = [message.WhichOneof("message") for message in messages]
    assert kinds.count("finished") == 1
    assert kinds[-1] == "finished"
    shares = [message.progress.share for message in messages if message.HasField("progress")]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert all(message.ByteSize() <= (1 << 20) + 1024 for message in messages)
    return messages


def attribute(stubs: Stubs, *requests: Any) -> list[Any]:
    return list(stubs.lineage.Attribute(iter(requests), timeout=4 * DEADLINE))


def start(**fields: Any) -> lineage_pb2.AttributeRequest:
    return lineage_pb2.AttributeRequest(start=lineage_pb2.AttributeStart(**{"corpus": CORPUS, **fields}))


def batch(*texts: Any) -> lineage_pb2.AttributeRequest:
    return lineage_pb2.AttributeRequest(batch=lineage_pb2.AttributeBatch(texts=texts))


STOP = lineage_pb2.AttributeRequest(stop=lineage_pb2.AttributeStop())
SOME = batch(lineage_pb2.AttributeText(text=lineage_corpus.answer(MODELS[0], 900), id="x"))


# Panels


def test_a_panel_is_fitted_and_described(stubs: Stubs, panel: bytes) -> None:
    messages = run(stubs.lineage.FitPanel, fit_request())
    assert b"".join(m.chunk for m in messages) == panel, "the same request gives the same bytes"
    assert len(panel) <= 2 << 20
    summary = messages[-1].finished
    assert summary == stubs.lineage.InspectPanel(lineage_pb2.InspectPanelRequest(panel=panel)).summary
    assert summary.corpus == CORPUS
    assert {m.model: m.family for m in summary.members} == {m.name: m.family for m in MODELS}
    assert (summary.families, summary.prompts, summary.derived_from) == (8, 30, "lineage")
    assert summary.derived_pairs == len(EDGES)
    assert summary.unrelated_pairs == PAIRS - summary.kin_pairs
    assert [size.prompts for size in summary.sizes] == sorted(size.prompts for size in summary.sizes)
    assert all(size.log10_lr_min < 0 < size.log10_lr_max for size in summary.sizes)
    assert summary.digest == json.loads(panel)["digest"]


def test_members_without_answers_are_passed_over(stubs: Stubs) -> None:
    stranger = lineage_pb2.PanelMember(model="stranger", family="f")
    summary = run(stubs.lineage.FitPanel, fit_request(members=[*MEMBERS, stranger]))[-1].finished
    assert len(summary.members) == len(MODELS)
    assert any("stranger" in caution for caution in summary.cautions)


def test_panels_that_cannot_be_fitted(stubs: Stubs) -> None:
    def fit(**fields: Any) -> Any:
        return refused(lambda: stubs.lineage.FitPanel(fit_request(**fields), timeout=DEADLINE))

    expect(fit(corpus="no-such-corpus"), "NOT_FOUND", "CORPUS_NOT_FOUND", "corpus")
    expect(fit(corpus=""), "INVALID_ARGUMENT", "FIELD_MISSING", "corpus")
    expect(fit(members=[]), "INVALID_ARGUMENT", "FIELD_MISSING", "members")
    nameless = lineage_pb2.PanelMember(model=MODELS[0].name)
    expect(fit(members=[nameless]), "INVALID_ARGUMENT", "FIELD_MISSING", "members[0].family")
    expect(fit(members=[MEMBERS[0], MEMBERS[0]]), "INVALID_ARGUMENT", "FIELD_INVALID", "members[1].model")
    one_family = [lineage_pb2.PanelMember(model=m.name, family="one") for m in MODELS]
    expect(fit(members=one_family), "FAILED_PRECONDITION", "PANEL_UNFIT")
    expect(fit(members=MEMBERS[:3]), "FAILED_PRECONDITION", "PANEL_UNFIT")
    nothing = types_pb2.Filter(languages=["de"])
    expect(fit(filter=nothing), "FAILED_PRECONDITION", "PANEL_UNFIT")


def test_panels_that_cannot_be_used(stubs: Stubs, panel: bytes) -> None:
    document = json.loads(panel)

    def inspect(data: bytes) -> Any:
        return refused(lambda: stubs.lineage.InspectPanel(lineage_pb2.InspectPanelRequest(panel=data)))

    def signed(**changed: Any) -> bytes:
        made = {**document, **changed}
        del made["digest"]

        def canonical() -> bytes:
            return json.dumps(made, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"

        made["digest"] = hashlib.sha256(canonical()).hexdigest()
        return canonical()

    assert signed() == panel
    expect(inspect(b""), "INVALID_ARGUMENT", "FIELD_MISSING", "panel")
    for data in (
        b"\0",
        panel[:-100],
        panel.replace(b"family0", b"family9", 1),
        b"{}",
        b"[]",
        b"\xff" * 10,
        b"[" * 10_000,
    ):
        expect(inspect(data), "INVALID_ARGUMENT", "PANEL_DAMAGED", "panel")
    expect(inspect(b" " * ((2 << 20) + 1)), "INVALID_ARGUMENT", "PANEL_DAMAGED", "panel")
    expect(inspect(signed(version=99)), "FAILED_PRECONDITION", "FORMAT_TOO_NEW", "panel")
    other = {**document["scheme"], "version": 999}
    expect(inspect(signed(scheme=other)), "FAILED_PRECONDITION", "PIPELINE_MISMATCH", "panel")
    damaged = lineage_pb2.FindKinshipRequest(corpus=CORPUS, panel=panel[:-100])
    expect(refused(lambda: stubs.lineage.FindKinship(damaged)), "INVALID_ARGUMENT", "PANEL_DAMAGED", "panel")
    empty = lineage_pb2.FindLineageRequest(corpus=CORPUS, panel=b"")
    expect(refused(lambda: stubs.lineage.FindLineage(empty)), "INVALID_ARGUMENT", "PANEL_DAMAGED", "panel")


# Kinship


def kin(stubs: Stubs, **fields: Any) -> tuple[list[dict[str, Any]], Any]:
    messages = run(stubs.lineage.FindKinship, lineage_pb2.FindKinshipRequest(**{"corpus": CORPUS, **fields}))
    names = [f.name for f in lineage_pb2.KinshipPairs.DESCRIPTOR.fields]
    rows = []
    for message in messages:
        if message.HasField("pairs"):
            columns = [getattr(message.pairs, name) for name in names]
            assert 1 <= len(columns[0]) <= 2500
            rows += [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    return rows, messages[-1].finished


def test_kinship_without_a_panel_concludes_nothing(stubs: Stubs) -> None:
    rows, finished = kin(stubs)
    assert len(rows) == finished.pairs == PAIRS
    assert (finished.models, finished.prompts, finished.answers) == (len(MODELS), 30, 30 * len(MODELS))
    assert (finished.families, finished.panel_digest) == (0, "")
    assert {row["verdict"] for row in rows} == {lineage_pb2.KINSHIP_VERDICT_NO_BACKGROUND}
    for row in rows:
        assert row["prompts"] == 30
        assert all(math.isnan(row[name]) for name in ("log10_lr", "p_value", "p_floor"))
    best = sorted((row for row in rows if not math.isnan(row["score"])), key=lambda row: -row["score"])[:8]
    derived = {frozenset((m.name, m.parent)) for m in MODELS if m.parent}
    assert sum(frozenset((row["model_a"], row["model_b"])) in derived for row in best) >= 6


def test_kinship_with_a_panel(stubs: Stubs, panel: bytes) -> None:
    rows, finished = kin(stubs, panel=panel)
    assert len(rows) == PAIRS
    assert finished.panel_digest == json.loads(panel)["digest"]
    assert finished.carries_over or finished.does_not_carry_over
    family = {m.name: m.family for m in MODELS}
    allowed = {
        lineage_pb2.KINSHIP_VERDICT_DERIVED,
        lineage_pb2.KINSHIP_VERDICT_KIN,
        lineage_pb2.KINSHIP_VERDICT_UNRESOLVED,
    }
    for row in rows:
        assert row["verdict"] in allowed
        assert row["basis"] in (lineage_pb2.KINSHIP_BASIS_MATCHED, lineage_pb2.KINSHIP_BASIS_BRIDGED)
        if row["verdict"] != lineage_pb2.KINSHIP_VERDICT_UNRESOLVED:
            assert family[row["model_a"]] == family[row["model_b"]], row
    assert any(row["verdict"] != lineage_pb2.KINSHIP_VERDICT_UNRESOLVED for row in rows)
    assert all(math.isfinite(row["log10_lr"]) for row in rows)


def test_kinship_of_some_models(stubs: Stubs) -> None:
    some = [MODELS[k].name for k in (5, 0, 9)]
    rows, finished = kin(stubs, models=some)
    assert {row[name] for row in rows for name in ("model_a", "model_b")} == set(some)
    assert finished.pairs == 3
    filtered, _ = kin(stubs, filter=types_pb2.Filter(prompt_keys=[f"p{k}" for k in range(12)]))
    assert {row["prompts"] for row in filtered} == {12}


def test_kinship_refusals(stubs: Stubs) -> None:
    def find(**fields: Any) -> Any:
        request = lineage_pb2.FindKinshipRequest(**{"corpus": CORPUS, **fields})
        return refused(lambda: stubs.lineage.FindKinship(request, timeout=DEADLINE))

    expect(find(corpus="nowhere"), "NOT_FOUND", "CORPUS_NOT_FOUND", "corpus")
    expect(find(models=["nobody"]), "NOT_FOUND", "MODEL_NOT_FOUND", "models[0]")
    expect(find(models=[MODELS[0].name, ""]), "INVALID_ARGUMENT", "FIELD_MISSING", "models[1]")


# Attribution


def test_attribution_of_sets_and_of_single_texts(stubs: Stubs) -> None:
    chosen = [MODELS[k] for k in (0, 3, 6)]
    texts = [
        lineage_pb2.AttributeText(text=lineage_corpus.answer(m, 500 + k, 1), set_id=f"set {m.name}")
        for k in range(8)
        for m in chosen
    ]
    texts.append(lineage_pb2.AttributeText(text="Too short.", id="short"))
    texts.append(lineage_pb2.AttributeText(text=f"<think>secret {'x ' * 400}</think>Hm.", id="thought"))
    messages = attribute(stubs, start(), batch(*texts[:5]), batch(*texts[5:]), STOP)
    kinds = [message.WhichOneof("message") for message in messages]
    assert kinds[:3] == ["started", "received", "received"]
    assert [message.received.texts for message in messages[1:3]] == [5, len(texts)]
    assert kinds[-1] == "finished"
    assert messages[0].started.limits.max_text_bytes == 1 << 20
    sets = [found for message in messages for found in message.sets.sets]
    named = [(found.set_id, found.id, found.texts) for found in sets]
    assert named == [*((f"set {m.name}", "", 8) for m in chosen), ("", "short", 1), ("", "thought", 1)]
    assert [found.HasField("set_id") for found in sets] == [True] * 3 + [False] * 2
    for found in sets:
        probabilities = [candidate.probability for candidate in found.candidates]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1)
        assert sorted(c.model for c in found.candidates if c.HasField("model")) == sorted(m.name for m in MODELS)
        assert sum(not c.HasField("model") for c in found.candidates) == 1
        assert found.abstained == bool(found.reason)
    family = {m.name: m.family for m in MODELS}
    for found, model in zip(sets, chosen, strict=False):
        best = next(c.model for c in found.candidates if c.HasField("model"))
        assert family[best] == model.family
    assert [(f.reason, f.counted, f.too_short) for f in sets[3:]] == [("NO_USABLE_TEXT", 0, 1)] * 2
    finished = messages[-1].finished
    assert (finished.sets, finished.texts) == (5, len(texts))
    assert finished.named == sum(not found.abstained for found in sets)
    assert [m.texts_given for m in finished.models] == [30] * len(MODELS)
    assert finished.power[0].size == 1
    assert finished.prior_unknown == 0.5


def test_attribution_among_some_models_and_with_a_panel(stubs: Stubs, panel: bytes) -> None:
    some = [MODELS[k].name for k in (0, 3, 6, 9)]
    messages = attribute(stubs, start(models=some, panel=panel, seed=7), SOME, STOP)
    finished = messages[-1].finished
    assert sorted(model.model for model in finished.models) == some
    again = attribute(stubs, start(models=some, panel=panel, seed=7), SOME, STOP)
    assert messages[-1] == again[-1], "the same seed gives the same answers"


def test_attribution_refusals(stubs: Stubs) -> None:
    def ask(*requests: Any) -> Any:
        return refused(lambda: stubs.lineage.Attribute(iter(requests), timeout=DEADLINE))

    expect(ask(start(corpus="nowhere")), "NOT_FOUND", "CORPUS_NOT_FOUND", "start.corpus")
    expect(ask(start(models=["nobody"])), "NOT_FOUND", "MODEL_NOT_FOUND", "start.models[0]")
    expect(ask(start(panel=b"x")), "INVALID_ARGUMENT", "PANEL_DAMAGED", "start.panel")
    for requests in ((), (SOME,), (STOP,), (start(),), (start(), start()), (start(), lineage_pb2.AttributeRequest())):
        expect(ask(*requests), "INVALID_ARGUMENT", "STREAM_PROTOCOL", "message")
    expect(ask(start(), STOP), "INVALID_ARGUMENT", "FIELD_MISSING", "batch.texts")
    expect(ask(start(), batch(), STOP), "INVALID_ARGUMENT", "BATCH_SIZE", "batch.texts")
    long = lineage_pb2.AttributeText(text="x" * ((1 << 20) + 1))
    expect(ask(start(), batch(long)), "INVALID_ARGUMENT", "TEXT_TOO_LONG", "batch.texts[0].text")
    named = lineage_pb2.AttributeText(text="x", set_id="y" * 600)
    expect(ask(start(), batch(named)), "INVALID_ARGUMENT", "FIELD_TOO_LONG", "batch.texts[0].set_id")
    few = types_pb2.Filter(prompt_keys=["p1", "p2"])
    found = ask(start(filter=few), SOME, STOP)
    assert (found.code, found.reason) == ("INVALID_ARGUMENT", "TOO_FEW_TEXTS")


# Evidence


def test_evidence_on_a_pair(stubs: Stubs, panel: bytes) -> None:
    request = lineage_pb2.BuildEvidenceRequest(
        corpus=CORPUS,
        subject=MODELS[1].name,
        source=MODELS[0].name,
        panel=panel,
        also=[lineage_pb2.EvidencePair(subject=MODELS[4].name, source=MODELS[3].name)],
    )
    messages = run(stubs.lineage.BuildEvidence, request)
    data = b"".join(message.chunk for message in messages)
    finished = messages[-1].finished
    assert (finished.size, finished.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    report = json.loads(data)
    assert (report["format"], report["version"]) == ("kinprint-evidence", 1)
    assert (report["subject"], report["source"], report["corpus"]) == (MODELS[1].name, MODELS[0].name, CORPUS)
    assert report["background"]["digest"] == json.loads(panel)["digest"]
    assert b"".join(message.chunk for message in run(stubs.lineage.BuildEvidence, request)) == data


def test_evidence_refusals(stubs: Stubs) -> None:
    a, b = MODELS[0].name, MODELS[1].name

    def build(**fields: Any) -> Any:
        request = lineage_pb2.BuildEvidenceRequest(**{"corpus": CORPUS, "subject": b, "source": a, **fields})
        return refused(lambda: stubs.lineage.BuildEvidence(request, timeout=DEADLINE))

    expect(build(subject="nobody"), "NOT_FOUND", "MODEL_NOT_FOUND", "subject")
    expect(build(source=""), "INVALID_ARGUMENT", "FIELD_MISSING", "source")
    expect(build(source=b), "INVALID_ARGUMENT", "FIELD_INVALID", "source")
    also = [lineage_pb2.EvidencePair(subject=a, source=b), lineage_pb2.EvidencePair(subject=a, source="nobody")]
    expect(build(also=also), "NOT_FOUND", "MODEL_NOT_FOUND", "also[1].source")


# Lineage


def test_lineage_is_a_tree_of_all_models(stubs: Stubs) -> None:
    messages = run(stubs.lineage.FindLineage, lineage_pb2.FindLineageRequest(corpus=CORPUS))
    finished = messages[-1].finished
    count = len(MODELS)
    assert sorted(finished.models) == sorted(m.name for m in MODELS)
    assert sorted(finished.order) == list(range(count))
    assert (finished.merges.rows, finished.merges.columns) == (count - 1, 4)
    assert finished.merges.dtype == types_pb2.DATA_TYPE_FLOAT64
    scores = [message.scores for message in messages if message.HasField("scores")]
    assert sum(rows.rows for rows in scores) == count
    assert {(rows.columns, rows.dtype) for rows in scores} == {(count, types_pb2.DATA_TYPE_FLOAT64)}
    assert len(b"".join(rows.data for rows in scores)) == 8 * count * count
    assert finished.newick.strip().endswith(";")
    assert all(m.name in finished.newick for m in MODELS)


# Calls that are cancelled


def test_a_cancelled_call_ends_its_work(stubs: Stubs) -> None:
    call = stubs.lineage.FitPanel(fit_request(), timeout=DEADLINE)
    next(call)
    call.cancel()
    with pytest.raises(grpc.RpcError):
        list(call)
    calls = stubs.lineage.Attribute(iter([start(), SOME, STOP]), timeout=DEADLINE)
    while not next(calls).HasField("progress"):
        pass
    calls.cancel()
    # The server goes on to answer others.
    assert run(stubs.lineage.FindLineage, lineage_pb2.FindLineageRequest(corpus=CORPUS))
