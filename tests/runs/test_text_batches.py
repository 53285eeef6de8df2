"""A language model's texts: what the encoder reads, what is written, and what of it is scored."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from vlkd_steps.benchmarks.scenes import vocabulary
from vlkd_steps.core import distributed
from vlkd_steps.core.errors import UserError
from vlkd_steps.runs import text_batches
from vlkd_steps.runs.text_batches import Texts
from vlkd_steps.students import bart

TOKENIZER = bart.word_tokenizer(vocabulary.words())


def words(tokens: Tensor) -> list[str]:
    return [text.replace("[PAD]", "").strip() for text in TOKENIZER.batch_decode(tokens, skip_special_tokens=False)]


def test_only_the_answer_and_the_end_are_scored() -> None:
    batch = Texts(TOKENIZER, 96, 16, seed=3).answers(5)
    scored = batch["text_scored"].bool()
    for read, written, row, target in zip(
        words(batch["text_read"]), words(batch["text"]), scored, batch["text"], strict=True
    ):
        (answer,) = TOKENIZER.batch_decode(target[row][None])
        assert read.count("[MASK]") == 1
        assert written == read.replace("[MASK]", answer.removesuffix("[SEP]").strip())
        assert "question :" in read
        assert "cover" in read.partition("question :")[0]
    assert batch["text_total"].tolist() == [float(scored.sum())] * 16


def test_infilling_scores_the_whole_text() -> None:
    batch = Texts(TOKENIZER, 96, 16, seed=3).infilling(4)
    assert torch.equal(batch["text_scored"].bool(), batch["text"] != TOKENIZER.pad_token_id)
    assert all("[MASK]" in read for read in words(batch["text_read"]))


def test_the_kinds_take_turns() -> None:
    texts = Texts(TOKENIZER, 96, 8, seed=3)
    assert torch.equal(texts(6)["text"], texts.infilling(6)["text"])
    assert torch.equal(texts(7)["text"], texts.answers(7)["text"])


def test_a_batch_depends_on_its_number_alone_and_holds_texts_of_one_length() -> None:
    size = text_batches.POOL
    first = [Texts(TOKENIZER, 96, 16, seed=3).infilling(number)["text"] for number in range(size)]
    again = [Texts(TOKENIZER, 96, 16, seed=3).infilling(number)["text"] for number in reversed(range(size))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    lengths = [(batch != TOKENIZER.pad_token_id).sum(1) for batch in first]
    assert torch.tensor([float(length.max() - length.min()) for length in lengths]).median() < 10
    assert len({text for batch in first for text in words(batch)}) > 100
    assert not torch.equal(first[0], Texts(TOKENIZER, 96, 16, seed=4).infilling(0)["text"])


def test_processes_share_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Texts(TOKENIZER, 96, 16, seed=3).answers(1)
    monkeypatch.setattr(distributed, "count", lambda: 2)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(distributed, "share", lambda rank=rank: slice(rank, None, 2))
        parts.append(Texts(TOKENIZER, 96, 16, seed=3).answers(1))
    assert words(parts[0]["text"]) == words(whole["text"])[0::2]
    assert words(parts[1]["text"]) == words(whole["text"])[1::2]
    assert 2 * parts[0]["text_total"][0] == whole["text_total"][0]


def test_a_text_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"and this BART 20 positions; raise architecture\.max_position_embeddings"):
        Texts(TOKENIZER, 20, 16, seed=3).answers(0)
