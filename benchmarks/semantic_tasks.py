"""What Kinprint does, for `semantic.py`: how quick both tiers are, and how near int8 comes to fp32.

Driven by `semantic_worker`, in the same way as `semantic_peers`.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kinprint.server import threads

threads.configure()

import numpy as np  # noqa: E402
from kinprint.server.embed import OnnxEmbedder, build_default_model, load_space, sentences_of  # noqa: E402
from kinprint.server.embed.distil import load_table, table_directory  # noqa: E402
from kinprint.server.embed.static import StaticTable  # noqa: E402
from kinprint.server.embed.table_cache import note_table  # noqa: E402
from kinprint.server.store.columns import encode_texts  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from semantic_worker import Clock, Figures, texts_of  # noqa: E402

_loaded: dict[str, OnnxEmbedder] = {}
_tables: dict[str, StaticTable] = {}


# ---- models ----


def model(layers: int | None = None) -> str | None:
    """Directory of the default model, built if need be; with fewer layers: None where that is no setting."""
    if layers is None:
        return str(build_default_model())
    if "layers" not in inspect.signature(build_default_model).parameters:
        return None
    return str(build_default_model(layers=layers))  # type: ignore[call-arg]


def shape(directory: str) -> Figures:
    """The encoder's sizes, and what a text of it is preceded by."""
    root = Path(directory)
    config = json.loads((root / "config.json").read_text(encoding="utf-8"))
    path = root / "config_sentence_transformers.json"
    prompts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known = prompts.get("prompts") or {}
    default = known.get(prompts.get("default_prompt_name") or "", "")
    return {
        "name": root.name,
        "hidden": config["hidden_size"],
        "layers": config["num_hidden_layers"],
        "feed_forward": config["intermediate_size"],
        "prompt": next((known[key] for key in ("passage", "document", "corpus") if key in known), default),
    }


def table(directory: str) -> Figures:
    """The default table of a model, made if need be, and noted so that a server finds it."""
    embedder = OnnxEmbedder(Path(directory), threads=1, max_windows=2)
    with Clock() as clock:
        load_table(embedder, load_space(embedder), Path(directory), lambda step, share: None)
    where = table_directory(embedder)
    note_table("default", where)
    return clock.figures(directory=str(where))


