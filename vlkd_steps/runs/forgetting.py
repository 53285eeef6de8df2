"""A BART's abilities on text alone, before and after VLKD.

On generated texts about scenes, which are always available (`on_scenes`):

- **infilling**: mean cross-entropy of held-out texts given their masked versions, without an image;
- **entailment**: accuracy, in percent, of a linear probe on the encoder's state of a premise and a hypothesis: how
  much of the relation between two sentences the encoder still represents. The probe is trained for each measurement;
- **answers**: how many questions, in percent, are answered rightly from a description of the scene.

All are functions of (student, seed): the texts, their masks and the probe's halves are the same for every student.

On the paper's benchmarks, GLUE and XSUM, if their files are present (`BENCHMARKS`). They are read from a folder that
the user provides (nothing is fetched), in the formats of the Hugging Face hub and `datasets`: parquet, jsonl or csv.
Missing ones are left out and logged.

- ``glue``: a linear probe on the encoder's states of SST-2's sentences and of MRPC's, RTE's pairs: ``train`` and
  ``validation`` below ``<folder>/<task>/``. Accuracy, in percent. Unlike GLUE's published numbers this is not
  fine-tuning of the whole model: the same probe before and after measures what was lost.
- ``xsum``: ROUGE-L of the first sentences generated after a document of ``<folder>/test.*`` and a mask.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlkd_steps.benchmarks.scenes import texts
from vlkd_steps.core import tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.prompt_wording import MASK
from vlkd_steps.core.seeds import derive
from vlkd_steps.core.step import log
from vlkd_steps.data.infilling import Infilling, padded
from vlkd_steps.students import generation
from vlkd_steps.students.bart import BartStudent, infilling_loss
from vlkd_steps.students.prompts import Prompt

BATCH = 128
SIZE = 2000  # texts, and pairs

Measure = Callable[[BartStudent, Mapping[str, Any], int], dict[str, Any]]

GLUE = {"sst2": ("sentence",), "mrpc": ("sentence1", "sentence2"), "rte": ("sentence1", "sentence2")}
"""Task -> the columns that hold its texts; ``label`` is the class."""
PROBED, SUMMARISED = 4000, 500  # examples at most, without `size`
DOCUMENT, SUMMARY = 400, 60  # words read, tokens generated


@torch.inference_mode()
def infilling(student: BartStudent, held_out: Sequence[str], seed: int) -> float:
    """Mean cross-entropy per token of `held_out`, in nats."""
    tokenizer, device = student.tokenizer, student.to_clip.weight.device
    rows = tokenizer(list(held_out), truncation=True, max_length=student.max_tokens).input_ids
    noise = Infilling(tokenizer.mask_token_id)
    total, tokens = 0.0, 0
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        target, mask = (x.to(device) for x in padded(part, tokenizer.pad_token_id))
        masked = [noise(row, seed, start + place) for place, row in enumerate(part)]
        read, seen = (x.to(device) for x in padded(masked, tokenizer.pad_token_id))
        loss = infilling_loss(student.write(student.encode(read, seen), seen, target), target, mask)
        total += loss.item() * int(mask.sum())
        tokens += int(mask.sum())
    return total / tokens


def entailment(student: BartStudent, pairs: Sequence[texts.Pair]) -> float:
    """Accuracy of a logistic probe, trained on the first half of `pairs`, on the second half."""
    states = states_of(student, [f"{pair.premise}. {pair.hypothesis}" for pair in pairs]).numpy()
    labels, half = [pair.label for pair in pairs], len(pairs) // 2
    return probed(states[:half], labels[:half], states[half:], labels[half:])


def probed(states: np.ndarray, labels: Sequence[Any], held_out: np.ndarray, held_out_labels: Sequence[Any]) -> float:
    """Accuracy on held-out states, in percent, of a logistic regression on the others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(states)
    probe = LogisticRegression(max_iter=2000, C=0.1).fit(scaler.transform(states), labels)
    return 100 * float(probe.score(scaler.transform(held_out), held_out_labels))


