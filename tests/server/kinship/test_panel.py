"""Panels: their bytes give them back, and what is damaged, newer or of another scheme is refused as such."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kin_answers import MANY, answers_of_few, calibrations, few, judged, many
from kinprint.server.failures import Failure
from kinprint.server.kinship import panel
from kinprint.server.kinship.crossfit import folds_of
from kinprint.server.kinship.labels import label
from kinprint.server.kinship.panel import Panel


def test_nothing_in_a_panel_is_infinite_or_missing() -> None:
    json.loads(many().to_bytes(), parse_constant=lambda name: pytest.fail(name))
    for calibration in calibrations():
        for values in (calibration.null, calibration.derived, calibration.kin, calibration.null_weight):
            assert np.isfinite(values).all()
            assert np.all(np.diff(values) >= 0) or values is calibration.null_weight
        assert calibration.null_weight.sum() == pytest.approx(1.0)


def resigned(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A panel that was changed by somebody who computes digests."""
    document = json.loads(few().to_bytes())
    del document["digest"]
    change(document)
    return panel._canonical({**document, "digest": panel._digest(document)})


def refused(data: bytes) -> Failure:
    with pytest.raises(Failure) as caught:
        Panel.from_bytes(data)
    assert caught.value.message
    return caught.value


@pytest.mark.parametrize("made", [many, few])
def test_bytes_give_back_the_panel(made: Callable[[], Panel]) -> None:
    data = made().to_bytes()
    read = Panel.from_bytes(data)
    assert data.endswith(b"\n")
    assert len(data) < 2 << 20
    assert read.to_bytes() == data
    assert read.digest == made().digest == json.loads(data)["digest"]
    assert read.summary() == made().summary()
    some = np.linspace(-5, 30, 200)
    for mine, theirs in zip(made().sizes, read.sizes, strict=True):
        np.testing.assert_array_equal(mine.p_value(some), theirs.p_value(some))
        np.testing.assert_array_equal(mine.log10_lr(some), theirs.log10_lr(some))
        np.testing.assert_array_equal(mine.is_derived(some), theirs.is_derived(some))
        assert mine.threshold == theirs.threshold
    names = [m.name for m in MANY] + ["stranger"]
    np.testing.assert_array_equal(read.folds(names), made().folds(names))


def test_the_bytes_are_canonical_json_with_the_keys_of_the_format() -> None:
    data = few().to_bytes()
    document = json.loads(data)
    assert data == json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    expected = "format version digest kinprint scheme corpus members families independent_families prompts pairs"
    assert set(expected.split()) | {"derived_from", "sizes", "bridged", "cautions", "suspects", "parameters"} == set(
        document
    )
    assert (document["format"], document["version"]) == ("kinprint-panel", 1)
    assert document["prompts"]["count"] == len(document["prompts"]["keys"]) == 12


def test_a_summary_holds_no_lists_of_scores() -> None:
    summary = many().summary()
    assert (summary["members"], summary["digest"]) == (24, many().digest)
    assert "keys" not in summary["prompts"]
    assert not {"null", "null_weight", "derived", "kin"} & set(summary["sizes"][0])
    assert len(json.dumps(summary)) < 20_000


def test_damaged_bytes_are_refused() -> None:
    data = few().to_bytes()
    chance = random.Random(1)
    for place in [0, len(data) - 2, *chance.sample(range(len(data)), 60)]:
        changed = bytearray(data)
        changed[place] ^= 1 << chance.randrange(7)
        try:
            read = Panel.from_bytes(bytes(changed)).digest
        except Failure as failure:
            read = failure.reason
        # White space, or a digit beyond what a float holds, may leave the panel as it was.
        assert read in ("PANEL_DAMAGED", "FORMAT_TOO_NEW", few().digest)
    for cut in (1, 2, 100, len(data) // 2, len(data) - 2):
        assert refused(data[:cut]).reason == "PANEL_DAMAGED"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"12",
        b'"kinprint-panel"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"format":"kinprint-evidence","version":1}',
        b'{"format":"kinprint-panel"}',
        b'{"format":"kinprint-panel","version":1}',
        b'{"format":"kinprint-panel","version":null}',
        b'{"format":"kinprint-panel","version":1e999}',
        b'{"format":"kinprint-panel","version":NaN}',
        b'{"format":"kinprint-panel","version":1,"digest":"","scheme":[]}',
    ],
)
def test_what_is_no_panel_is_refused(data: bytes) -> None:
    assert refused(data).reason == "PANEL_DAMAGED"