def write_fp32(directory: str, out: str) -> None:
    """The weights of the default model, as float32, in the sentence-transformers layout; for PyTorch.

    The weights are those that the model's int8 form was made of.
    """
    from kinprint.server.embed.default_model import weights
    from kinprint.server.embed.default_model.pack import Pack

    root, made = Path(directory), Path(out)
    if (made / "done").exists():
        return
    made.mkdir(parents=True, exist_ok=True)
    pack = Pack(weights.load_pack())
    config = json.loads((root / "config.json").read_text(encoding="utf-8"))
    _write_safetensors(made / "model.safetensors", _bert(pack))
    config |= {"architectures": ["BertModel"], "num_hidden_layers": pack.config.layers}
    (made / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json", "1_Pooling/config.json"):
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_bytes((root / name).read_bytes())
    modules = json.loads((root / "modules.json").read_text(encoding="utf-8"))
    (made / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (made / "done").touch()


def _bert(pack: Any) -> dict[str, NDArray[np.float32]]:
    """Tensors by the names that BertModel has for them."""
    c = pack.config
    named = {
        "embeddings.word_embeddings.weight": pack.matrix("emb.word", c.hidden),
        "embeddings.position_embeddings.weight": pack.float32("emb.pos").reshape(c.positions, c.hidden),
        "embeddings.token_type_embeddings.weight": pack.float32("emb.type").reshape(c.token_types, c.hidden),
        "embeddings.LayerNorm.weight": pack.float32("emb.ln.w"),
        "embeddings.LayerNorm.bias": pack.float32("emb.ln.b"),
    }
    linear = {
        "q": ("attention.self.query", c.hidden),
        "k": ("attention.self.key", c.hidden),
        "v": ("attention.self.value", c.hidden),
        "ao": ("attention.output.dense", c.hidden),
        "fi": ("intermediate.dense", c.hidden),
        "fo": ("output.dense", c.feed_forward),
    }
    norms = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
    for i in range(c.layers):
        for short, (name, inputs) in linear.items():
            named[f"encoder.layer.{i}.{name}.weight"] = pack.matrix(f"l{i}.{short}.w", inputs)
            named[f"encoder.layer.{i}.{name}.bias"] = pack.float32(f"l{i}.{short}.b")
        for short, name in norms.items():
            named[f"encoder.layer.{i}.{name}.weight"] = pack.float32(f"l{i}.{short}.w")
            named[f"encoder.layer.{i}.{name}.bias"] = pack.float32(f"l{i}.{short}.b")
    return named


def _write_safetensors(path: Path, tensors: dict[str, NDArray[np.float32]]) -> None:
    """The format is a header of JSON and the tensors one after another."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, values in tensors.items():
        size = 4 * values.size
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode("ascii")
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            out.write(np.ascontiguousarray(values, np.float32).data)


# ---- the accurate tier ----


def load_accurate(name: str, directory: str, max_windows: int = 2) -> Figures:
    """Load a model under a name, as a server does; fewer windows: only so much of a text is embedded."""
    with Clock() as clock:
        _loaded[name] = OnnxEmbedder(Path(directory), threads=1, max_windows=max_windows)
    return clock.figures()


def _workers() -> int:
    return len(os.sched_getaffinity(0))


def _embedded(embedder: OnnxEmbedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """As a server does it: a thread for each core, each with a share of the texts."""
    parts = [texts[k :: _workers()] for k in range(_workers())]
    if len(parts) == 1:
        return embedder.embed_passages(texts)
    out = np.empty((len(texts), embedder.dim), np.float32)
    with ThreadPoolExecutor(len(parts)) as pool:
        for k, vectors in enumerate(pool.map(embedder.embed_passages, parts)):
            out[k :: len(parts)] = vectors
    return out


def embed(name: str, texts: str, first: int, last: int, keep: str | None = None) -> Figures:
    """Embed texts `first` to `last` of a file, each a string or, by sentence, a list of them."""
    some = texts_of(texts)[first:last]
    flat = [s for text in some for s in (text if isinstance(text, list) else [text])]
    with Clock() as clock:
        vectors = _embedded(_loaded[name], flat)
    if keep:
        np.save(keep, vectors)
    return clock.figures(texts=len(some), sentences=len(flat))


def tokens(name: str, texts: str, first: int, last: int) -> int:
    """Tokens that the model works on for these texts, the frame of special tokens included; equal sentences once."""
    some = texts_of(texts)[first:last]
    flat = dict.fromkeys(s for text in some for s in (text if isinstance(text, list) else [text]))
    return sum(len(window) for text in flat for window in _loaded[name].plan(text).windows)


def split(texts: str, out: str) -> None:
    """Cut the texts of a file into sentences."""
    Path(out).write_text(json.dumps([sentences_of(text) for text in texts_of(texts)]), encoding="utf-8")


def same_alone(name: str, texts: str) -> float:
    """Largest difference between a text's vector alone and among all others, in any order."""
    some = texts_of(texts)
    together = _embedded(_loaded[name], some)
    alone = np.concatenate([_loaded[name].embed_passages([text]) for text in some])
    order = np.random.default_rng(0).permutation(len(some))
    again = np.empty_like(together)
    again[order] = _embedded(_loaded[name], [some[k] for k in order])
    return float(max(np.abs(together - alone).max(), np.abs(together - again).max()))


def short_ones(name: str, texts: str, out: str, most: int = 240) -> list[int]:
    """Those texts of a file that fit one window, written to another; their places."""
    some = texts_of(texts)
    kept = [k for k, text in enumerate(some) if len(_loaded[name].plan(text).windows) == 1]
    kept = [k for k in kept if len(_loaded[name].plan(some[k]).windows[0]) <= most]
    Path(out).write_text(json.dumps([some[k] for k in kept]), encoding="utf-8")
    return kept


def peak_int8(hidden: int, feed_forward: int) -> dict[str, float]:
    """Products of uint8 and int8 that ONNX Runtime makes here, 10^9 multiplications a CPU second, by shape.

    MatMulInteger at the shapes of the model, for the number of tokens at which it is quickest.
    """
    shapes = {
        "qkv": (hidden, 3 * hidden),
        "attention out": (hidden, hidden),
        "feed forward in": (hidden, feed_forward),
        "feed forward out": (feed_forward, hidden),
    }
    return {name: max(_products(m, k, n) for m in (64, 128, 256)) for name, (k, n) in shapes.items()}


def _products(m: int, k: int, n: int) -> float:
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = random.integers(-127, 127, (k, n)).astype(np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b", "az", "bz"], ["y"])],
        "peak",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [m, k])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [m, n])],
        [
            numpy_helper.from_array(weights, "b"),
            numpy_helper.from_array(np.array(120, np.uint8), "az"),
            numpy_helper.from_array(np.zeros(n, np.int8), "bz"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    # With the library's own settings: ours may give up speed for precision where a processor needs that.
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_ortvalue_input("a", ort.OrtValue.ortvalue_from_numpy(random.integers(0, 255, (m, k)).astype(np.uint8)))
    binding.bind_output("y")
    repeats = max(4, int(2e9 / (m * k * n)))
    best = float("inf")
    for _ in range(6):
        with Clock() as clock:
            for _ in range(repeats):
                session.run_with_iobinding(binding)
        best = min(best, clock.cpu)
    return m * k * n * repeats / best / 1e9


# ---- the fast tier ----


def load_fast(directory: str) -> Figures:
    """Load a table, and have its kernels compiled; nothing of the texts to come is in its caches."""
    with Clock() as clock:
        made = StaticTable.load(Path(directory))
        made.rows(*encode_texts(["Loaded."]))
    _tables["table"] = made
    return clock.figures(tokenizer=str(Path(directory) / "tokenizer.json"))


def write_table(out: str) -> None:
    """The table as float32 [vocabulary, dim], for libraries that want it so."""
    made = _tables["table"]
    np.save(out, made.vectors * made.scales[:, None])


def fast(texts: str, first: int, last: int, keep: str | None = None) -> Figures:
    """Fast vectors of some texts, cutting into sentences and tokens counted."""
    buffers = encode_texts(texts_of(texts)[first:last])
    with Clock() as clock:
        codes, scales = _tables["table"].rows(*buffers)
    if keep:
        np.save(keep, codes * scales[:, None])
    return clock.figures(texts=last - first, bytes=int(buffers[1][-1]))


def tokenise(texts: str, first: int, last: int) -> Figures:
    """The tokenizer's own library on the same texts, and nothing else."""
    from tokenizers import Tokenizer

    if "library" not in _libraries:
        directory = _tables["table"].directory
        assert directory is not None
        _libraries["library"] = Tokenizer.from_file(str(directory / "tokenizer.json"))
        _libraries["library"].no_padding()
        _libraries["library"].no_truncation()
    some = texts_of(texts)[first:last]
    with Clock() as clock:
        made = _libraries["library"].encode_batch(some, add_special_tokens=False)
    return clock.figures(texts=last - first, tokens=sum(len(one.ids) for one in made))


_libraries: dict[str, Any] = {}

TASKS = {
    "model": model,
    "shape": shape,
    "table": table,
    "write_fp32": write_fp32,
    "load_accurate": load_accurate,
    "embed": embed,
    "tokens": tokens,
    "split": split,
    "same_alone": same_alone,
    "short_ones": short_ones,
    "peak_int8": peak_int8,
    "load_fast": load_fast,
    "write_table": write_table,
    "fast": fast,
    "tokenise": tokenise,
}
