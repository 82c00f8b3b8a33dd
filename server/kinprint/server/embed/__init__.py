"""Sentence embeddings: the default model, a loader for ONNX directories, and what scores need to be read.

`build_default_model` makes the model's directory, `OnnxEmbedder` loads that one or any other, `EmbedService`
shares it among concurrent callers. `load_space` gives the space that texts are compared in: `sentences_of` a
text are embedded, `EmbeddingSpace.pool` finds candidates, `align` tells a translation from another text on the
same subject.
"""

from kinprint.server.embed.alignment import Alignment, SentencePair, align
from kinprint.server.embed.batcher import (
    EmbeddedBatch,
    EmbedService,
    QueueFull,
    ServiceClosed,
    Timings,
)
from kinprint.server.embed.default_model.build import build_default_model, default_model_directory
from kinprint.server.embed.default_model.weights import WeightsError
from kinprint.server.embed.onnx import EmbeddingError, ModelDirectoryError, OnnxEmbedder
from kinprint.server.embed.protocol import Embedder, TokenPlan
from kinprint.server.embed.space import (
    EmbeddingSpace,
    grouped_spans,
    load_space,
    sentence_starts,
    sentences_of,
)

__all__ = [
    "Alignment",
    "EmbedService",
    "EmbeddedBatch",
    "Embedder",
    "EmbeddingError",
    "EmbeddingSpace",
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
    "default_model_directory",
    "grouped_spans",
    "load_space",
    "sentence_starts",
    "sentences_of",
]
