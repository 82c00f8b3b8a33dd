"""`kinprint overlap FILE...`: passages shared by answers in files, without a server (extra `kernels`)."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kinprint.polars as kp
import polars as pl
from kinprint.client.cli.dedup_files import frames_of, interruptible, reason_of
from kinprint.client.cli.progress import ProgressReport
from kinprint.client.cli.tables import TableWriter
from kinprint.client.cli.terminal import INTERRUPTED, fail, give_up, warn
from kinprint.client.types import OverlapsSummary

_BATCH = 100_000


def overlap_files(
    files: Sequence[Path],
    against: Sequence[Path],
    text: str | None,
    id_column: str | None,
    models: Sequence[str],
    against_models: Sequence[str],
    options: dict[str, Any],
    output: Path | None,
    schema: dict[str, str],
    quiet: bool,
    *,
    shown: int,
) -> tuple[OverlapsSummary, list[dict[str, Any]]]:
    """Write the passages to `output`, or return the rarest `shown` of them with their text.

    The same files on both sides, or none to compare with, compare every answer with all others.
    """
    # Whether `output` can be written is known before anything is read.
    writer = TableWriter(output, schema) if output is not None else None
    try:
        with contextlib.ExitStack() as stack:
            same = not against or list(against) == list(files)
            sides = [list(files)] if same else [list(files), list(against)]
            frames, column, id_column = frames_of(sides, text, id_column, stack)
            names = [frame.collect_schema().names() for frame in frames]
            known = {
                name: name for name in ("model", "prompt", "prompt_id") if all(name in columns for columns in names)
            }
            if (models or against_models) and "model" not in known:
                fail("--model and --against-model need a column model in every file")
            if id_column is None:
                frames = [frame.with_row_index(_ROW).with_columns(pl.col(_ROW).cast(pl.Int64)) for frame in frames]
            ids = id_column or _ROW
            a, b, background = _sides(frames, models, against_models)
            bar = stack.enter_context(ProgressReport("looking for shared spans", quiet=quiet))
            run = kp.OverlapRun()

            def report(now: kp.OverlapRun) -> None:
                nonlocal run
                run = now
                bar.update(now.share, now.step)

            found = kp.overlap(a, b, column, ids, **known, background=background, progress=report, **options)  # type: ignore[arg-type]
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kinprint-")))
            interruptible(lambda: found.sink_parquet(folder / "found"))
            result = pl.scan_parquet(folder / "found", glob=False)
            totals = OverlapsSummary(
                run.spans, run.texts, run.texts_with_spans, run.against, run.common_seeds, run.background
            )
            if writer is None:
                rarest = result.sort("bits", "tokens", descending=True).head(shown).collect().to_dicts()
                where = pl.col(ids).is_in([row["id_a"] for row in rarest])
                texts = dict(a.filter(where).select(ids, column).collect().iter_rows())
                return totals, [{**row, "text": texts[row["id_a"]][row["start_a"] : row["end_a"]]} for row in rarest]
            stack.enter_context(writer)
            for start in range(0, run.spans, _BATCH):
                part = result.slice(start, _BATCH).collect()
                writer.write_columns(
                    {name: part[name].cast(_TYPES.get(kind, pl.Int64)).to_list() for name, kind in schema.items()}
                )
            return totals, []
    except (ValueError, pl.exceptions.PolarsError) as error:
        give_up(reason_of(error))
    except KeyboardInterrupt:
        # The files are gone; the thread that still works on them would hold up an ordinary exit.
        warn("interrupted")
        os._exit(INTERRUPTED)


_ROW = "_kinprint_row"
_TYPES: dict[str, Any] = {"string": pl.String, "float64": pl.Float64, "int64": pl.Int64}


def _sides(
    frames: list[pl.LazyFrame], models: Sequence[str], against_models: Sequence[str]
) -> tuple[pl.LazyFrame, pl.LazyFrame | None, pl.LazyFrame | None]:
    """(side A, side B or None for the same set, the rest of all files or None); as FindOverlaps has it."""
    by_a = pl.col("model").is_in(list(models)).fill_null(False) if models else pl.lit(True)
    by_b = pl.col("model").is_in(list(against_models)).fill_null(False) if against_models else pl.lit(True)
    if not models and not against_models:
        return frames[0], frames[1] if len(frames) > 1 else None, None
    if len(frames) > 1:
        rest = [frames[0].filter(~by_a), frames[1].filter(~by_b)]
        return frames[0].filter(by_a), frames[1].filter(by_b), _unnamed(rest)
    if set(models) == set(against_models):
        return frames[0].filter(by_a), None, frames[0].filter(~by_a)
    return frames[0].filter(by_a), frames[0].filter(by_b & ~by_a), frames[0].filter(~by_a & ~by_b)


def _unnamed(frames: list[pl.LazyFrame]) -> pl.LazyFrame:
    """Rows of several files whose ids need not differ; they are in no result."""
    return pl.concat(frames, how="diagonal_relaxed")
