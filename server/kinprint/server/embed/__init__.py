"""Sentence embeddings: the default model, a loader for ONNX directories, and what scores need to be read.

`build_default_model` makes the model's directory, `OnnxEmbedder` loads that one or any other, `EmbedService`
shares it among concurrent callers. `load_background` says what cosines of unrelated texts look like;
`embed_sentences` and `align` tell a translation from another text on the same subject.
"""

from kinprint.server.embed.alignment import Alignment, SentencePair, align
from kinprint.server.embed.background import Background, centre, load_background
from kinprint.server.embed.batcher import (
    Embedded,
    EmbeddedBatch,
    EmbedService,
    QueueFull,
    ServiceClosed,
    Timings,
)
from kinprint.server.embed.build import build_default_model, default_model_directory
from kinprint.server.embed.model import EmbeddingError, ModelDirectoryError, OnnxEmbedder
from kinprint.server.embed.protocol import Embedder, TokenPlan
from kinprint.server.embed.sentences import embed_sentences, sentence_spans
from kinprint.server.embed.weights import WeightsError

__all__ = [
    "Alignment",
    "Background",
    "EmbedService",
    "Embedded",
    "EmbeddedBatch",
    "Embedder",
    "EmbeddingError",
    "ModelDirectoryError",
    "OnnxEmbedder",
    "QueueFull",
    "SentencePair",
    "ServiceClosed",
    "Timings",
    "TokenPlan",
    "WeightsError",
    "align",
    "build_default_model",
    "centre",
    "default_model_directory",
    "embed_sentences",
    "load_background",
    "sentence_spans",
]
