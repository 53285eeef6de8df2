"""Batches of questions with their answers, for a BART that sees and is fine-tuned to answer, low-shot.

The encoder reads the prompt with a mask where the answer goes, the decoder writes the prompt with the answer in it: so
VLKD's infilling loss is the loss of fine-tuning, and what is asked afterwards is asked as it was learned.
"""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor
from torch.nn import functional

from vlkd_steps.core import distributed, layout
from vlkd_steps.core.errors import UserError
from vlkd_steps.data.batches import Batch, order
from vlkd_steps.data.infilling import padded
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.runs.caption_batches import moved
from vlkd_steps.students.prompts import QUESTION, Prompt


class Questions:
    """The questions of a training split.

    Args:
        rows: ``image_id, text, extra`` of each; `extra` holds ``multiple_choice_answer``, VQA's commonest answer.
        v: CLIP's embeddings of their images, float32 [N, D].
        tokenizer: the student's; texts are cut at `most_tokens`.
        size: rows of a whole batch; seed: of the run.
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
        answers = [json.loads(extra)["multiple_choice_answer"] for extra in rows["extra"]]
        pairs = list(zip(rows["text"], answers, strict=True))
        self.asked = self._tokens(tokenizer, [prompt.text(tokenizer.mask_token, q) for q, _ in pairs], most_tokens)
        self.written = self._tokens(tokenizer, [prompt.written(a, q) for q, a in pairs], most_tokens)
        self.v = functional.normalize(v.float(), dim=1)
        self.pad, self.device = tokenizer.pad_token_id, device
        self.order = order(len(rows), size, seed)

    def __len__(self) -> int:
        return len(self.asked)

    @staticmethod
    def _tokens(tokenizer: Any, texts: Sequence[str], most: int) -> list[list[int]]:
        found: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=most).input_ids
        return found

    def batch(self, number: int) -> Batch:
        """This process's rows; its fields are those of `methods.vlkd`'s batches, but for t, which nothing reads."""
        index = self.order(number)[distributed.share()]
        tokens, mask = padded([self.written[row] for row in index.tolist()], self.pad)
        masked, masked_mask = padded([self.asked[row] for row in index.tolist()], self.pad)
        written = distributed.mean(mask.sum().float())
        extra = {
            "v": self.v[index],
            "masked": masked,
            "masked_mask": masked_mask,
            "written": written.expand(len(index)),
        }
        inputs = Inputs(tokens, mask, torch.zeros_like(tokens))
        return moved(Batch(inputs, torch.zeros(len(index), 0), index, index, extra=extra), self.device)


def training_rows(dataset: str, task: str, shot: str, seed: int) -> pl.DataFrame:
    """``image_id, text, extra`` of a training split's questions, in its order.

    Raises:
        UserError: a task that has no questions to answer in words.
    """
    if task != "vqa":
        raise UserError(
            f"data set {dataset} is of task {task}; method vlkd trains on captions (task captioning) and is fine-tuned "
            "on questions (task vqa)"
        )
    ids = pl.read_parquet(layout.train_split(dataset, shot, seed), columns=["instance_id"])
    table = pl.read_parquet(layout.instances(dataset), columns=["instance_id", "image_id", "text", "extra"])
    return ids.join(table, on="instance_id", how="left", maintain_order="left")
