"""Tokens of many texts at once: the kernel's, and those of the tokenizer's own library where the kernel has none.

`tokenizer.json` says which tokenizer a model was trained with. The kernel does one kind, which the multilingual models
on XLM-RoBERTa's vocabulary share: a Unigram model over text that SentencePiece's table normalises. What that table does
to a code point depends on grapheme clusters, of which the library has the Unicode version; so the library is asked how
it treats each.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import hashlib
import json
import threading
import zipfile
from collections import OrderedDict
from importlib.metadata import version as _version
from pathlib import Path
from typing import Any, Final

import numpy as np
from kinprint.kernels.arrow import Texts
from kinprint.kernels.embed import pool, tokens
from kinprint.kernels.embed.sentences import MOST, sentences
from kinprint.kernels.embed.vocabulary import (
    BEFORE,
    CONTROL,
    JOINS,
    LEFT,
    Characters,
    Vocabulary,
    characters,
    vocabulary,
)
from kinprint.server.store import files
from numpy.typing import NDArray

#: How much less than the worst piece the library gives to a code point that is no piece.
_UNKNOWN_PENALTY: Final = 10.0
#: Clusters of so many bytes are normalised code point by code point.
_LONG_CLUSTER: Final = 6
#: Planes whose code points are looked at; texts with others go to the library.
_PLANES: Final = (0, 1, 2, 3, 14)
_BLOCK: Final = 256
#: Of the code points that are white space.
_LAST_SPACE: Final = 0x3000
_SPACES: Final = " \t\n\r"
_METASPACE: Final = "\u2581"
#: Raised when what the kernels read changes.
_CACHE_FORMAT: Final = 1
#: Regions whose tokens are remembered, and how long they may be.
_REMEMBERED: Final = 1 << 14
_LONGEST_REMEMBERED: Final = 256


class FastTokenizer:
    """A tokenizer over Arrow buffers; equal to `Tokenizer.encode_batch(texts, add_special_tokens=False)`.

    Safe to use from several threads.
    """

    def __init__(self, document: bytes, fast: Vocabulary, library: Any = None) -> None:
        self._document = document
        self._read: Any = library
        self._vocabulary = fast
        self._caches = tokens.Caches()
        self._remembered: OrderedDict[bytes, NDArray[np.int32]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Path) -> FastTokenizer | None:
        """The tokenizer of a `tokenizer.json`; None where it is of a kind that only the library can do.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is no tokenizer.
        """
        return cls.of(Path(path).read_bytes())

    @classmethod
    def of(cls, document: bytes, cache: Path | None = None) -> FastTokenizer | None:
        """The tokenizer of the bytes of a `tokenizer.json`; see `load`.

        What the kernels read takes seconds to make.  It is kept in the file `cache`, where one is given and can be
        written, and read from there as long as document and library are the same.

        Raises:
            ValueError: it is no tokenizer.
        """
        stamp = hashlib.sha256(document + _version("tokenizers").encode() + bytes([_CACHE_FORMAT])).hexdigest()
        if cache is not None and (known := _cached(cache, stamp)) is not None:
            return cls(document, known)
        library = _read_by_library(document)
        # As the library read it: it reads a third of the scores one unit in the last place beside what is written.
        fast = _vocabulary(json.loads(library.to_str()))
        if fast is None:
            return None
        if cache is not None:
            with contextlib.suppress(OSError):  # it is made again the next time
                files.save_arrays(cache, {"stamp": np.array(stamp), **_arrays(fast)})
        return cls(document, fast, library)

    @property
    def _library(self) -> Any:
        """The library's tokenizer, read when a text first needs it.  Called by the holder of the lock."""
        if self._read is None:
            self._read = _read_by_library(self._document)
        return self._read

    @property
    def vocabulary(self) -> Vocabulary:
        """What the kernels read."""
        return self._vocabulary

    @property
    def caches(self) -> tokens.Caches:
        """What kernels remember of this vocabulary."""
        return self._caches

    def encode(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Ids of texts without the frame of special tokens.

        Args:
            data: uint8 [bytes], UTF-8 of n texts.
            offsets: int64 [n + 1]; text i is `data[offsets[i]:offsets[i + 1]]`.

        Returns:
            Ids int32 [t] and offsets int64 [n + 1]; text i has `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            ValueError: the arrays are no texts.
        """
        return self.encode_texts(Texts.from_offsets(data, offsets))

    def encode_texts(self, texts: Texts) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """As `encode`, for texts wherever they are in memory."""
        made = tokens.encode(texts, self._vocabulary, self._caches)
        if len(made.regions) == 0:
            return made.ids, made.offsets
        begins = texts.addresses[made.regions[:, 0]].astype(np.int64) + made.regions[:, 1]
        sizes = made.regions[:, 2] - made.regions[:, 1]
        places = zip(begins.tolist(), sizes.tolist(), strict=True)
        parts = self._by_library([ctypes.string_at(begin, size) for begin, size in places])
        more_offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([part.size for part in parts], out=more_offsets[1:])
        return tokens.splice(made, np.concatenate(parts), more_offsets)

    def row_vectors(self, texts: Texts, table: pool.Table, most: int = MOST) -> pool.RowVectors:
        """Vectors of texts from a table of token vectors, sentence by sentence.

        Args:
            texts: n texts.
            table: a vector for each token.
            most: sentences of a text at most; neighbours are joined.

        Returns:
            int8 [n, dim] and float32 [n].

        Raises:
            ValueError: the table is none, or `most` is below 1.
        """
        made, left = pool.row_vectors(texts, self._vocabulary, self._caches, table, most)
        if left.size:
            some = texts.take(left)
            cut = sentences(some, most)
            again = pool.vectors_of_tokens(*self.encode_texts(cut.texts(some)), cut.starts, table)
            made.rows[left], made.scale[left] = again
        return made

    def _by_library(self, regions: list[bytes]) -> list[NDArray[np.int32]]:
        """Ids of regions, each asked for once."""
        with self._lock:
            known = {part: self._remembered[part] for part in set(regions) if part in self._remembered}
        missing = [part for part in dict.fromkeys(regions) if part not in known]
        if missing:
            texts = [part.decode("utf-8", "replace") for part in missing]
            with self._lock:
                library = self._library
            made = library.encode_batch(texts, add_special_tokens=False)
            fresh = {part: np.array(one.ids, np.int32) for part, one in zip(missing, made, strict=True)}
            known |= fresh
            with self._lock:
                self._remembered.update((part, ids) for part, ids in fresh.items() if len(part) <= _LONGEST_REMEMBERED)
                while len(self._remembered) > _REMEMBERED:
                    self._remembered.popitem(last=False)
        return [known[part] for part in regions]


# ---- reading a tokenizer ----


def _read_by_library(document: bytes) -> Any:
    """The library's tokenizer, without padding and truncation.  Raises ValueError."""
    from tokenizers import Tokenizer  # a server without a model need not wait for it

    try:
        library = Tokenizer.from_str(document.decode("utf-8"))
    except Exception as error:  # the library raises nothing more precise
        raise ValueError(f"no tokenizer: {error}") from error
    library.no_padding()
    library.no_truncation()
    return library


def _arrays(fast: Vocabulary) -> dict[str, NDArray[Any]]:
    """A vocabulary as named arrays."""
    flat = {f"vocabulary.{name}": value for name, value in fast._asdict().items() if name != "characters"}
    flat |= {f"characters.{name}": value for name, value in fast.characters._asdict().items()}
    return {name: np.asarray(value) for name, value in flat.items()}


def _cached(path: Path, stamp: str) -> Vocabulary | None:
    """The vocabulary of `_arrays` in a file; None where there is none of this stamp."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["stamp"]) != stamp:
                return None
            found = {kind: _fields(arrays, kind) for kind in ("vocabulary", "characters")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Vocabulary(**found["vocabulary"], characters=Characters(**found["characters"]))


def _fields(arrays: Any, kind: str) -> dict[str, Any]:
    """Fields of one kind: arrays that nobody writes to, and numbers as Python has them."""
    made: dict[str, Any] = {}
    for name in arrays.files:
        if name.startswith(f"{kind}."):
            value = arrays[name]
            value.flags.writeable = False
            made[name.partition(".")[2]] = value if value.ndim else value.item()
    return made


def _vocabulary(document: dict[str, Any]) -> Vocabulary | None:
    """The arrays of a tokenizer; None for one of another kind."""
    model, charsmap = document.get("model") or {}, _charsmap(document)
    if (
        charsmap is None
        or set(model) != {"type", "unk_id", "vocab", "byte_fallback"}
        or model["type"] != "Unigram"
        or model["byte_fallback"]
        or model["unk_id"] is None
        or not _is_metaspace(document.get("pre_tokenizer"))
    ):
        return None
    special = []
    for token in document.get("added_tokens") or []:
        content = token["content"]
        if token["normalized"] or token["single_word"] or token["rstrip"] or content.split() != [content]:
            return None
        special.append(content.encode())
    normalised = _characters(charsmap)
    if normalised is None:
        return None
    pieces = [piece.encode() for piece, _ in model["vocab"]]
    scores = np.array([score for _, score in model["vocab"]], np.float64)
    try:
        return vocabulary(pieces, scores, model["unk_id"], _UNKNOWN_PENALTY, special, normalised)
    except ValueError:
        return None


def _charsmap(document: dict[str, Any]) -> bytes | None:
    """SentencePiece's table of a normaliser that does just that and collapses spaces."""
    steps = document.get("normalizer") or {}
    if steps.get("type") != "Sequence" or [one.get("type") for one in steps["normalizers"]] != [
        "Precompiled",
        "Replace",
    ]:
        return None
    table, replace = steps["normalizers"]
    if replace.get("pattern") != {"Regex": " {2,}"} or replace.get("content") != " ":
        return None
    return base64.b64decode(table["precompiled_charsmap"])


def _is_metaspace(step: Any) -> bool:
    wanted = {"type": "Metaspace", "replacement": _METASPACE, "prepend_scheme": "always", "split": True}
    return bool(step == wanted)


def _short_keys(charsmap: bytes) -> list[str]:
    """The table's keys of fewer than 6 bytes.

    The table is a double array of Darts-clone, with the length of that in bytes before it.
    """
    size = int.from_bytes(charsmap[:4], "little")
    units = np.frombuffer(charsmap, np.uint32, size // 4, 4).astype(np.int64)
    labels = np.arange(1, 256)

    def children(of: NDArray[np.int64]) -> NDArray[np.int64]:
        unit = units[of]
        return of ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6))

    keys: list[str] = []
    bases, names = children(np.zeros(1, np.int64)), np.zeros((1, 0), np.uint8)
    for _ in range(_LONG_CLUSTER - 1):
        places = bases[:, np.newaxis] ^ labels
        inside = places < len(units)
        found = inside & (units[np.where(inside, places, 0)] & ((1 << 31) | 0xFF) == labels)
        parent, label = np.nonzero(found)
        nodes = places[parent, label]
        names = np.concatenate([names[parent], labels[label, np.newaxis].astype(np.uint8)], axis=1)
        bases = children(nodes)
        keys.extend(name.tobytes().decode("utf-8", "replace") for name in names[(units[nodes] >> 8) & 1 == 1])
    return keys


def _characters(charsmap: bytes) -> Characters | None:
    """How the library normalises each code point; None where it does so in a way that the kernel cannot follow."""
    from tokenizers import normalizers

    table = normalizers.Precompiled(charsmap)
    normalise = table.normalize_str
    keys = _short_keys(charsmap)
    single = {ord(key): normalise(key).encode() for key in keys if len(key) == 1}
    # The shortest key that a cluster begins with counts, so that others which begin with that are never met.
    first = [key for key in keys if len(key) == 2 and ord(key[0]) not in single]
    pairs = {(ord(key[0]), ord(key[1])): normalise(key).encode() for key in first}
    if any(len(key) > 2 and ord(key[0]) not in single and (ord(key[0]), ord(key[1])) not in pairs for key in keys):
        return None
    if any(single.get(ord(space), b" ") != b" " for space in _SPACES) or " " in {key[0] for key in keys}:
        return None

    flags = np.full(0x110000, LEFT, np.uint8)
    for plane in _PLANES:
        flags[plane << 16 : (plane + 1) << 16] = 0
    flags[0xD800:0xE000] = LEFT
    # What follows or precedes "é" as two code points, which is one only where nothing else is in its cluster.
    for start in range(0, 0x110000, _BLOCK):
        codes = [code for code in range(start, start + _BLOCK) if not flags[code]]
        texts = [single[code].decode() if code in single else chr(code) for code in codes]
        for mark, before, after in ((JOINS, "e\u0301", "x"), (BEFORE, "x", "e\u0301x")):
            made, expected = before.replace("e\u0301", "é"), after.replace("e\u0301", "é")
            whole = normalise("".join(before + chr(code) + after for code in codes))
            if whole == "".join(made + text + expected for text in texts):
                continue
            for code, text in zip(codes, texts, strict=True):
                if normalise(before + chr(code) + after) != made + text + expected:
                    flags[code] |= mark
    begins = set(single) | {code for code, _ in pairs}
    for code in begins:
        if flags[code] & BEFORE:
            flags[code] = LEFT
        # A mark that joins would be lost with its cluster, or composed.
        elif code in single and normalise(chr(code) + "\u0301") == single[code].decode() + "\u0301":
            flags[code] |= CONTROL
    for code in range(_LAST_SPACE + 1):
        if chr(code).isspace() and code not in single and chr(code) not in _SPACES:
            flags[code] = LEFT  # white space that a special token may take to itself
    flags[ord(_METASPACE)] |= 0 if ord(_METASPACE) in single else LEFT
    for code, to in single.items():
        if _METASPACE.encode() in to:
            flags[code] = LEFT
    return characters(flags, single, pairs)