@torch.inference_mode()
def states_of(student: BartStudent, sentences: Sequence[str]) -> Tensor:
    """The encoder's state at the end token and its mean over tokens, float32 [N, 2 H]."""
    device, found = student.to_clip.weight.device, []
    rows = student.tokenizer(list(sentences), truncation=True, max_length=student.max_tokens).input_ids
    for start in range(0, len(rows), BATCH):
        tokens, mask = (x.to(device) for x in padded(rows[start : start + BATCH], student.tokenizer.pad_token_id))
        states = student.encode(tokens, mask).float()
        end = states[torch.arange(len(states)), mask.sum(1) - 1]
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        found.append(torch.cat([end, mean], dim=1).cpu())
    return torch.cat(found)


def answers(student: BartStudent, asked: Sequence[texts.Asked]) -> float:
    """The share of the questions, in percent, to which the generated text is the answer."""
    prompt = Prompt.of("{q} " + MASK)
    written = generation.write(student, None, prompt, [text for text, _ in asked], beams=1, most_tokens=5)
    return 100 * sum(text == answer for text, (_, answer) in zip(written, asked, strict=True)) / len(asked)


def on_scenes(student: BartStudent, seed: int, size: int = SIZE) -> dict[str, float]:
    """The measures on texts about scenes that were not used in training."""
    held_out = derive(seed, "kept ability")
    return {
        "infilling": infilling(student, texts.texts(held_out, size), seed),
        "entailment": entailment(student, texts.entailment(held_out, size)),
        "answers": answers(student, texts.answerable(held_out, size)),
    }


def glue(student: BartStudent, evaluation: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Accuracy of a probe by task, for those whose files are present."""
    found: dict[str, Any] = {}
    count = 0
    for task, columns in GLUE.items():
        folder = Path(evaluation["folder"]) / task
        wanted, size = [*columns, "label"], evaluation.get("size", PROBED)
        parts = [read(folder, split, size, wanted) for split in ("train", "validation")]
        if not all(parts):
            continue
        states, labels = [], []
        for rows in parts:
            sentences = [" ".join(str(row[column]) for column in columns) for row in rows]
            states.append(states_of(student, sentences).numpy())
            labels.append([str(row["label"]) for row in rows])
        if len(set(labels[0])) < 2:
            raise UserError(
                f"{folder}: the first {len(labels[0])} records of train all have the label {labels[0][0]}, so there is "
                "nothing to learn; raise `size`, or shuffle the file"
            )
        found[task] = round(probed(states[0], labels[0], states[1], labels[1]), 2)
        count += len(labels[1])
    return found | {"n": count} if found else {}


def xsum(student: BartStudent, evaluation: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """ROUGE-L of the summaries, times 100; empty if the files are missing."""
    from pycocoevalcap.rouge.rouge import Rouge

    rows = read(Path(evaluation["folder"]), "test", evaluation.get("size", SUMMARISED), ["document", "summary"])
    if not rows:
        return {}
    # The document replaces the prompt's question; it must leave the decoder positions for the summary.
    words = min(DOCUMENT, (student.max_tokens - SUMMARY) // 3)
    documents = [" ".join(str(row["document"]).split()[:words]) for row in rows]
    written = generation.write(student, None, Prompt.of("{q} " + MASK), documents, most_tokens=SUMMARY)
    references = {place: [" ".join(str(row["summary"]).split())] for place, row in enumerate(rows)}
    value, _ = Rouge().compute_score(references, {place: [text] for place, text in enumerate(written)})
    return {"ROUGE-L": round(100 * float(value), 2), "n": len(rows)}


def read(folder: Path, split: str, size: int, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The first `size` rows of a split; none if its file is missing, which is logged.

    Raises:
        UserError: no record, a column that is missing, or an empty cell: its text would be "None".
    """
    path = next((path for suffix in tables.KINDS for path in sorted(folder.glob(f"{split}*{suffix}"))), None)
    if path is None:
        log.info(f"[forgetting] {folder} has no {split}.parquet, .jsonl or .csv: left out")
        return []
    rows = tables.read(path, columns, remedy="fetch it again").head(size).to_dicts()
    if not rows:
        raise UserError(f"{path} holds no record; fetch it again, or remove it to leave it out")
    for number, row in enumerate(rows):
        if empty := [name for name in columns if row[name] is None]:
            raise UserError(f"{path}, record {number}: {empty[0]} is empty; fetch it again, or leave the record out")
    return rows


BENCHMARKS: dict[str, Measure] = {"glue": glue, "xsum": xsum}
