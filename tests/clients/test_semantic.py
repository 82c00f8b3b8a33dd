"""Messages of the semantic channel as types: evidence, coverage of two tiers, filling, fitting."""

from __future__ import annotations

import json
import math

import pytest
from kinprint.client import InvalidArgumentError, SearchQuery, as_dict
from kinprint.client.convert.match import search_request, search_result_from_proto, semantic_from_proto
from kinprint.client.convert.semantic import (
    distil_report_from_proto,
    distil_request,
    fill_from_proto,
    model_comparison_from_proto,
    start_fill_request,
)
from kinprint.client.convert.server import corpus_from_proto
from kinprint.client.frames import _hit_row
from kinprint.client.schemas import HIT_SCHEMA
from kinprint.v1 import corpus_pb2, match_pb2, semantic_pb2, types_pb2

COPY = types_pb2.Coverage(channel=types_pb2.CHANNEL_COPY, filled=8, fillable=8, share=1.0)
ACCURATE = types_pb2.Coverage(
    channel=types_pb2.CHANNEL_SEMANTIC, filled=2, fillable=8, share=0.25, tier=types_pb2.TIER_ACCURATE
)
FAST = types_pb2.Coverage(channel=types_pb2.CHANNEL_SEMANTIC, filled=8, fillable=8, share=1.0, tier=types_pb2.TIER_FAST)
EVIDENCE = types_pb2.SemanticEvidence(
    alignment=0.75,
    cosine=0.5,
    z=9.0,
    query_sentences=2,
    match_sentences=3,
    sentences=[
        types_pb2.SentenceMatch(
            query_end=9, match_start=3, match_end=12, cosine=0.875, query_text="It rains.", match_text="Il pleut."
        )
    ],
    tier=types_pb2.TIER_ACCURATE,
    percentile=0.9375,
    p_value=0.25,
    p_floor=0.125,
    same_prompt_p=0.0,
    same_prompt_floor=0.0625,
    calibration=types_pb2.CALIBRATION_SOURCE_CORPUS,
)


def test_evidence_tells_what_its_score_is_worth() -> None:
    found = semantic_from_proto(EVIDENCE)
    assert (found.score, found.tier, found.calibration) == (0.75, "accurate", "corpus")
    assert (found.percentile, found.p_value, found.p_floor) == (0.9375, 0.25, 0.125)
    assert (found.same_prompt_p, found.same_prompt_floor) == (0.0, 0.0625)
    assert found.pairs == found.sentences
    assert (found.pairs[0].query_text, found.pairs[0].match_text) == ("It rains.", "Il pleut.")


def test_the_json_has_the_keys_of_before_and_those_of_the_tiers() -> None:
    told = json.loads(json.dumps(as_dict(semantic_from_proto(EVIDENCE))))
    assert {"alignment", "cosine", "z", "sentences"} <= set(told)
    assert told["score"] == told["alignment"] == 0.75
    assert told["pairs"] == told["sentences"]
    assert told["pairs"][0]["match_text"] == "Il pleut."
    names = ("tier", "percentile", "p_value", "p_floor", "same_prompt_p", "calibration")
    assert [told[name] for name in names] == ["accurate", 0.9375, 0.25, 0.125, 0.0, "corpus"]


def test_figures_that_the_server_did_not_tell_are_none_and_not_zero() -> None:
    found = semantic_from_proto(types_pb2.SemanticEvidence(alignment=0.75))
    assert found.tier is None
    assert found.calibration is None
    assert found.percentile is found.p_value is found.p_floor is found.same_prompt_p is found.same_prompt_floor is None


@pytest.mark.parametrize("order", [(COPY, ACCURATE, FAST), (COPY, FAST, ACCURATE)])
def test_coverage_by_channel_is_that_of_the_accurate_tier(order: tuple[types_pb2.Coverage, ...]) -> None:
    result = search_result_from_proto(match_pb2.SearchResponse(coverage=order))
    corpus = corpus_from_proto(corpus_pb2.Corpus(coverage=order))
    for found in (result, corpus):
        assert {item.channel: item.share for item in found.coverage} == {"copy": 1.0, "semantic": 0.25}
        assert [item.tier for item in found.coverage] == [None, "accurate"]
        assert found.coverage_fast is not None
        assert (found.coverage_fast.filled, found.coverage_fast.share) == (8, 1.0)


