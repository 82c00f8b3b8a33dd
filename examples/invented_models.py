"""Answers of invented models of known families, to try kinship, evidence and attribution on.

Writes into FOLDER: answers.ndjson, models.csv (families), lineage.csv (what was made from what) and unknown.ndjson.
The models draw their words from habits that a family shares; nothing was asked of any real model.  What a panel that is
fitted on them says, it says of them alone.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import lineage_corpus  # noqa: E402  (the generator that the tests go by)

FAMILIES, EACH, PROMPTS = 20, 3, 30


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    models = lineage_corpus.make_models(FAMILIES, EACH)
    with (folder / "answers.ndjson").open("w", encoding="utf-8") as out:
        for row in lineage_corpus.make_rows(models, PROMPTS):
            out.write(json.dumps(row) + "\n")
    with (folder / "models.csv").open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["model", "family"])
        table.writerows([model.name, model.family] for model in models)
    with (folder / "lineage.csv").open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["model", "related_to", "relation"])
        table.writerows([model.name, model.parent, "fine_tune"] for model in models if model.parent)
    with (folder / "unknown.ndjson").open("w", encoding="utf-8") as out:
        for number in range(6):  # one account, the texts of one model, to prompts that the corpus does not have
            text = lineage_corpus.answer(models[0], 700 + number, 1)
            out.write(json.dumps({"transcript_id": f"u{number}", "account_id": "acme", "response": text}) + "\n")
    print(f"{len(models)} models of {FAMILIES} families, {PROMPTS} answers each, are in {folder}")
    derived = next(model for model in models if model.parent)
    print(f"{derived.name} was made from {derived.parent}")


if __name__ == "__main__":
    main()
