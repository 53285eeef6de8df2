"""Batches of questions with their answers."""

import polars as pl
import torch

from vlkd_steps.runs.question_batches import Questions
from vlkd_steps.students import bart


def test_a_question_has_its_own_images_embedding() -> None:
    words = ["one", "two", "three", "four"]
    tokenizer = bart.word_tokenizer(["question", "answer", ":", "yes", *words])
    rows = pl.DataFrame({"text": words, "answer": ["yes"] * 4})
    asked = Questions(rows, torch.eye(4), tokenizer, 40, 4, 1, torch.device("cpu"))
    [batch] = asked.batches([0])
    for written, read, v in zip(batch.inputs.tokens, batch.extra["masked"], batch.extra["v"], strict=True):
        for tokens in (written, read):
            assert words[int(v.argmax())] in tokenizer.decode(tokens, skip_special_tokens=True).split()
