"""What the lineage calls take and return, without a server: panels as files, requests, columns, tables of families."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from kinprint.client import (
    FailedPreconditionError,
    InvalidArgumentError,
    KinprintError,
    Limits,
    PanelEdge,
    PanelFile,
    PanelMember,
    UnknownText,
)
from kinprint.client.cli.evidence import split_pair
from kinprint.client.cli.models import check_models, load_panel, read_edges, read_members
from kinprint.client.cli.terminal import CommandError
from kinprint.client.convert import lineage as convert
from kinprint.v1 import lineage_pb2

LIMITS = Limits(
    max_text_bytes=1 << 20,
    max_message_bytes=4 << 20,
    max_batch_items=1000,
    max_metadata_bytes=1 << 16,
    max_inflight_batches=16,
)


def canonical(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def panel_bytes(**changed: Any) -> bytes:
    size = {
        "prompts": 10,
        "draws": 3,
        "null_count": 40,
        "log10_lr_min": -1.0,
        "log10_lr_max": 1.6,
        "threshold": 5.5,
        "cllr": 0.25,
        "cllr_min": 0.125,
        "tpr": {"0.01": 0.5, "0.001": None},
        "power": {"derived": 0.75, "kin": 0.5},
    }
    document: dict[str, Any] = {
        "format": "kinprint-panel",
        "version": 1,
        "kinprint": "0.1.0",
        "scheme": {"name": "residual", "version": 1},
        "corpus": "news",
        "members": [{"model": "a", "family": "f", "shares_with": ["base", "data"]}],
        "families": 1,
        "independent_families": 1,
        "prompts": {"count": 10, "keys": [], "digest": ""},
        "pairs": {"unrelated": 40, "kin": 4, "derived": 2},
        "derived_from": "lineage",
        "sizes": [size],
        "bridged": None,
        "suspects": [["a", "ß", 4.5]],
        "cautions": ["few families"],
        **changed,
    }
    return canonical({**document, "digest": hashlib.sha256(canonical(document)).hexdigest()})


def test_a_panel_tells_what_it_holds() -> None:
    summary = PanelFile(panel_bytes()).summary
    assert summary.members == (PanelMember("a", "f", ("base", "data")),)
    assert (summary.scheme, summary.corpus, summary.prompts) == ("residual/1", "news", 10)
    assert (summary.unrelated_pairs, summary.kin_pairs, summary.derived_pairs) == (40, 4, 2)
    assert summary.sizes[0].rates == {0.001: None, 0.01: 0.5}
    assert summary.sizes[0].power_derived == 0.75
    assert [(s.model_a, s.model_b, s.score) for s in summary.suspects] == [("a", "ß", 4.5)]
    assert summary.bridged is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "PANEL_DAMAGED"),
        (b"PAR1", "PANEL_DAMAGED"),
        (b"[1]", "PANEL_DAMAGED"),
        (b'{"format": "kinprint-evidence"}', "PANEL_DAMAGED"),
        (b"\xff\xfe", "PANEL_DAMAGED"),
        (b"[" * 100_000, "PANEL_DAMAGED"),
        (panel_bytes(version=None), "PANEL_DAMAGED"),
        (panel_bytes(pairs=3), "PANEL_DAMAGED"),
        (panel_bytes().replace(b"news", b"olds"), "PANEL_DAMAGED"),
        (panel_bytes()[:-10], "PANEL_DAMAGED"),
        (panel_bytes(version=2), "FORMAT_TOO_NEW"),
    ],
)
def test_what_is_no_panel_is_told(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(KinprintError) as found:
        _ = PanelFile(data).summary
    assert found.value.reason == reason
    assert isinstance(found.value, FailedPreconditionError if reason == "FORMAT_TOO_NEW" else InvalidArgumentError)
    path = tmp_path / "panel"
    path.write_bytes(data)
    with pytest.raises(KinprintError, match=str(path)):
        PanelFile.load(path)
    with pytest.raises(CommandError, match=str(path)):
        load_panel(path)


def test_a_panel_is_saved_and_loaded(tmp_path: Path) -> None:
    panel = PanelFile(panel_bytes())
    path = tmp_path / "news.panel"
    path.write_text("older")
    panel.save(path)
    assert [item.name for item in tmp_path.iterdir()] == ["news.panel"]
    assert PanelFile.load(path) == panel
    assert load_panel(path) == panel
    assert load_panel(None) is None
    with pytest.raises(CommandError, match="no such file"):
        load_panel(tmp_path / "missing")
    with pytest.raises(CommandError, match="directory"):
        load_panel(tmp_path)
    with pytest.raises(FileNotFoundError):
        panel.save(tmp_path / "missing" / "news.panel")
    large = tmp_path / "large"
    large.write_bytes(b" " * ((2 << 20) + 1))
    with pytest.raises(InvalidArgumentError, match="too large"):
        PanelFile.load(large)


def test_calls_take_panels_in_three_forms(tmp_path: Path) -> None:
    panel = PanelFile(panel_bytes())
    panel.save(tmp_path / "p")
    for given in (panel, panel.data, tmp_path / "p", str(tmp_path / "p")):
        assert convert.panel_to_proto(given) == panel.data
    assert convert.panel_to_proto(None) is None
    assert not convert.kinship_request("c", None, (), None).HasField("panel")
    with pytest.raises(InvalidArgumentError, match="too many"):
        convert.panel_to_proto(b" " * ((2 << 20) + 1))


def test_requests_say_which_field_is_wrong() -> None:
    with pytest.raises(InvalidArgumentError, match=r"members\[1\]\.family"):
        convert.fit_panel_request("c", [PanelMember("a", "f"), PanelMember("b", 3)], [], None, 0)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"edges\[0\]\.related_to"):
        convert.fit_panel_request("c", [], [PanelEdge("a", "\ud800", "fine_tune")], None, 0)
    with pytest.raises(InvalidArgumentError, match="seed"):
        convert.fit_panel_request("c", [], [], None, -1)
    with pytest.raises(InvalidArgumentError, match=r"also\[0\]\.source"):
        convert.evidence_request("c", "a", "b", None, [("x", None)], None)  # type: ignore[list-item]


def test_texts_travel_in_batches() -> None:
    items = [UnknownText("x" * 400_000, set_id="s"), "y" * 400_000, UnknownText("z" * 400_000, id="i"), *["w"] * 1500]
    sent = list(convert.attribute_batches(items, LIMITS))
    sizes = [len(message.batch.texts) for message in sent]
    assert sum(sizes) == len(items)
    assert max(sizes) <= 1000
    assert all(message.ByteSize() <= 1 << 20 for message in sent)
    texts = [text for message in sent for text in message.batch.texts]
    assert [(t.HasField("set_id"), t.set_id, t.id) for t in texts[:3]] == [
        (True, "s", ""),
        (False, "", "1"),
        (False, "", "i"),
    ]
    with pytest.raises(InvalidArgumentError) as found:
        list(convert.attribute_batches(["fine", "ü" * (1 << 19) + "x"], LIMITS))
    assert found.value.reason == "TEXT_TOO_LONG"
    assert "texts[1]" in str(found.value)


def test_columns_hold_none_where_there_is_no_figure() -> None:
    pairs = convert.kinship_from_proto(
        lineage_pb2.KinshipPairs(
            model_a=["a", "a", "a"],
            model_b=["b", "c", "d"],
            prompts=[30, 0, 5],
            score=[1.5, math.nan, 0.0],
            log10_lr=[2.0, math.nan, -1.0],
            p_value=[math.nan] * 3,
            p_floor=[math.nan] * 3,
            verdict=[lineage_pb2.KINSHIP_VERDICT_DERIVED, lineage_pb2.KINSHIP_VERDICT_NO_BACKGROUND, 77],
            basis=[lineage_pb2.KINSHIP_BASIS_MATCHED, lineage_pb2.KINSHIP_BASIS_UNSPECIFIED, 77],
        )
    )
    assert len(pairs) == 3
    assert pairs.score == [1.5, None, 0.0]
    assert pairs.log10_lr == [2.0, None, -1.0]
    assert pairs.p_value == pairs.p_floor == [None] * 3
    # What a newer server may say reads as what concludes least.
    assert pairs.verdict == ["derived", "no_background", "no_background"]
    assert pairs.basis == ["matched", "none", "none"]


def test_a_set_gives_a_row_for_each_candidate() -> None:
    candidates = [
        lineage_pb2.Candidate(model="a", log10_lr=1.0, probability=0.75),
        lineage_pb2.Candidate(log10_lr=-0.5, probability=0.25),
    ]
    named, unnamed = convert.sets_from_proto(
        lineage_pb2.AttributedSets(
            sets=[
                lineage_pb2.AttributedSet(set_id="", texts=3, counted=2, candidates=candidates),
                lineage_pb2.AttributedSet(id="t", abstained=True, reason="TOO_CLOSE", candidates=candidates),
            ]
        )
    )
    assert (named.set_id, named.model, unnamed.set_id, unnamed.model) == ("", "a", None, None)
    assert list(named.rows()) == [("", 1, "a", 1.0, 0.75, False, None), ("", 2, None, -0.5, 0.25, False, None)]
    assert [row[0] for row in unnamed.rows()] == ["t", "t"]
    assert {row[-1] for row in unnamed.rows()} == {"TOO_CLOSE"}


# Tables of families and relations


def table(tmp_path: Path, *lines: str, name: str = "models.csv") -> Path:
    path = tmp_path / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_members_of_a_corpus(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "\ufeffcorpus,model,family,shares_with,note",
        'news,a,f,"base; data;",x',
        "other,a,g,,",
        "news,b,f,,",
        "news,a,f,more,",
        'news,"c, d",g,,',
    )
    members = [PanelMember("a", "f", ("base", "data", "more")), PanelMember("b", "f"), PanelMember("c, d", "g")]
    assert read_members(path, "news") == members
    assert read_members(path, "other") == [PanelMember("a", "g")]
    # No row names this corpus: the table is for any, and then it contradicts itself.
    with pytest.raises(CommandError, match=r"'a' has the family 'f' in line 2 and 'g' in line 3"):
        read_members(path, "third")
    assert read_members(table(tmp_path, "model\tfamily", "a\tf", name="m.tsv"), "news") == [PanelMember("a", "f")]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["model,famly", "a,f"], "no column 'family'.*did you mean 'famly'"),
        (["family", "f"], "no column 'model'; found: family"),
        ([], "no column 'model'; found: none"),
        (["model,family"], "no models"),
        (["model,family", "a,"], "line 2: no family"),
        (["model,family", ",f"], "line 2: no model"),
        (["model,family", "a,f,x"], "line 2: as many cells"),
        (["model,family", "a"], "line 2: as many cells"),
        (["model,family", 'a,"f'], "no CSV file"),
    ],
)
def test_tables_that_do_not_hold_members(tmp_path: Path, lines: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        read_members(table(tmp_path, *lines), "news")


def test_tables_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "models.csv"
    path.write_bytes("model,family\nä,f\n".encode("latin-1"))
    with pytest.raises(CommandError, match="not UTF-8"):
        read_members(path, "news")
    with pytest.raises(FileNotFoundError):
        read_members(tmp_path / "missing.csv", "news")


def test_relations(tmp_path: Path) -> None:
    path = table(tmp_path, "model,related_to,relation,basis", "b,a;c,fine_tune,name", "b,a,fine_tune,again", "d,a,kin,")
    assert read_edges(path, "news") == [
        PanelEdge("b", "a", "fine_tune"),
        PanelEdge("b", "c", "fine_tune"),
        PanelEdge("d", "a", "kin"),
    ]
    with pytest.raises(CommandError, match="line 2: no relation"):
        read_edges(table(tmp_path, "model,related_to,relation", "b,a,"), "news")


def test_unknown_models_are_told_with_near_names() -> None:
    known = ["gpt-alpha", "gpt-beta", "llama"]
    check_models(["llama", "gpt-beta"], known, "news")
    with pytest.raises(CommandError, match=r"no answers of model 'gpt-alpa' \(did you mean 'gpt-alpha'"):
        check_models(["llama", "gpt-alpa"], known, "news")
    with pytest.raises(CommandError, match=r"models 'zz0', .* and 4 more"):
        check_models([f"zz{k}" for k in range(12)], known, "news")


def test_pairs_of_models_whose_names_hold_colons() -> None:
    known = ["a", "b", "r1:free", "x:y", "y:z", "x", "z"]
    assert split_pair("a:b", known) == ("a", "b")
    assert split_pair("r1:free:a", known) == ("r1:free", "a")
    assert split_pair("a:r1:free", known) == ("a", "r1:free")
    assert split_pair("a:nobody", known) == ("a", "nobody")  # the check of models says which is missing
    with pytest.raises(CommandError, match="2 ways"):
        split_pair("x:y:z", known)
    for text in ("a", "a:", ":b", ""):
        with pytest.raises(CommandError, match="SUBJECT:SOURCE"):
            split_pair(text, known)
