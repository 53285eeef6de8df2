"""A trained student's predictions for an evaluation set, in large batches, saved on a signal."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from vlkd_steps.core import distributed, files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.interruption import StopRequest
from vlkd_steps.data.batches import Batch, Encoded
from vlkd_steps.data.items import Items
from vlkd_steps.runs import cut_short
from vlkd_steps.students import heads

BATCH = 256  # rows


def logits(
    student: nn.Module, data: Encoded, parts: Sequence[Tensor], accelerator: Accelerator
) -> Iterator[tuple[Batch, Tensor]]:
    """The batch of the items at each of `parts`, int64 [B], and the student's logits for it (`heads.scores`).

    Raises:
        UserError: a score is not a finite number.
    """
    for index, batch in zip(parts, batches(data, parts, accelerator), strict=True):
        with torch.inference_mode(), accelerator.autocast():
            found: Tensor = student(batch.inputs).logits
        finite = torch.isfinite(found).flatten(1).all(1)
        if not finite.all():
            first = data.items.ids[int(index[int((~finite).int().argmax())])]
            raise UserError(
                f"the student's scores of instance {first} are not finite numbers; its weights, or the features it "
                "reads, are damaged, or training diverged: delete the run's folder and start snakemake again"
            )
        yield batch, found


def accuracy(student: nn.Module, data: Encoded, accelerator: Accelerator) -> float:
    """Mean soft score of the best answer, in percent; several processes share the batches.

    Entailment: the accuracy. VQA: the official accuracy except for answers outside the vocabulary and the evaluator's
    leave-one-out, an approximation for following training; the results table has the official one.
    """
    total = 0.0
    parts = by_length(data).split(items_at_once(data))[distributed.share()]
    for batch, found in logits(student, data, parts, accelerator):
        best = heads.scores(found).argmax(1, keepdim=True)
        total += batch.labels.gather(1, best).sum().item()
    return 100 * distributed.total(total) / len(data)


def all_scores(student: nn.Module, data: Encoded, accelerator: Accelerator) -> Tensor:
    """The score of every class or choice (`heads.scores`), float32 [N, C] on the CPU, in the order of the items."""
    order = by_length(data)
    every = logits(student, data, order.split(items_at_once(data)), accelerator)
    rows = torch.cat([heads.scores(found).cpu() for _, found in every])
    ordered = torch.empty_like(rows)
    ordered[order] = rows
    return ordered


def batches(data: Encoded, parts: Sequence[Tensor], accelerator: Accelerator) -> Iterator[Batch]:
    """The items at each of `parts`, int64 [B], on the device that predicts."""
    return data.batches(lambda number: data.batch(parts[number]), range(len(parts)), accelerator.device)


def by_length(data: Encoded) -> Tensor:
    """The items in order of their longest passage, so that a batch has little padding."""
    return data.lengths.cpu()[data.items.passage_rows.cpu()].amax(1).argsort(stable=True)


def items_at_once(data: Encoded) -> int:
    """The number of items with BATCH rows in total."""
    return BATCH // data.items.passage_rows.shape[1]


def write_predictions(
    student: nn.Module, data: Encoded, path: Path, accelerator: Accelerator, stop: StopRequest
) -> None:
    """Write ``instance_id, prediction, answer, probability`` (`heads.probabilities`) in the split's order.

    Several processes compute the same batches as one process would, so that equal weights give equal bytes. The main
    process writes.

    Raises:
        Interrupted: stopped by a signal; predictions so far are saved next to `path` and not computed again.
    """
    found = torch.zeros(0, 2, dtype=torch.float64)
    if distributed.is_main() and (before := cut_short.read(path)) is not None:
        found = before.to_torch()
    order = by_length(data)
    begin = distributed.decided(lambda: len(found))
    size = items_at_once(data)
    whole = order[begin:].split(size * distributed.count())
    shares = [index.split(size)[distributed.share()] for index in whole]  # one part of each; the last may have none
    upcoming = logits(student, data, [part for parts in shares for part in parts], accelerator)
    for index, parts in zip(whole, shares, strict=True):
        answers = torch.zeros(size, 2, dtype=torch.float64)
        for own in parts:
            _, found_logits = next(upcoming)
            best = heads.scores(found_logits).argmax(1)
            probability = heads.probabilities(found_logits).gather(1, best[:, None])[:, 0]
            answers[: len(own)] = torch.stack([best.cpu().double(), probability.cpu().double()], dim=1)
        found = torch.cat([found, distributed.gathered(answers)[: len(index)]])
        begin += len(index)
        if distributed.agree(stop) and begin < len(data):
            if distributed.is_main():
                cut_short.write(path, pl.DataFrame(found.numpy(), schema=["prediction", "probability"]))
            distributed.wait()
            stop.raise_if_set()
    if not distributed.is_main():
        return
    rows = torch.empty_like(found)
    rows[order] = found
    write_answers(data.items, rows[:, 0].long().numpy(), rows[:, 1].numpy(), path)
    cut_short.remove(path)


def write_answers(items: Items, classes: np.ndarray, probabilities: np.ndarray, path: Path) -> None:
    """Write the file of predictions: the class or choice of each item, [N], and its probability, [N]."""
    frame = pl.DataFrame(
        {
            "instance_id": items.ids,
            "prediction": pl.Series(classes, dtype=pl.Int64),
            "answer": pl.Series([items.labels[c] for c in classes.tolist()], dtype=pl.String),
            "probability": pl.Series(probabilities, dtype=pl.Float64),
        }
    )
    with files.atomic(path) as temporary:
        frame.write_parquet(temporary)
