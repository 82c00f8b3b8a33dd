"""Examples that the help of each command ends with, by the words after `kinprint`; a test reads each as the command
does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

EXAMPLES: Mapping[str, Sequence[str]] = {
    "": (
        "kinprint load answers.parquet --corpus mine --data my-data",
        'kinprint search --corpus mine --data my-data --text "a sentence"',
        "kinprint dedup answers.parquet --out pairs.parquet",
    ),
    "serve": (
        "kinprint serve --data my-data --listen 127.0.0.1:50051",
        "kinprint serve --config kinprint.toml",
    ),
    "stop": ("kinprint stop --data my-data",),
    "load": (
        "kinprint load answers.parquet more/ --corpus mine --data my-data",
        "kinprint load chats.ndjson --corpus mine --data my-data --channels copy",
    ),
    "search": (
        'kinprint search --corpus mine --data my-data --text "a sentence"',
        "kinprint search --corpus mine --data my-data --file essay.txt --channel all",
        "kinprint search --corpus mine --data my-data --id ID -o hits.parquet",
        "cat essay.txt | kinprint search --corpus mine --server host:50051 - --json",
    ),
    "fill": (
        "kinprint fill --corpus mine --data my-data --wait",
        "kinprint fill --corpus mine --data my-data --status",
    ),
    "compare": (
        "kinprint compare one.txt two.txt --data my-data",
        "kinprint compare id:mine/ID text:words --data my-data --channel copy",
    ),
    "dedup": (
        "kinprint dedup --corpus mine --data my-data -o pairs.parquet",
        "kinprint dedup answers.parquet --threshold 0.8 --keep-first -o kept.parquet",
    ),
    "overlap": ("kinprint overlap --corpus mine --against theirs --data my-data -o spans.csv",),
    "kinship": (
        "kinprint kinship --corpus mine --data my-data",
        "kinprint kinship --corpus mine --data my-data --panel panel.json -o kin.csv",
    ),
    "attribute": (
        "kinprint attribute unknown.parquet --corpus mine --data my-data",
        "kinprint attribute unknown.csv --corpus mine --data my-data --by account_id",
    ),
    "evidence": (
        "kinprint evidence --corpus mine --data my-data --subject B --source A \\",
        "    --panel panel.json -o report.html",
    ),
    "lineage": ("kinprint lineage --corpus mine --data my-data -o tree.html",),
    "corpora": ("kinprint corpora --data my-data", "kinprint corpora mine --data my-data --json"),
    "get": ("kinprint get --corpus mine --id ID --data my-data",),
    "export": (
        "kinprint export --corpus mine --data my-data -o mine.parquet",
        "kinprint export --corpus mine --data my-data -q -o - | head -3",
    ),
    "delete": (
        "kinprint delete --corpus mine --id ID --data my-data",
        "kinprint delete --corpus mine --all --yes --data my-data",
    ),
    "purge": ("kinprint purge --corpus mine --id ID --data my-data",),
    "verify": ("kinprint verify my-data", "kinprint verify panel.json --public KEY.pub"),
    "sign": ("kinprint sign --new-key KEY", "kinprint sign panel.json --key KEY"),
    "snapshot create": ("kinprint snapshot create before --data my-data",),
    "snapshot restore": ("kinprint snapshot restore before --corpus mine --as old --data my-data",),
    "jobs": ("kinprint jobs --data my-data --active", "kinprint jobs --data my-data --cancel ID"),
    "info": ("kinprint info --data my-data", "kinprint info --data my-data --watch 2"),
    "keys create": ("kinprint keys create --role read --corpus mine --data my-data",),
    "config show": ("kinprint config show --config kinprint.toml",),
    "panel fit": (
        "kinprint panel fit --corpus mine --families models.csv --data my-data \\",
        "    --out panel.json",
    ),
    "panel show": ("kinprint panel show panel.json",),
    "model build": ("kinprint model build",),
    "model distil": ("kinprint model distil --corpus mine --data my-data",),
}
