"""What other libraries do with the same texts and the same weights, for `semantic.py`; driven by `semantic_worker`.

The interpreter is one that has sentence-transformers, fastembed, model2vec, faiss, qdrant-client and lancedb; Kinprint
need not be there. Models are read from directories; nothing is fetched.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from semantic_worker import Clock, Figures, peak, texts_of

BATCH = 32
"""Texts of a batch, the default of sentence-transformers."""

_loaded: dict[str, Any] = {}


def _threads() -> int:
    return int(os.environ["OMP_NUM_THREADS"])


def versions() -> dict[str, str]:
    """What is measured."""
    names = ("torch", "sentence-transformers", "fastembed", "onnxruntime", "model2vec", "tokenizers")
    return {name: version(name) for name in (*names, "faiss-cpu", "qdrant-client", "lancedb")}


# ---- embedding ----


def load_sentence_transformers(model: str, window: int) -> Figures:
    """fp32 weights in PyTorch."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(_threads())
    with Clock() as clock:
        made = SentenceTransformer(model, device="cpu")
        made.max_seq_length = window
    # Texts come with their prompt, as every library gets them.
    made.default_prompt_name = None
    _loaded["sentence-transformers"] = lambda texts: made.encode(
        list(texts), batch_size=BATCH, show_progress_bar=False, normalize_embeddings=True
    )
    return clock.figures()


def export_int8(fp32: str, out: str) -> Figures:
    """The usual int8 form of a model in PyTorch: exported to ONNX, then quantised dynamically, weights by channel.

    That is what users of ONNX Runtime make for themselves, with optimum's settings for AVX512-VNNI.
    """
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from transformers import AutoModel

    class Encoder(torch.nn.Module):
        """A model with inputs by place."""

        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModel.from_pretrained(source, add_pooling_layer=False, attn_implementation="eager").eval()

        def forward(self, ids: Any, mask: Any) -> Any:
            """Last hidden state [batch, sequence, dim]."""
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state

    made, source = Path(out), Path(fp32)
    if (made / "done").exists():
        return {}
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    with Clock() as clock:
        ids = torch.ones((2, 8), dtype=torch.int64)
        names = ["input_ids", "attention_mask"]
        axes = {name: {0: "batch", 1: "sequence"} for name in (*names, "last_hidden_state")}
        with torch.no_grad():
            torch.onnx.export(
                Encoder(), (ids, ids), str(made / "fp32.onnx"), input_names=names, output_names=["last_hidden_state"],
                dynamic_axes=axes, opset_version=17, dynamo=False,
            )  # fmt: skip
        quantize_dynamic(made / "fp32.onnx", made / "model.onnx", per_channel=True, weight_type=QuantType.QInt8)
    (made / "fp32.onnx").unlink()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, made / name)
    (made / "done").touch()
    return clock.figures(size=(made / "model.onnx").stat().st_size)


def load_fastembed(model: str, window: int) -> Figures:
    """int8 weights in ONNX Runtime; a copy of the model's directory is made beside it, as fastembed wants it."""
    import onnxruntime
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    made = Path(model).with_name(f"fastembed-{window}")
    _fastembed_directory(Path(model), made, window)
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(str(made / "model.onnx"), options, providers=["CPUExecutionProvider"])
    first = session.get_outputs()[0]
    pooled = len(first.shape) == 2
    del session
    TextEmbedding.add_custom_model(
        f"local/{made.name}",
        pooling=PoolingType.DISABLED if pooled else PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf=f"local/{made.name}"),
        dim=int(first.shape[-1]),
        model_file="model.onnx",
        size_in_gb=0.1,
    )
    with Clock() as clock:
        embedding = TextEmbedding(f"local/{made.name}", specific_model_path=str(made), threads=_threads())
    _loaded["fastembed"] = lambda texts: np.stack(list(embedding.embed(list(texts), batch_size=BATCH)))
    return clock.figures(pooled=pooled)


def _fastembed_directory(model: Path, made: Path, window: int) -> None:
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for path in model.iterdir():
        if path.is_file():
            (made / path.name).symlink_to(path.resolve())
    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    special = {k: v for k, v in settings.items() if k.endswith("_token")}
    for name, content in (
        ("tokenizer_config.json", {**settings, "model_max_length": window, "max_length": window}),
        ("special_tokens_map.json", special),
    ):
        (made / name).unlink(missing_ok=True)
        (made / name).write_text(json.dumps(content), encoding="utf-8")


def load_model2vec(table: str, tokenizer: str) -> Figures:
    """A table of tokens float32 [vocabulary, dim] in an .npy file."""
    from model2vec import StaticModel
    from tokenizers import Tokenizer

    vectors = np.load(table)
    with Clock() as clock:
        model = StaticModel(vectors, Tokenizer.from_file(tokenizer), normalize=True)
    _loaded["model2vec"] = lambda texts: model.encode(list(texts), use_multiprocessing=False)
    return clock.figures()