def test_one_entry_without_a_tier_is_read_as_before() -> None:
    plain = types_pb2.Coverage(channel=types_pb2.CHANNEL_SEMANTIC, filled=2, fillable=8, share=0.25)
    found = search_result_from_proto(match_pb2.SearchResponse(coverage=[plain]))
    assert [(item.channel, item.share, item.tier) for item in found.coverage] == [("semantic", 0.25, None)]
    assert found.coverage_fast is None


def test_a_corpus_tells_what_the_channel_searches() -> None:
    index = corpus_pb2.SemanticIndex(table_name="table", indexed_rows=4, row_recall=0.99, calibration_pairs=1000)
    found = corpus_from_proto(corpus_pb2.Corpus(semantic=index)).semantic
    assert found is not None
    assert (found.table_name, found.indexed_rows, found.row_recall, found.sentence_recall) == ("table", 4, 0.99, None)
    assert found.calibration_pairs == 1000
    assert corpus_from_proto(corpus_pb2.Corpus()).semantic is None


def test_a_search_names_its_tier() -> None:
    tiers = {None: types_pb2.TIER_UNSPECIFIED, "fast": types_pb2.TIER_FAST, "accurate": types_pb2.TIER_ACCURATE}
    for name, number in tiers.items():
        assert search_request(SearchQuery(text="x", corpus="news", tier=name)).tier == number  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=r"'quick'.*fast, accurate") as caught:
        search_request(SearchQuery(text="x", corpus="news", tier="quick"))  # type: ignore[arg-type]
    assert [item.field for item in caught.value.field_violations] == ["tier"]


def test_rows_of_frames_have_the_evidence() -> None:
    hit = match_pb2.Hit(channel=types_pb2.CHANNEL_SEMANTIC, rank=1, id="a", score=0.75, semantic=EVIDENCE)
    found = search_result_from_proto(match_pb2.SearchResponse(hits=[hit])).hits[0]
    row = _hit_row(0, None, found)
    assert set(row) <= set(HIT_SCHEMA)
    assert (row["score"], row["p_value"], row["tier"], row["calibration"]) == (0.75, 0.25, "accurate", "corpus")
    assert row["pairs"][0]["query_text"] == "It rains."


def test_filling() -> None:
    message = semantic_pb2.Fill(
        corpus="news",
        state=semantic_pb2.FILL_STATE_RUNNING,
        coverage=[ACCURATE, FAST],
        rows_per_second=4.0,
        seconds_left=1.5,
    )
    found = fill_from_proto(message)
    assert (found.corpus, found.state, found.active) == ("news", "running", True)
    assert found.accurate is not None
    assert found.fast is not None
    assert (found.accurate.filled, found.fast.filled) == (2, 8)
    assert (found.rows_per_second, found.seconds_left) == (4.0, 1.5)
    message.ClearField("seconds_left")
    message.state = 99  # type: ignore[assignment]
    newer = fill_from_proto(message)
    assert (newer.state, newer.active, newer.seconds_left) == ("unknown", False, None)


@pytest.mark.parametrize("rate", [-1, math.inf, math.nan, "5", True])
def test_a_rate_that_is_none_is_refused(rate: object) -> None:
    with pytest.raises(InvalidArgumentError, match="most_rows_per_second"):
        start_fill_request("news", rate)  # type: ignore[arg-type]


def test_fitting() -> None:
    assert distil_request("news", 1000).sentences == 1000
    with pytest.raises(InvalidArgumentError, match="sentences"):
        distil_request("news", -1)
    report = distil_report_from_proto(semantic_pb2.DistilReport(table_digest="d", held_out=5, recall_after=0.5))
    assert (report.table_digest, report.held_out, report.recall_after) == ("d", 5, 0.5)
    assert report.recall_before is None


def test_two_models() -> None:
    assert start_fill_request("news", 0.0).model == ""
    assert start_fill_request("news", 0.0, "default").model == "default"
    filled = fill_from_proto(semantic_pb2.Fill(second_model="d", second_filled=3))
    assert (filled.second_model, filled.second_filled) == ("d", 3)
    message = semantic_pb2.CompareModelsResponse(
        first=semantic_pb2.ModelQuality(digest="a", same_prompt_auc=0.75), queries=10, agreement=0.5
    )
    found = model_comparison_from_proto(message)
    assert (found.first.digest, found.first.same_prompt_auc, found.first.same_prompt_share) == ("a", 0.75, None)
    assert (found.queries, found.agreement) == (10, 0.5)
