"""Shapes: what the rows of files are, whoever wrote them, and the transcripts in them.

    raw rows -> Mapper -> (the file's Preset: sharegpt, openai-batch, langfuse ...) -> rows in the project's columns
             -> kinprint.client.files.rows -> Transcript

Each family of presets is a module with a tuple `PRESETS`. A preset looks at rows only, never at files, and takes the
project's columns out of each; what it does not take becomes metadata, what it leaves out is counted.

    columns         the project's own columns
    openai          messages, chat completions, responses, batches
    anthropic       messages, responses, batches
    gemini          contents and candidates
    conversations   ShareGPT, LMSYS, WildChat, arenas, MT-Bench
    exports         ChatGPT and Open WebUI
    logs, otel      LiteLLM, Langfuse, Helicone; OpenTelemetry
    training        alpaca, prompt and completion, question and answer, preferences, transcripts
    exchange        requests and responses of providers, which logs are made of
    mapping         paths that the user gives
    mapper          recognises, maps, and keeps account
"""

from kinprint.client.files.shapes.mapper import (
    Account,
    Mapper,
    NotRecognisedError,
    as_told,
    preset_named,
    presets,
    recognise,
)
from kinprint.client.files.shapes.mapping import parse_map
from kinprint.client.files.shapes.preset import Preset, Raw, Reading, RowPreset, Shaped

__all__ = [
    "Account",
    "Mapper",
    "NotRecognisedError",
    "Preset",
    "Raw",
    "Reading",
    "RowPreset",
    "Shaped",
    "as_told",
    "parse_map",
    "preset_named",
    "presets",
    "recognise",
]
