"""How sessions are opened: whether 8-bit products need care is found by making one, providers are checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kinprint.server.embed import OnnxEmbedder, session
from onnx import TensorProto, helper
from tiny_model import write_tiny_model

_CAREFUL = "session.x64quantprecision"


@pytest.fixture(autouse=True)
def _measured_anew() -> Iterator[None]:
    session.products_saturate.cache_clear()
    yield
    session.products_saturate.cache_clear()


def test_the_probe_is_one_product_of_a_saturating_kind() -> None:
    weights = np.full((64, 16), 127, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [2, 64])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [2, 16])],
        [helper.make_tensor("b", TensorProto.INT8, [64, 16], weights.tobytes(), raw=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=8)
    assert model.SerializeToString(deterministic=True) == session._PROBE
    made, exact = session.saturating_product()
    assert exact == 64 * 255 * 127
    # 16-bit sums of pairs end at 32767: an adding machine without VNNI gives this instead.
    assert made in (exact, 32 * 32767)


@pytest.mark.parametrize(("made", "careful"), [(2072640, None), (32 * 32767, "1"), (2072639, "1")])
def test_products_are_made_with_care_where_one_is_wrong(
    made: int, careful: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = []

    def product() -> tuple[int, int]:
        calls.append(1)
        return made, 2072640

    monkeypatch.setattr(session, "saturating_product", product)
    assert session.products_saturate() is (careful is not None)
    options = session.session_options(1, careful_products=session.products_saturate())
    if careful is None:
        with pytest.raises(Exception, match=_CAREFUL):
            options.get_session_config_entry(_CAREFUL)
    else:
        assert options.get_session_config_entry(_CAREFUL) == careful
    OnnxEmbedder(write_tiny_model(tmp_path))
    assert len(calls) == 1, "measured once per process"


def test_a_provider_that_is_not_there_is_refused(tmp_path: Path) -> None:
    write_tiny_model(tmp_path)
    with pytest.raises(session.ProviderError, match=r"'NoSuchProvider'; it has .*CPUExecutionProvider"):
        OnnxEmbedder(tmp_path, providers=["NoSuchProvider"])
    plain = OnnxEmbedder(tmp_path)
    chosen = OnnxEmbedder(tmp_path, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(chosen.embed_passages(["owl"]), plain.embed_passages(["owl"]))
    assert session.check_providers(()) == ("CPUExecutionProvider",)
