"""Kept ability by the benchmarks that the paper names, where their files are present (PAPERS 2.2): GLUE and XSUM.

Both are read from a folder that the user has filled (nothing is fetched), from the files that the hub's data sets are
kept in or `datasets` writes: parquet, jsonl or csv. What is not there is left out, and a line of the log says so.

- ``glue``: a linear probe on the encoder's states of SST-2's sentences and of MRPC's, RTE's pairs: ``train`` and
  ``validation`` below ``<folder>/<task>/``. Accuracy, in per cent. It is no fine-tuning of the
  whole model, as GLUE's own numbers are: the same probe before and after says what was lost.
- ``xsum``: ROUGE-L of the first sentences that are written behind a document of ``<folder>/test.*`` and a mask.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from vlkd_steps.core.step import log
from vlkd_steps.students import generation
from vlkd_steps.students.bart import BartStudent
from vlkd_steps.students.prompts import MASK, Prompt

Measure = Callable[[BartStudent, Mapping[str, Any], int], dict[str, Any]]

GLUE = {"sst2": ("sentence",), "mrpc": ("sentence1", "sentence2"), "rte": ("sentence1", "sentence2")}
"""Task -> the columns that hold its texts; ``label`` is the class."""
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".jsonl": pl.read_ndjson,
    ".csv": pl.read_csv,
}
PROBED, SUMMARISED = 4000, 500  # examples at most, without `size`
DOCUMENT, SUMMARY = 400, 60  # words read, tokens written


def glue(student: BartStudent, ask: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Accuracy of a probe by task, over those whose files are there."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from vlkd_steps.runs.forgetting import states_of

    found: dict[str, Any] = {}
    count = 0
    for task, columns in GLUE.items():
        folder = Path(ask["folder"]) / task
        parts = [read(folder, split, ask.get("size", PROBED)) for split in ("train", "validation")]
        if not all(parts):
            continue
        states, labels = [], []
        for rows in parts:
            texts = [" ".join(str(row[column]) for column in columns) for row in rows]
            states.append(states_of(student, texts).numpy())
            labels.append([row["label"] for row in rows])
        scaler = StandardScaler().fit(states[0])
        probe = LogisticRegression(max_iter=2000, C=0.1).fit(scaler.transform(states[0]), labels[0])
        found[task] = round(100 * float(probe.score(scaler.transform(states[1]), labels[1])), 2)
        count += len(labels[1])
    return found | {"n": count} if found else {}


def xsum(student: BartStudent, ask: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """ROUGE-L of the summaries, times 100; empty where the files are not there."""
    from pycocoevalcap.rouge.rouge import Rouge

    rows = read(Path(ask["folder"]), "test", ask.get("size", SUMMARISED))
    if not rows:
        return {}
    # The document is what the prompt's question is elsewhere; it must leave the decoder room for what it writes.
    words = min(DOCUMENT, (student.max_tokens - SUMMARY) // 3)
    documents = [" ".join(str(row["document"]).split()[:words]) for row in rows]
    written = generation.write(student, None, Prompt.of("{q} " + MASK), documents, most_tokens=SUMMARY)
    told = {place: [" ".join(str(row["summary"]).split())] for place, row in enumerate(rows)}
    value, _ = Rouge().compute_score(told, {place: [text] for place, text in enumerate(written)})
    return {"ROUGE-L": round(100 * float(value), 2), "n": len(rows)}


def read(folder: Path, split: str, size: int) -> list[dict[str, Any]]:
    """The first `size` rows of a split; none where its file is not there, which the log says."""
    path = next((path for suffix in READERS for path in sorted(folder.glob(f"{split}*{suffix}"))), None)
    if path is None:
        log.info(f"[kept ability] {folder} holds no {split}.parquet, .jsonl or .csv: left out")
        return []
    return READERS[path.suffix](path).head(size).to_dicts()


BENCHMARKS: dict[str, Measure] = {"glue": glue, "xsum": xsum}