def embed(library: str, texts: str, first: int, last: int, keep: str | None = None) -> Figures:
    """Embed texts `first` to `last` of a file, each a string or, by sentence, a list of them."""
    some = texts_of(texts)[first:last]
    flat = [s for text in some for s in (text if isinstance(text, list) else [text])]
    with Clock() as clock:
        vectors = _loaded[library](flat)
    if keep:
        np.save(keep, np.asarray(vectors, np.float32))
    return clock.figures(texts=len(some), sentences=len(flat))


# ---- end to end ----


def _vectors(library: str, texts: Sequence[str], rows: int) -> tuple[np.ndarray, Clock]:
    """Vectors of the texts, unit float32; beyond them copies with a little noise, up to `rows`."""
    with Clock() as clock:
        vectors = np.asarray(_loaded[library](texts), np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    random = np.random.default_rng(0)
    more = max(0, rows - len(vectors))
    copies = vectors[random.integers(len(vectors), size=more)] + random.normal(0, 0.02, (more, vectors.shape[1]))
    made = np.concatenate([vectors, copies / np.linalg.norm(copies, axis=1, keepdims=True)]).astype(np.float32)
    return made, clock


def flow(
    library: str, store: str, texts: str, queries: str, rows: int, most: int, relations: list[list[int]], work: str
) -> Figures:
    """Load rows and search them, as a user of this library and this store would.

    At most `most` texts are embedded; the time of the rest is in proportion, and their vectors are near copies.
    `relations` are pairs of places in the texts, whose ranks of each other are told.
    """
    everything = texts_of(texts)[:rows]
    some = everything[:most]
    vectors, embedding = _vectors(library, some, len(everything))
    with Clock() as clock:
        search = _STORES[store](vectors, everything, Path(work))
    times = []
    asked = texts_of(queries)
    for text in asked:
        began = time.perf_counter()
        search(np.asarray(_loaded[library]([text]), np.float32)[0], 10)
        times.append((time.perf_counter() - began) * 1000)
    ranks = []
    for one, other in relations:
        for query, wanted in ((one, other), (other, one)):
            found = [k for k in search(vectors[query], 200) if k < len(some) and k != query]
            # A copy of the query or of what is wanted is no mistake.
            found = [k for k in found if k == wanted or some[k] not in (some[query], some[wanted])]
            ranks.append(found.index(wanted) + 1 if wanted in found else 0)
    scale = len(everything) / len(some)
    return {
        "rows": len(everything),
        "embedded": len(some),
        "wall": embedding.wall * scale + clock.wall,
        "cpu": embedding.cpu * scale + clock.cpu,
        "embedding_cpu": embedding.cpu * scale,
        "ms": times,
        "ranks": ranks,
        "peak": peak(),
    }


Search = Callable[[np.ndarray, int], list[int]]


def _faiss(vectors: np.ndarray, texts: Sequence[str], work: Path) -> Search:
    import faiss

    faiss.omp_set_num_threads(_threads())
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return lambda query, top: [int(k) for k in index.search(query[None], top)[1][0] if k >= 0]


def _qdrant(vectors: np.ndarray, texts: Sequence[str], work: Path) -> Search:
    from qdrant_client import QdrantClient, models

    folder = work / "qdrant"
    shutil.rmtree(folder, ignore_errors=True)
    client = QdrantClient(path=str(folder))
    client.create_collection(
        "rows", vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)
    )
    client.upload_collection(
        "rows", vectors=vectors, payload=[{"text": text} for text in texts], ids=range(len(vectors)), batch_size=256
    )
    return lambda query, top: [int(p.id) for p in client.query_points("rows", query=query.tolist(), limit=top).points]


def _lancedb(vectors: np.ndarray, texts: Sequence[str], work: Path) -> Search:
    import lancedb
    import pyarrow as pa

    folder = work / "lancedb"
    shutil.rmtree(folder, ignore_errors=True)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = lancedb.connect(str(folder)).create_table(
        "rows", pa.table({"id": pa.array(range(len(vectors))), "text": pa.array(texts), "vector": fixed})
    )

    def search(query: np.ndarray, top: int) -> list[int]:
        found = table.search(query).distance_type("cosine").limit(top).select(["id", "_distance"]).to_arrow()
        return [int(k) for k in found["id"].to_pylist()]

    return search


_STORES: dict[str, Callable[[np.ndarray, Sequence[str], Path], Search]] = {
    "faiss": _faiss,
    "qdrant": _qdrant,
    "lancedb": _lancedb,
}


TASKS = {
    "versions": versions,
    "export_int8": export_int8,
    "load_sentence_transformers": load_sentence_transformers,
    "load_fastembed": load_fastembed,
    "load_model2vec": load_model2vec,
    "embed": embed,
    "flow": flow,
}