def test_a_changed_panel_is_refused_without_its_digest() -> None:
    document = json.loads(few().to_bytes())
    document["sizes"][0]["threshold"] = 0.0
    assert refused(json.dumps(document).encode()).reason == "PANEL_DAMAGED"


def test_newer_versions_and_other_schemes_are_refused_as_such() -> None:
    newer = refused(resigned(lambda d: d.update(version=2)))
    assert newer.reason == "FORMAT_TOO_NEW"
    assert "update" in newer.message
    # Whatever a newer version holds, this one cannot know its digest.
    assert refused(b'{"format":"kinprint-panel","version":7}').reason == "FORMAT_TOO_NEW"
    for change in ({"version": 99}, {"name": "other"}, {"window": 601}, {"families": ["words"]}):
        other = refused(resigned(lambda d, change=change: d["scheme"].update(change)))  # type: ignore[misc]
        assert other.reason == "PIPELINE_MISMATCH"
        assert "fit the panel again" in other.message


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(scheme=[]),
        lambda d: d.update(scheme="residual"),
        lambda d: d.update(members=[1]),
        lambda d: d.update(sizes=[{}]),
        lambda d: d.update(sizes=3),
        lambda d: d["sizes"][0].update(null=[]),
        lambda d: d["sizes"][0].update(null=["x"]),
        lambda d: d.update(prompts=None),
        lambda d: d.pop("parameters"),
    ],
)
def test_crafted_panels_are_refused(change: Callable[[dict[str, Any]], None]) -> None:
    assert refused(resigned(change)).reason in ("PANEL_DAMAGED", "PIPELINE_MISMATCH")


def test_a_panel_knows_the_folds_of_its_fit() -> None:
    names = [m.model for m in many().members]
    labels = label(names, many().members)
    np.testing.assert_array_equal(many().folds(names), folds_of(labels.family, 0))
    assert many().folds(["stranger", names[0]])[0] == many().parameters["folds"]


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all values, of long lists only the first and last."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += _leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for place in {0, len(value) - 1}:
            found += _leaves(value[place], (*path, place))
    return found


def test_a_forged_panel_is_refused_or_judges_without_a_fault() -> None:
    """Whoever forges a panel computes its digest, too: no value of it may end a run in a fault of the server."""
    odd: tuple[Any, ...] = (None, True, -1, 0, 10**30, 0.5, -1e308, 1e308, "", "x", [], [None], {}, {"a": []})
    paths = _leaves(json.loads(few().to_bytes()))
    assert len(paths) > 60
    chance = random.Random(5)
    outcomes = {"refused": 0, "judged": 0}
    reasons: set[str] = set()
    for path in paths:
        for value in chance.sample(odd, 4):

            def change(document: dict[str, Any], path: tuple[Any, ...] = path, value: Any = value) -> None:
                *above, last = path
                for key in above:
                    document = document[key]
                document[last] = value

            try:
                forged = Panel.from_bytes(resigned(change))
            except Failure as failure:
                reasons.add(failure.reason)
                outcomes["refused"] += 1
                continue
            outcomes["judged"] += 1
            if outcomes["judged"] % 5 == 0:
                judged(answers_of_few(), forged)
            forged.summary()
    assert reasons <= {"PANEL_DAMAGED", "FORMAT_TOO_NEW", "PIPELINE_MISMATCH"}
    assert outcomes["refused"] > 150
    assert outcomes["judged"] > 20
