"""Batches of questions with their answers, for low-shot fine-tuning of an aligned BART.

The encoder reads the prompt with a mask for the answer, the decoder's target is the prompt with the answer filled in:
VLKD's infilling loss is the fine-tuning loss, and evaluation uses the prompts of training.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor
from torch.nn import functional

from vlkd_steps import tasks
from vlkd_steps.core import artifacts, distributed, layout, tables
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Batch, order
from vlkd_steps.data.infilling import padded
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students.prompts import QUESTION, Prompt


class Questions:
    """The questions of a training split.

    Args:
        rows: ``text, answer`` of each.
        v: CLIP's embeddings of their images, float32 [N, D].
        tokenizer: the student's.
        most_tokens: its positions.
        size: rows of a whole batch; seed: of the run.

    Raises:
        UserError: a question and its answer have more tokens: the answer, or the mask in its place, would be cut off.
    """

    def __init__(
        self,
        rows: pl.DataFrame,
        v: Tensor,
        tokenizer: Any,
        most_tokens: int,
        size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        prompt = Prompt.of(QUESTION)
        pairs = list(zip(rows["text"], rows["answer"], strict=True))
        self.questions = self._tokens(tokenizer, [prompt.text(tokenizer.mask_token, q) for q, _ in pairs], most_tokens)
        self.written = self._tokens(tokenizer, [prompt.written(a, q) for q, a in pairs], most_tokens)
        self.v = functional.normalize(v.float(), dim=1)
        self.pad, self.device = tokenizer.pad_token_id, device
        self.order = order(len(rows), size, seed)

    def __len__(self) -> int:
        return len(self.questions)

    @staticmethod
    def _tokens(tokenizer: Any, texts: Sequence[str], most: int) -> list[list[int]]:
        found: list[list[int]] = tokenizer(list(texts)).input_ids
        for text, tokens in zip(texts, found, strict=True):
            if len(tokens) > most:
                raise UserError(
                    f"the training question {text[:80]!r} has {len(tokens)} tokens with its prompt, and this BART "
                    f"{most} positions; leave it out of the data, or take a student with more positions"
                )
        return found

    def batches(self, numbers: Sequence[int]) -> Iterator[Batch]:
        """This process's rows of the batches of these numbers, in their order."""
        return map(self._batch, numbers)

    def _batch(self, number: int) -> Batch:
        """With the fields of `methods.vlkd`'s batches except t, which is not used."""
        index = self.order(number)[distributed.share()]
        tokens, mask = padded([self.written[row] for row in index.tolist()], self.pad)
        masked, masked_mask = padded([self.questions[row] for row in index.tolist()], self.pad)
        written = distributed.mean(mask.sum().float())
        extra = {
            "v": self.v[index],
            "masked": masked,
            "masked_mask": masked_mask,
            "written": written.expand(len(index)),
        }
        inputs = Inputs(tokens, mask, torch.zeros_like(tokens))
        return Batch(inputs, torch.zeros(len(index), 0), index, index, extra=extra).to(self.device)


def training_rows(dataset: str, task: str, shot: str, seed: int) -> pl.DataFrame:
    """``image_id, text, answer`` of a training split's questions, in its order; the answer is the task's `gold`.

    Raises:
        UserError: a task whose answers are not text.
    """
    asks_for = tasks.load(task)
    if not asks_for.in_words:
        raise UserError(
            f"data set {dataset} is of task {task}, whose answers are not text; method vlkd trains on one of "
            f"{' or '.join(tasks.in_words())}"
        )
    ids = pl.DataFrame({"instance_id": artifacts.split_ids(layout.train_split(dataset, shot, seed))})
    rows = ids.join(tables.read(artifacts.instances(dataset)), on="instance_id", how="left", maintain_order="left")
    answers = [asks_for.gold(row) for row in rows.iter_rows(named=True)]
    return rows.select("image_id", "text", answer=pl.Series(answers, dtype=pl.String))
