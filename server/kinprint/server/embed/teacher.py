"""The accurate model as a teacher: vectors of many short token sequences, and of a sample of sentences, resumably."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from kinprint.server.embed.protocol import Embedder
from kinprint.server.store import files
from numpy.typing import NDArray

#: Sequences that one thread embeds at a time.
_CHUNK = 256
#: Sentences of one checkpoint.
BLOCK = 1024
_LONGEST = 256

Report = Callable[[float], None]


class Teacher:
    """The accurate model, asked for many token sequences.

    Args:
        embedder: the model; its tokenizer puts a frame (special tokens, prompt) around a text, which is put around
            every sequence here.
        threads: how many work at once.
    """

    def __init__(self, embedder: Embedder, threads: int) -> None:
        self._embedder = embedder
        self._threads = threads
        # The frame is what two texts of one token have in common at both ends.
        one, other = (embedder.plan(text).windows[0].tolist() for text in ("a", "1"))
        before = next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), 0)
        after = next((i for i, (x, y) in enumerate(zip(one[::-1], other[::-1], strict=False)) if x != y), 0)
        self._before = np.array(one[:before], np.int64)
        self._after = np.array(one[len(one) - after :], np.int64)
        self._room = max(1, min(embedder.max_tokens, _LONGEST) - before - after)

    def vectors(self, sequences: Sequence[NDArray[np.int64]], report: Report) -> NDArray[np.float32]:
        """Unit vectors float32 [n, dim] of token sequences.

        Raises:
            EmbeddingError: the model has no finite vector for one.
        """
        out = np.empty((len(sequences), self._embedder.dim), np.float32)
        # Those of equal length next to each other.
        order = np.argsort([len(sequence) for sequence in sequences], kind="stable")
        chunks = [order[begin : begin + _CHUNK] for begin in range(0, len(order), _CHUNK)]

        def run(chunk: NDArray[np.int64]) -> None:
            windows = [np.concatenate((self._before, sequences[p][: self._room], self._after)) for p in chunk.tolist()]
            out[chunk] = self._embedder.run_roughly(windows)

        with ThreadPoolExecutor(self._threads) as pool:
            for done, _ in enumerate(pool.map(run, chunks), 1):
                report(done / len(chunks))
        return out


def sentence_vectors(
    embedder: Embedder, sentences: Sequence[str], checkpoints: Path, report: Report, threads: int
) -> NDArray[np.float32]:
    """Accurate vectors float32 [n, dim] of sentences, in blocks of which each is kept as a file.

    Args:
        embedder: the accurate model.
        sentences: in an order that is the same on every call.
        checkpoints: a folder for the files; blocks that are there already are read.  Others' are never taken for
            ours: a folder in it bears a digest of model and sentences.
        report: called with the fraction done.
        threads: how many work at once.

    Raises:
        EmbeddingError: a sentence cannot be embedded.
        OSError: a file cannot be written.
    """
    stamp = hashlib.sha256(json.dumps([embedder.digest, BLOCK, len(sentences)]).encode("ascii"))
    for sentence in sentences:
        encoded = sentence.encode("utf-8", "surrogatepass")
        stamp.update(len(encoded).to_bytes(8, "little") + encoded)
    folder = Path(checkpoints) / stamp.hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    out = np.empty((len(sentences), embedder.dim), np.float32)
    with ThreadPoolExecutor(threads) as pool:
        for begin in range(0, len(sentences), BLOCK):
            block = sentences[begin : begin + BLOCK]
            path = folder / f"block-{begin // BLOCK:05d}.npy"
            known = _known(path, (len(block), embedder.dim))
            if known is None:
                parts = [block[first : first + _CHUNK] for first in range(0, len(block), _CHUNK)]
                known = np.concatenate(list(pool.map(embedder.embed_passages, parts)))
                with files.replacing(path) as file:
                    np.save(file, known, allow_pickle=False)
            out[begin : begin + len(block)] = known
            report((begin + len(block)) / len(sentences))
    return out


def _known(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    try:
        block = files.load_array(path)
    except (OSError, ValueError, EOFError):
        return None  # none yet, or damaged: embedded again
    return block if block.shape == shape and block.dtype == np.float32 else None
