"""Data directories of released versions: how they are packed, asked, and described.

A folder `tests/data/released/<version>/` holds what that version wrote and answered:

- `data.tar.xz`: `data/`, a data directory; `model/`, the embedding model of its server; `panel.json`, a panel fitted on
  it;
- `expected.json`: calls of the client with their answers;
- `layout.json`: what the files are that it writes (`written_layout`).

`tools/make_released_data.py` makes the folder. Only the public client is used, so that a later version is asked in the
same way.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import math
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from kinprint.client import (
    Client,
    Filter,
    PanelEdge,
    PanelFile,
    PanelMember,
    Transcript,
    TranscriptRef,
    UnknownText,
    as_dict,
)
from kinprint.client.types import Matrix

FOLDER = Path(__file__).parent / "data" / "released"
ARCHIVE, EXPECTED, LAYOUT = "data.tar.xz", "expected.json", "layout.json"
TOLERANCE = 1e-6
"""Of numbers, absolute or relative, where the libraries and the processor are those that the data was made with."""
TOLERANCE_ELSEWHERE = 1e-4

Describe = Callable[[Path], Any]


def versions() -> list[str]:
    """Versions with a folder, oldest first."""
    return sorted((p.name for p in FOLDER.iterdir() if p.is_dir()), key=lambda v: [int(x) for x in v.split(".")])


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_expected(path: Path, value: Mapping[str, Any]) -> None:
    """Write `expected.json`, one answer a line."""
    head = json.dumps({k: v for k, v in value.items() if k != "answers"}, ensure_ascii=False)
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in value["answers"])
    path.write_text(f'{head[:-1]}, "answers": [\n{lines}\n]}}\n', encoding="utf-8")


# ---- archives ----


def pack(folder: Path, archive: Path) -> None:
    """Write the files of a folder: sorted, without owners and times, so that equal files make equal archives."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = 0
        entry.mode = 0o755 if entry.isdir() else 0o644
        return entry

    # Fingerprints stand in the record and in the indexes: a window over everything finds the second time.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 32 << 20}]
    with lzma.open(archive, "wb", filters=filters) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=plain)


def unpack(version: str, into: Path) -> Path:
    """Unpack the archive of a version and return the folder with `data/`, `model/` and the documents."""
    with tarfile.open(FOLDER / version / ARCHIVE, "r:xz") as tar:
        tar.extractall(into, filter="data")
    return into


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of corpora below a data directory, and of `kinprint.json`."""
    files = [*(folder / "corpora").rglob("*"), folder / "kinprint.json"]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
        if path.is_file() and not path.name.endswith(".lock")
    }


# ---- answers ----


def environment(client: Client) -> dict[str, Any]:
    """What floating-point results may depend on: libraries that compute, and the processor's vector units."""
    libraries = client.server_info().libraries
    named = ("numpy", "scipy", "scikit-learn", "numba", "onnxruntime", "faiss-cpu")
    try:
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        flags = None
    units = sorted(set(flags.group(1).split()) & {"avx", "avx2", "fma", "avx512f"}) if flags else []
    return {"libraries": {k: libraries[k] for k in named}, "machine": platform.machine(), "units": units}


def ask(client: Client, folder: Path, call: str, arguments: Mapping[str, Any]) -> Any:
    """Plain data of what a call answers, without what differs from one run to the next.

    Args:
        client: a client of a server of `<folder>/data`.
        folder: where the archive was unpacked.
        call: name of a method of the client, or `list_digests`, `export`, `refit_panel`.
        arguments: JSON; a panel is the name of a file in `folder`.
    """
    given = {name: _argument(folder, name, value) for name, value in arguments.items()}
    own = {"list_digests": _list_digests, "export": _export, "refit_panel": _refit_panel}
    if call in own:
        return rounded(own[call](client, **given))
    found = getattr(client, call)(**given)
    return rounded(_PLAIN.get(call, as_dict)(found))


def _argument(folder: Path, name: str, value: Any) -> Any:
    match name:
        case "panel":
            return PanelFile.load(folder / value)
        case "filter" | "against_filter":
            times = {k: datetime.fromisoformat(v) for k, v in value.items() if k.startswith("created")}
            return Filter(**{**value, **times})
        case "a" | "b" if isinstance(value, dict):
            return TranscriptRef(**value)
        case "texts" if value and isinstance(value[0], dict):
            return [UnknownText(**text) for text in value]
        case "members":
            return [PanelMember(**member) for member in value]
        case "edges":
            return [PanelEdge(**edge) for edge in value]
        case "also":
            return [tuple(pair) for pair in value]
        case _:
            return value


