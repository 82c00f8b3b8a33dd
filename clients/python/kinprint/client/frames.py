"""Frames in and out, with Polars and Arrow (extra `polars`).

    >>> import polars as pl
    >>> from kinprint.client import connect
    >>> from kinprint.client import frames as kp
    >>> with connect("./data") as client:
    ...     kp.load(client, pl.scan_parquet("answers.parquet"), "news")
    ...     pairs = kp.scan_duplicates(client, "news", threshold=0.7).collect()

Frames of any size are read in batches. What comes back as a LazyFrame asks the server each time it is
collected, and can be sunk to a file without being held in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from kinprint.installed import importing

with importing("kinprint.client.frames", "polars"):
    import polars as pl

from kinprint.client.convert.base import strings
from kinprint.client.errors import InvalidArgumentError, KinprintError
from kinprint.client.files.lazy import lazy_frame
from kinprint.client.files.ndjson import transcript_row
from kinprint.client.files.parquet import batches_of, check_schema, rows_of
from kinprint.client.files.plain import plain_row
from kinprint.client.files.reader import FileReader, expand_paths
from kinprint.client.files.rows import SourceRow
from kinprint.client.files.shapes import Mapper
from kinprint.client.schemas import (
    ATTRIBUTION_SCHEMA,
    CLUSTER_SCHEMA,
    HIT_SCHEMA,
    KINSHIP_SCHEMA,
    PAIR_SCHEMA,
    SPAN_SCHEMA,
    TRANSCRIPT_SCHEMA,
)
from kinprint.client.sync import Client
from kinprint.client.types import (
    ChannelName,
    CopyEvidence,
    DuplicatesProgress,
    Filter,
    Hit,
    Lineage,
    Link,
    LoadReport,
    SearchQuery,
    SemanticEvidence,
    StyleEvidence,
    TierName,
    UnknownText,
    as_dict,
)
from kinprint.client.upsert import Progress


def _frame_rows(batches: Iterable[pl.DataFrame], name: str, mapper: Mapper) -> Iterator[SourceRow]:
    number = 0
    mapper.begin(name)
    for batch in batches:
        if number == 0:
            mapper.begin(name, batch.columns)
        for row in rows_of(batch):
            number += 1
            yield from mapper.rows(name, number, plain_row(row))
    yield from mapper.end()


def _arrow_batches(source: Any) -> Iterator[pl.DataFrame]:
    for batch in source:
        frame = pl.DataFrame(batch)
        check_schema(frame.schema, "record batch")
        yield frame


def _told(reader: FileReader) -> Iterator[SourceRow]:
    """The rows, and at the end a warning for each thing that was passed over or decided."""
    yield from reader
    for note in reader.notes:
        warnings.warn(note, stacklevel=2)


def source_rows_of(source: Any, batch_rows: int, mapper: Mapper, encoding: str | None = None) -> Iterable[SourceRow]:
    """The rows of a frame, Arrow table or reader, or of files, as `load` takes them.

    Raises:
        InvalidArgumentError: it is something else.
        SourceError: a file or frame cannot be read.
    """
    if isinstance(source, pl.DataFrame):
        source = source.lazy()
    if isinstance(source, pl.LazyFrame):
        return _frame_rows(batches_of(source, batch_rows, "frame"), "frame", mapper)
    if isinstance(source, (str, Path)):
        return _told(FileReader(expand_paths([source]), batch_rows=batch_rows, encoding=encoding, mapper=mapper))
    if hasattr(source, "read_next_batch"):
        # A stream of record batches: one at a time, never the whole.
        return _frame_rows(_arrow_batches(source), "record batches", mapper)
    if hasattr(source, "__arrow_c_stream__"):
        return source_rows_of(pl.DataFrame(source), batch_rows, mapper)
    if isinstance(source, Sequence) and all(isinstance(item, (str, Path)) for item in source):
        return _told(FileReader(expand_paths(source), batch_rows=batch_rows, encoding=encoding, mapper=mapper))
    raise InvalidArgumentError(
        f"cannot load a {type(source).__name__}: give a LazyFrame, a DataFrame, an Arrow table or reader, or "
        "paths of files"
    )


def load(
    client: Client,
    source: Any,
    corpus: str,
    *,
    channels: ChannelName | Sequence[ChannelName] = (),
    create: bool = True,
    progress: Progress | None = None,
    batch_rows: int = 2000,
    max_errors: int = 100,
    encoding: str | None = None,
    preset: str | None = None,
    map: Mapping[str, str] | None = None,
    rename: Mapping[str, str] | None = None,
    mapper: Mapper | None = None,
) -> LoadReport:
    """Load a frame of any size in bounded memory.

    Args:
        client: from `connect`.
        source: a LazyFrame (scanned in batches), a DataFrame, an Arrow table, record batch reader or any
            object with the Arrow C stream interface, or a path, glob, directory or list of them.
        corpus: name of the corpus.
        channels: channels to fill; empty: copy and style.
        create: create the corpus if it is not there.
        progress: called with the report so far after each batch.
        batch_rows: rows read at once.
        max_errors: failed rows listed in the report; all are counted.
        encoding: of files of text without a byte order mark; None: UTF-8.
        preset: what the rows are (docs/your-data.md); None: recognised.
        map: JMESPath expressions by column, for rows that no preset knows.
        rename: columns to rename first, old name to new.
        mapper: a mapper of one's own, whose account can be asked afterwards, in place of these three.

    Raises:
        SourceError: a file or frame cannot be read; what came before it is stored.
        UpsertError: the upsert could not go on.
    """
    given = mapper if mapper is not None else Mapper(preset, map, rename)
    rows = source_rows_of(source, batch_rows, given, encoding)
    return client.upsert(corpus, rows, channels=channels, create=create, progress=progress, max_errors=max_errors)


#: Columns of a hit that its semantic evidence has under the same name.
_SEMANTIC = (
    "cosine",
    "z",
    "tier",
    "percentile",
    "p_value",
    "p_floor",
    "same_prompt_p",
    "same_prompt_floor",
    "calibration",
)


def _hit_row(index: int, query_id: str | None, hit: Hit) -> dict[str, Any]:
    row: dict[str, Any] = {
        "query": index,
        "query_id": query_id,
        "channel": hit.channel,
        "rank": hit.rank,
        "corpus": hit.corpus,
        "id": hit.id,
        "model": hit.model,
        "score": hit.score,
        "language": hit.language,
        "account_id": hit.account_id,
        "created_at": hit.created_at,
        "snippet": hit.snippet,
    }
    evidence = hit.evidence
    if isinstance(evidence, CopyEvidence):
        row |= {
            "jaccard": evidence.jaccard,
            "containment_query": evidence.containment_query,
            "containment_match": evidence.containment_match,
            "identical": evidence.identical,
            "spans": [
                {
                    "query_start": span.query_start,
                    "query_end": span.query_end,
                    "match_start": span.match_start,
                    "match_end": span.match_end,
                    "text": span.text,
                    "differences": list(span.differences),
                    "bits": span.bits,
                }
                for span in evidence.spans
            ],
            "disguises": list(evidence.disguises),
        }
    elif isinstance(evidence, SemanticEvidence):
        row |= {name: getattr(evidence, name) for name in _SEMANTIC}
        row["pairs"] = [as_dict(pair) for pair in evidence.pairs]
    elif isinstance(evidence, StyleEvidence):
        row["cosine_delta"] = evidence.cosine_delta
    return row


def _search_batches(
    client: Client,
    frame: pl.LazyFrame,
    text: str | None,
    id: str | None,
    query: SearchQuery,
    on_error: Literal["raise", "row"],
    batch_rows: int,
) -> Iterator[pl.DataFrame]:
    wanted = [column for column in (text, id) if column is not None]
    index = 0
    for batch in frame.select(wanted).collect_batches(chunk_size=batch_rows, maintain_order=True, lazy=True):
        ids: list[Any] = batch[id].to_list() if id is not None else [None] * batch.height
        values: list[Any] = batch[text].to_list() if text is not None else ids
        asked = [place for place, value in enumerate(values) if value is not None]
        queries = [
            replace(query, text=values[place]) if text is not None else replace(query, id=str(values[place]))
            for place in asked
        ]
        found: list[list[dict[str, Any]]] = [[] for _ in queries]
        for outcome in client.search_many(queries):
            place = asked[outcome.index]
            query_id = None if ids[place] is None else str(ids[place])
            if outcome.error is not None:
                if on_error == "raise":
                    raise _located(outcome.error, index + place)
                found[outcome.index] = [{"query": index + place, "query_id": query_id, "error": str(outcome.error)}]
            elif outcome.result is not None:
                found[outcome.index] = [_hit_row(index + place, query_id, hit) for hit in outcome.result.hits]
        rows = [row for rows in found for row in rows]
        index += batch.height
        yield pl.DataFrame(rows, schema=HIT_SCHEMA)


def _located(error: KinprintError, row: int) -> KinprintError:
    error.add_note(f"query in row {row} of the frame")
    return error


def scan_search(
    client: Client,
    frame: pl.LazyFrame | pl.DataFrame,
    corpora: str | Sequence[str],
    *,
    text: str | None = None,
    id: str | None = None,
    channels: ChannelName | Sequence[ChannelName] = ("copy",),
    top: int = 10,
    filter: Filter | None = None,
    min_score: float | None = None,
    max_spans: int = 0,
    max_evidence: int | None = None,
    tier: TierName | None = None,
    see_through: bool = True,
    on_error: Literal["raise", "row"] = "raise",
    batch_rows: int = 1000,
) -> pl.LazyFrame:
    """Search for every row of a frame; a LazyFrame with one row a hit (`HIT_SCHEMA`), in the order of rows.

    Args:
        client: from `connect`; it must stay open until the frame was collected.
        frame: the queries.
        corpora: name or names of the corpora to search.
        text: column with the texts to look for.
        id: column with ids: of stored transcripts of the (first) corpus when `text` is not given, else only
            carried along as `query_id`. A null in the column searched by is no query.
        channels: channels to search.
        top: most hits per query and channel.
        filter: rows that may be returned.
        min_score: least score of a hit.
        max_spans: most spans of a copy hit, 0 for 20.
        max_evidence: hits per query and channel that get evidence; the columns of others are null.
        tier: tier of the semantic channel, "fast" or "accurate"; None: both.
        see_through: whether the copy channel undoes disguises of letters on both sides.
        on_error: "raise" ends with the first query that fails; "row" gives it a row with `error`.
        batch_rows: queries read at once.

    Raises:
        InvalidArgumentError: neither `text` nor `id` names a column.
    """
    lazy = frame.lazy()
    columns = lazy.collect_schema().names()
    if text is None and id is None:
        raise InvalidArgumentError("name the column to search by: text='response' or id='transcript_id'")
    for column in (text, id):
        if column is not None and column not in columns:
            raise InvalidArgumentError(f"no column {column!r}; found: {', '.join(columns)}")
    names = strings(corpora, "corpora")
    query = SearchQuery(
        corpus=names[0] if text is None and names else None,
        corpora=names,
        channels=channels,
        top=top,
        filter=filter,
        min_score=min_score,
        max_spans=max_spans,
        max_evidence=max_evidence,
        tier=tier,
        see_through=see_through,
    )
    return lazy_frame(HIT_SCHEMA, lambda: _search_batches(client, lazy, text, id, query, on_error, batch_rows))


def search_frame(
    client: Client, frame: pl.LazyFrame | pl.DataFrame, corpora: str | Sequence[str], **options: Any
) -> pl.DataFrame:
    """The hits of `scan_search` (same arguments) as a DataFrame."""
    options_frame = scan_search(client, frame, corpora, **options)
    try:
        return options_frame.collect()
    except pl.exceptions.ComputeError as error:
        raise _unwrapped(error) from error


def _unwrapped(error: Exception) -> Exception:
    # Polars wraps what a source in Python raises in an error of its own.
    cause: BaseException | None = error.__cause__ or error.__context__
    return cause if isinstance(cause, KinprintError) else error


def _columns(schema: pl.Schema, search: Any) -> Iterator[pl.DataFrame]:
    with search:
        for batch in search:
            yield pl.DataFrame({name: getattr(batch, name) for name in schema}, schema=schema)


def scan_duplicates(
    client: Client,
    corpora: str | Sequence[str],
    *,
    threshold: float = 0.7,
    exact: bool = False,
    see_through: bool = False,
    against: str | Sequence[str] = (),
    expand: bool = False,
    filter: Filter | None = None,
    progress: Callable[[DuplicatesProgress], None] | None = None,
) -> pl.LazyFrame:
    """Near-duplicate pairs as a LazyFrame (`PAIR_SCHEMA`; see `Client.find_duplicates`), in no set order."""
    names, others = strings(corpora, "corpora"), strings(against, "against")
    schema = PAIR_SCHEMA
    if len(names) + len(others) > 1:
        schema = pl.Schema({**PAIR_SCHEMA, "corpus_a": pl.String(), "corpus_b": pl.String()})

    def batches() -> Iterator[pl.DataFrame]:
        search = client.find_duplicates(
            names,
            threshold,
            exact=exact,
            see_through=see_through,
            against=others,
            expand=expand,
            filter=filter,
            progress=progress,
        )
        return _columns(schema, search)

    return lazy_frame(schema, batches)


def scan_clusters(
    client: Client,
    corpora: str | Sequence[str],
    *,
    threshold: float = 0.7,
    exact: bool = False,
    link: Link = "component",
    see_through: bool = False,
    filter: Filter | None = None,
    progress: Callable[[DuplicatesProgress], None] | None = None,
) -> pl.LazyFrame:
    """The cluster of every row as a LazyFrame (`CLUSTER_SCHEMA`; see `Client.find_clusters`), ordered by id."""
    names = strings(corpora, "corpora")
    schema = CLUSTER_SCHEMA
    if len(names) > 1:
        schema = pl.Schema({**CLUSTER_SCHEMA, "corpus": pl.String(), "cluster_corpus": pl.String()})

    def batches() -> Iterator[pl.DataFrame]:
        search = client.find_clusters(
            names, threshold, exact=exact, link=link, see_through=see_through, filter=filter, progress=progress
        )
        return _columns(schema, search)

    return lazy_frame(schema, batches)


def scan_overlaps(
    client: Client, corpora: str | Sequence[str], against: str | Sequence[str], **options: Any
) -> pl.LazyFrame:
    """Shared passages as a LazyFrame (`SPAN_SCHEMA`); options as in `Client.find_overlaps`."""
    schema = SPAN_SCHEMA
    return lazy_frame(schema, lambda: _columns(schema, client.find_overlaps(corpora, against, **options)))


def scan_kinship(client: Client, corpus: str, **options: Any) -> pl.LazyFrame:
    """How alike all pairs of models write, as a LazyFrame (`KINSHIP_SCHEMA`); options as in `Client.find_kinship`."""
    return lazy_frame(KINSHIP_SCHEMA, lambda: _columns(KINSHIP_SCHEMA, client.find_kinship(corpus, **options)))


def attribute_frame(
    client: Client,
    frame: pl.LazyFrame | pl.DataFrame,
    corpus: str,
    *,
    text: str = "response",
    by: str | None = None,
    id: str | None = None,
    **options: Any,
) -> pl.DataFrame:
    """Which model of a corpus wrote each text of a frame, or each set of texts (`ATTRIBUTION_SCHEMA`).

    Args:
        client: from `connect`.
        frame: the texts; a null is no text.
        corpus: name of the corpus with the answers of the known models.
        text: column with the texts.
        by: column whose values make the sets; rows without one are left out. None: each text is a set of its own.
        id: column with ids of texts that are sets of their own; None: the number of their row from 0.
        **options: as in `Client.attribute`.

    Raises:
        InvalidArgumentError: a column is not there.
    """
    lazy = frame.lazy()
    columns = lazy.collect_schema().names()
    for column in (text, by, id):
        if column is not None and column not in columns:
            raise InvalidArgumentError(f"no column {column!r}; found: {', '.join(columns)}")
    key = by if by is not None else id
    keys = pl.col(key) if key is not None else pl.int_range(pl.len())
    chosen = lazy.select(pl.col(text).alias("text"), keys.cast(pl.String).alias("key")).drop_nulls().collect()
    texts = (
        UnknownText(value, set_id=None if by is None else name, id="" if by is not None else name)
        for value, name in chosen.iter_rows()
    )
    with client.attribute(corpus, texts, **options) as found:
        rows = [row for sets in found for one in sets for row in one.rows()]
    return pl.DataFrame(rows, schema=ATTRIBUTION_SCHEMA, orient="row")


def lineage_frame(lineage: Lineage) -> pl.DataFrame:
    """The scores of `Client.find_lineage`: model_a, model_b and score, null where two cannot be compared."""
    size = len(lineage.models)
    names = pl.Series(lineage.models, dtype=pl.String)
    score = pl.Series(lineage.scores.numpy().reshape(-1), dtype=pl.Float64).fill_nan(None)
    place = pl.int_range(size * size, eager=True)
    return pl.DataFrame(
        {"model_a": names.gather(place // max(size, 1)), "model_b": names.gather(place % max(size, 1)), "score": score}
    )


def scan_transcripts(
    client: Client, corpus: str, *, filter: Filter | None = None, batch_rows: int = 2000
) -> pl.LazyFrame:
    """The transcripts of a corpus as a LazyFrame (`TRANSCRIPT_SCHEMA`), in the order of their last write."""

    def batches() -> Iterator[pl.DataFrame]:
        rows: list[dict[str, Any]] = []
        for transcript in client.list(corpus, filter=filter):
            row = transcript_row(transcript)
            row["metadata"] = [{"key": key, "value": value} for key, value in row["metadata"].items()]
            rows.append(row)
            if len(rows) >= batch_rows:
                yield pl.DataFrame(rows, schema=TRANSCRIPT_SCHEMA)
                rows = []
        yield pl.DataFrame(rows, schema=TRANSCRIPT_SCHEMA)

    return lazy_frame(TRANSCRIPT_SCHEMA, batches)
