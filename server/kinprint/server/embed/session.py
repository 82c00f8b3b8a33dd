"""ONNX Runtime sessions as this package opens them: which processor runs them, and how int8 products are made."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kinprint.server.embed.directory import ModelDirectoryError

CPU_PROVIDER = "CPUExecutionProvider"
#: Names of execution providers, the preferred first, separated by commas.
PROVIDERS_VARIABLE = "KINPRINT_MODEL_PROVIDERS"

logger = logging.getLogger(__name__)

#: One `MatMulInteger` of uint8 [2, 64] and int8 [64, 16], all of the latter 127 (`tests` make it anew and compare).
#: As bytes, because importing `onnx` to write it takes longer than everything else that a start does.
_PROBE = (
    b'\x08\x08:\xda\x08\n\x18\n\x01a\n\x01b\x12\x01y"\rMatMulInteger\x12\x05probe*\x8c\x08\x08@\x08\x10\x10\x03B\x01bJ'
    b"\x80\x08" + b"\x7f" * 1024 + b"Z\x13\n\x01a\x12\x0e\n\x0c\x08\x02\x12\x08\n\x02\x08\x02\n\x02\x08@"
    b"b\x13\n\x01y\x12\x0e\n\x0c\x08\x06\x12\x08\n\x02\x08\x02\n\x02\x08\x10B\x04\n\x00\x10\x15"
)


class ProviderError(ModelDirectoryError):
    """The model is to be run by an execution provider that the installed ONNX Runtime does not have."""


def saturating_product() -> tuple[int, int]:
    """A product of uint8 and int8 that overflows 16 bits in pairs: as ONNX Runtime makes it, and exactly."""
    import onnxruntime as ort  # type: ignore[import-untyped,unused-ignore]  # a server without a model need not wait

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(_PROBE, options, providers=[CPU_PROVIDER])
    (made,) = session.run(None, {"a": np.full((2, 64), 255, np.uint8)})
    return int(made[0, 0]), 64 * 255 * 127


@functools.cache
def products_saturate() -> bool:
    """Whether this machine's uint8 x int8 products are wrong; measured once per process, in milliseconds.

    x86-64 processors without VNNI instructions add pairs of such products in 16 bits, which saturate, so that int8
    models give other, worse vectors.  What instructions a processor lists does not settle which ones ONNX Runtime
    takes, so one product is made and looked at.
    """
    made, exact = saturating_product()
    if made != exact:
        logger.info("8-bit products saturate on this machine (%d instead of %d): they are made in 16 bits", made, exact)
    return made != exact


def session_options(threads: int, *, careful_products: bool) -> Any:
    """Options of a session.

    Args:
        threads: of one inference.
        careful_products: turn int8 weights to uint8 where the graph multiplies them with uint8 values.  Slower by
            more than a factor of two on processors that multiply uint8 and int8 exactly, and needed on others.
    """
    import onnxruntime as ort  # type: ignore[import-untyped,unused-ignore]

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning workers burn the cores that other requests need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if careful_products:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def configured_providers() -> tuple[str, ...]:
    """Execution providers named in the environment variable `KINPRINT_MODEL_PROVIDERS`."""
    return tuple(name.strip() for name in os.environ.get(PROVIDERS_VARIABLE, "").split(",") if name.strip())


def check_providers(providers: Sequence[str]) -> tuple[str, ...]:
    """The execution providers to use, the preferred first; the CPU's last if it is not among them.

    Raises:
        ProviderError: the installed ONNX Runtime lacks one.
    """
    import onnxruntime as ort  # type: ignore[import-untyped,unused-ignore]

    known = ort.get_available_providers()
    for name in providers:
        if name not in known:
            raise ProviderError(
                f"the installed ONNX Runtime has no execution provider {name!r}; it has {', '.join(known)}"
            )
    return tuple(dict.fromkeys([*providers, CPU_PROVIDER]))


def open_session(model: Path | bytes, threads: int, providers: Sequence[str] = ()) -> Any:
    """An ONNX Runtime session.

    Args:
        model: the file, or its bytes.
        threads: of one inference.
        providers: execution providers, the preferred first; none means the CPU.

    Raises:
        ProviderError: as `check_providers`.
        Exception: ONNX Runtime's own, which share no base class, when it cannot load the model.
    """
    import onnxruntime as ort  # type: ignore[import-untyped,unused-ignore]

    names = check_providers(providers)
    options = session_options(threads, careful_products=products_saturate())
    return ort.InferenceSession(model if isinstance(model, bytes) else str(model), options, providers=list(names))