def rounded(value: Any) -> Any:
    """The same with numbers of ten digits, so that files stay small; NaN reads as None."""
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.10g}")
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value


def _sha256(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _matrix(matrix: Matrix | None, values: bool = False) -> Any:
    if matrix is None:
        return None
    content = {"values": matrix.tolist()} if values else {"sha256": _sha256(matrix.data)}
    return {"dtype": matrix.dtype, "shape": list(matrix.shape), **content}


def _server_info(info: Any) -> Any:
    kept = ("channels", "pipeline", "sketch_scheme", "style_scheme", "unicode_version", "formats", "limits", "model")
    return {name: as_dict(getattr(info, name)) for name in kept} | {"corpora": info.corpora}


def _corpora(infos: Iterable[Any]) -> Any:
    return [_corpus(info) for info in infos]


def _corpus(info: Any) -> Any:
    made = as_dict(info)
    del made["disk_bytes"]  # of the file system, and of what stands beside the data
    return made


def _fingerprints(found: Any) -> Any:
    return {
        "sketch_scheme": found.sketch_scheme,
        "sketches": _matrix(found.sketches),
        "text_hashes": _matrix(found.text_hashes),
        "style_scheme": found.style_scheme,
        "styles": _matrix(found.styles),
        "model_digest": found.model_digest,
        "embeddings": _matrix(found.embeddings, values=True),
    }


def _search_result(found: Any) -> Any:
    made = as_dict(found)
    del made["timings"]
    del made["query"]["copy_verified"]  # how the answer was found, not what it is
    return made


def _streamed(stream: Any) -> Any:
    """All rows of a stream of batches in one order, and its totals."""
    rows: list[Sequence[Any]] = []
    names: list[str] = []
    for batch in stream:
        table = as_dict(batch)
        names = list(table)
        rows += zip(*table.values(), strict=True)
    rows.sort(key=lambda row: json.dumps([value for value in row if not isinstance(value, float)]))
    return {"columns": names, "rows": rows, "summary": as_dict(stream.summary)}


def _attributed(stream: Any) -> Any:
    sets = [as_dict(one) for batch in stream for one in batch]
    return {"sets": sets, "summary": as_dict(stream.summary)}


def _lineage(found: Any) -> Any:
    length = re.compile(r":(-?[0-9.]+(?:e[+-]?[0-9]+)?)")
    return {
        "models": list(found.models),
        "tree": length.sub(":", found.newick),
        "lengths": [float(one) for one in length.findall(found.newick)],
        "order": list(found.order),
        "scores": _matrix(found.scores, values=True),
        "merges": _matrix(found.merges, values=True),
        "cautions": list(found.cautions),
    }


def document(data: bytes) -> dict[str, Any]:
    """A panel or an evidence document, without the version that made it and what is computed over that."""
    made = json.loads(data)
    return {name: made[name] for name in made if name not in ("kinprint", "digest")}


def _evidence(found: Any) -> Any:
    made = document(found.data)
    made.pop("provenance", None)  # told since; it names the record, and each directory has one of its own
    return {"document": made, "sha256": _sha256(made)}


def _refit_panel(client: Client, **arguments: Any) -> Any:
    made = document(client.fit_panel(**arguments).data)
    return {"document": made, "sha256": _sha256(made)}


def _list_digests(client: Client, corpus: str) -> Any:
    """Rows of a corpus, each as its id, its content hash and a digest of all its fields."""
    return [[row.id, row.content_hash.hex(), _sha256(as_dict(row))[:32]] for row in client.list(corpus)]


def _export(client: Client, corpus: str) -> Any:
    """What `kinprint export` writes; keys of metadata come in any order."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.ndjson"
        command = [sys.executable, "-m", "kinprint.client.cli", "export", "--server", client.address]
        subprocess.run([*command, "--corpus", corpus, "--out", str(out), "--quiet"], check=True, capture_output=True)
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {"rows": len(rows), "sha256": _sha256(rows)}


_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "server_info": _server_info,
    "get_corpus": _corpus,
    "list_corpora": _corpora,
    "list": lambda rows: [as_dict(row) for row in rows],
    "fingerprint": _fingerprints,
    "search": _search_result,
    "find_duplicates": _streamed,
    "find_clusters": _streamed,
    "find_overlaps": _streamed,
    "find_kinship": _streamed,
    "attribute": _attributed,
    "find_lineage": _lineage,
    "build_evidence": _evidence,
}


#: Sentence vectors are kept in eight bits since.
TOLERANCE_MEANING = 5e-3
#: Style scores go by living rows since: those that had died, and lay in an index still, counted.
TOLERANCE_STYLE = 3e-2
#: What answers have told since: coverage and index of a tier, what a semantic score is worth, what an answer was made
#: from, limits of a server, how rare a span is, and the largest cluster.
ADDED = frozenset(
    {"coverage_fast", "semantic", "tier", "percentile", "p_value", "p_floor", "same_prompt_p", "same_prompt_floor"}
    | {"calibration", "score", "pairs", "query_text", "match_text", "provenance", "server_limits", "load"}
    | {"bits", "largest_cluster", "least_similarity", "least_is_exact"}
)


#: What says which version answers, and rows that style scores go by: living ones since.
NEWER = frozenset({"formats", "reference_rows"})


#: Shared stretches, and what is counted and weighed of them: runs of folded tokens since, and of equal bytes before.
STRETCHES = frozenset({"spans", "spans_omitted", "spans_summary"})
#: Code points at each end of an earlier stretch that may have been a part of a word, or punctuation.
CUT = 24
#: Rarity that a question asked for.
LEAST_BITS = 5.0


def _lost_span(expected: Mapping[str, Any], found: Mapping[str, Any], where: str) -> str | None:
    """A stretch of two texts that was told before and lies within none now; None when there is none."""
    names = ("query_start", "query_end", "match_start", "match_end")
    now = [[span[name] for name in names] for span in found["spans"]]
    for span in expected["spans"] if not found["spans_omitted"] else ():
        if not _within([span[name] for name in names], now):
            return f"{where}.spans: {span} lies within none of {now}"
    return None


def _lost_passage(expected: Mapping[str, Any], found: Mapping[str, Any], where: str) -> str | None:
    """A passage of an answer that was told before and lies within none of that answer now."""
    for name in ("texts", "against"):
        if expected["summary"][name] != found["summary"][name]:
            return f"{where}.{name}: {expected['summary'][name]} expected, {found['summary'][name]} found"
    rows, now = ([dict(zip(some["columns"], row, strict=True)) for row in some["rows"]] for some in (expected, found))
    if rows and min(row["bits"] for row in rows) >= LEAST_BITS:
        return None  # the rare ones alone were asked for, and what more answers are found to have is less rare
    for row in rows:
        places = [[r["start_a"], r["end_a"]] * 2 for r in now if r["id_a"] == row["id_a"]]
        if not _within([row["start_a"], row["end_a"]] * 2, places):
            return f"{where}: {row} lies within none of {places}"
    return None


def _within(place: list[int], others: list[list[int]]) -> bool:
    first, last, first_there, last_there = place
    return last - first <= 2 * CUT or any(
        o[0] <= first + CUT and last - CUT <= o[1] and o[2] <= first_there + CUT and last_there - CUT <= o[3]
        for o in others
    )


def difference(expected: Any, found: Any, tolerance: float, where: str = "answer") -> str | None:
    """The first place where two answers differ; None when they are the same.

    Digests of documents are compared at `TOLERANCE` alone: elsewhere the last digits of numbers may differ.
    """
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        if expected.get("channel") == "semantic" or "alignment" in expected:
            tolerance = max(tolerance, TOLERANCE_MEANING)
        if expected.get("channel") == "style" or "cosine_delta" in expected:
            tolerance = max(tolerance, TOLERANCE_STYLE)
        if "spans_omitted" in expected and (lost_span := _lost_span(expected, found, where)):
            return lost_span
        if "start_a" in expected.get("columns", ()):
            return _lost_passage(expected, found, where)
        # What a later version adds is there to be told, and empty where the earlier one had nothing to tell.
        added = {name for name in found.keys() - expected.keys() - ADDED if found[name]}
        if lost := (expected.keys() - found.keys()) | added:
            return f"{where}: fields {sorted(lost)}"
        loose = "document" in expected  # it lists stretches, see STRETCHES
        told = [k for k in expected if not (loose and k == "sha256") and k not in NEWER | STRETCHES]
        if "z" in told and "alignment" in told and not math.isclose(expected["z"], found["z"], abs_tol=10 * tolerance):
            return f"{where}.z: {expected['z']!r} expected, {found['z']!r} found"
        pairs = [(f"{where}.{k}", expected[k], found[k]) for k in told if k != "z" or "alignment" not in told]
    elif isinstance(expected, list) and isinstance(found, (list, tuple)):
        if where.endswith(".sentences"):  # nearest first, and rounding decides between equals
            expected, found = (sorted(some, key=lambda pair: pair["query_start"]) for some in (expected, found))
        if where.endswith(".hits"):  # below the first, style ranks others: see TOLERANCE_STYLE
            counts = [sum(hit["channel"] == "style" for hit in some) for some in (expected, found)]
            if counts[0] != counts[1]:
                return f"{where}: {counts[0]} hits by style expected, {counts[1]} found"
            expected, found = (
                [hit for hit in some if hit["channel"] != "style" or hit["rank"] == 1] for some in (expected, found)
            )
        if len(expected) != len(found):
            return f"{where}: {len(expected)} items expected, {len(found)} found"
        pairs = [(f"{where}[{k}]", a, b) for k, (a, b) in enumerate(zip(expected, found, strict=True))]
    else:
        numbers = isinstance(expected, float) or isinstance(found, float)
        same = (
            math.isclose(expected, found, rel_tol=tolerance, abs_tol=tolerance)
            if numbers and None not in (expected, found)
            else expected == found
        )
        return None if same else f"{where}: {expected!r} expected, {found!r} found"
    return next((problem for w, a, b in pairs if (problem := difference(a, b, tolerance, w))), None)


# ---- layout of what is written ----


def write_rows(client: Client, data: Path) -> None:
    """Write into an empty data directory every kind of file: all channels and fields, puts, fills, deletes, a
    checkpoint of the log, and a generation of two segments with dead rows."""
    full = Transcript(
        "Reading aloud slows the eye down to the speed of the voice. Mistakes become audible.",
        id="full",
        model="anna",
        prompt_id="p1",
        prompt="Why read aloud?",
        language="en",
        account_id="k1",
        created_at=datetime(2026, 3, 1, 12, 30, 0, 123456, UTC),
        metadata={"source": "forum"},
        system_prompt="Be brief.",
        conversation_id="c",
        turn=1,
        reasoning="Voice is slow.",
    )

    def notes(first: int, count: int, draft: int = 0) -> list[Transcript]:
        text = "Note {} on number {}, draft {}."
        some = range(first, first + count)
        return [Transcript(text.format(k, k * k, draft), id=f"n{k:04}", language="en") for k in some]

    name = "Layout.1"
    client.upsert("plain", notes(0, 3))
    client.upsert(name, [full, *notes(0, 499)], channels=("copy",))  # one batch, so one segment
    client.upsert(name, [full, *notes(0, 9)], channels=("copy", "style", "semantic"))
    client.purge(name)  # publishes a generation before it returns
    for row in notes(0, 50):
        client.delete(name, [row.id or ""])
    # 1,050 rows since then are worth another; the 214 of them that live are few enough to stay a segment of their own.
    for draft in range(5):
        client.upsert(name, notes(500 + draft, 210, draft))
    wait_for_generation(data, name, 2)
    client.upsert(name, notes(800, 30))


def wait_for_generation(data: Path, corpus: str, least: int, seconds: float = 120.0) -> None:
    """Wait until the generation `least` of a corpus, or a later one, is there."""
    deadline = time.monotonic() + seconds
    while not any(
        int(path.parent.name) >= least
        for path in data.glob(f"corpora/{corpus.lower()}-*/generations/[0-9]*/manifest.json")
    ):
        if time.monotonic() > deadline:
            raise TimeoutError(f"generation {least} of {corpus} was not published")
        time.sleep(0.05)


def written_layout(data: Path) -> dict[str, Any]:
    """What the files of a data directory are: names with what varies in them replaced, and descriptions.

    Descriptions hold what this project decides (schemas, types, compression, keys, headers), not what a library
    may change between its releases. Files of one name that differ give several descriptions.
    """
    found: dict[str, set[str]] = {}
    for path in sorted(data.rglob("*")):
        name = _pattern(str(path.relative_to(data)))
        if path.is_file() and name != "server.log":
            found.setdefault(name, set()).add(json.dumps(_describe(name, path), sort_keys=True))
    return {name: [json.loads(one) for one in sorted(several)] for name, several in sorted(found.items())}


def _pattern(name: str) -> str:
    for what, instead in (
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
        (r"(?<=-)[0-9a-f]{8}(?=/)", "<id>"),
        (r"\d{20}", "<version>"),
        (r"(?<=generations/)\d+/\d+(?=/)", "<generation>/<segment>"),
        (r"(?<=generations/)\d+(?=/)", "<generation>"),
    ):
        name = re.sub(what, instead, name)
    return name


def _describe(name: str, path: Path) -> Any:
    if name == "kinprint.json":
        return path.read_text(encoding="utf-8")
    if name.endswith("/manifest.json"):
        manifest = read_json(path)
        segments = [{**_kind(entry), "files": sorted(entry["files"])} for entry in manifest["segments"]]
        kept = {key: manifest[key] for key in ("format", "fingerprints")}
        return {**_kind(manifest), **kept, "segments": segments}
    if "_delta_log/" in name:
        return _log_entry(path) if name.endswith("<version>.json") else "of the Delta library"
    if name.endswith("_kinprint_synced"):
        data = path.read_bytes()
        slots = [data[at : at + 4096].rstrip(b"\0") for at in range(0, len(data), 4096)]
        return {"bytes": len(data), "slots": [_kind(json.loads(slot)) for slot in slots if slot]}
    by_suffix: dict[str, Describe] = {
        ".json": lambda p: _kind(read_json(p)),
        ".parquet": _parquet,
        ".npy": lambda p: _array(np.load(p, mmap_mode="r", allow_pickle=False)) | {"npy": list(_npy_version(p))},
        ".npz": lambda p: {key: _array(value) for key, value in np.load(p, allow_pickle=False).items()},
        ".arrow": _arrow,
    }
    describe = by_suffix.get(path.suffix)
    return describe(path) if describe else {"empty": path.stat().st_size == 0}


def _kind(value: Any) -> Any:
    """The shape of a JSON value: keys, and the types of what they hold."""
    if isinstance(value, dict):
        return {key: _kind(item) for key, item in value.items()}
    if isinstance(value, list):
        kinds = {json.dumps(_kind(item), sort_keys=True) for item in value}
        return [json.loads(kind) for kind in sorted(kinds)]
    return type(value).__name__


def _log_entry(path: Path) -> Any:
    actions = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    described = []
    for action in actions:
        ((kind, body),) = action.items()
        if kind == "add":
            stats = json.loads(body["stats"])
            described.append(
                {kind: {"statistics_of": sorted(stats["minValues"]), "partitions": body["partitionValues"]}}
            )
        elif kind == "metaData":
            kept = ("format", "partitionColumns", "configuration")
            schema = json.loads(body["schemaString"])
            described.append({kind: {**{key: body[key] for key in kept}, "schema": schema}})
        elif kind != "commitInfo":
            described.append({kind: body if kind == "protocol" else "of the Delta library"})
    return sorted(described, key=json.dumps)


def _parquet(path: Path) -> Any:
    file = pq.ParquetFile(path)
    group = file.metadata.row_group(0)
    kinds = [file.schema.column(k) for k in range(group.num_columns)]
    return [
        {
            "column": kind.path,
            "type": kind.physical_type,
            "means": str(kind.logical_type),
            "nullable": kind.max_definition_level > 0,
            "compression": group.column(k).compression,
            "has_statistics": group.column(k).statistics is not None and group.column(k).statistics.has_min_max,
        }
        for k, kind in enumerate(kinds)
    ]


def _npy_version(path: Path) -> tuple[int, int]:
    with path.open("rb") as stream:
        version: tuple[int, int] = np.lib.format.read_magic(stream)
        return version


def _array(array: Any) -> dict[str, Any]:
    order = "C" if array.flags.c_contiguous else "F"
    return {"dtype": array.dtype.str, "dimensions": array.ndim, "columns": list(array.shape[1:]), "order": order}


def _arrow(path: Path) -> Any:
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        fields = [[field.name, str(field.type), field.nullable] for field in reader.schema]
        metadata = sorted(key.decode() for key in reader.schema.metadata or ())
        return {"fields": fields, "batches": reader.num_record_batches, "metadata": metadata}
