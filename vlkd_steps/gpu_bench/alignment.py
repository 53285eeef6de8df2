"""VLKD's step with random weights and stored CLIP embeddings, compared with a BART step with two encoder passes."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional
from transformers import BartForConditionalGeneration

from vlkd_steps.core import hardware
from vlkd_steps.data.batches import Batch
from vlkd_steps.data.infilling import Infilling
from vlkd_steps.gpu_bench import card, timing
from vlkd_steps.gpu_bench.cases import Writer, conf
from vlkd_steps.gpu_bench.distillation import ENDLESS, backward, trained
from vlkd_steps.gpu_bench.results import Line
from vlkd_steps.methods import objective
from vlkd_steps.methods.vlkd.objective import Alignment
from vlkd_steps.planning import sizes
from vlkd_steps.runs.caption_batches import Maker
from vlkd_steps.students import bart

PAIRS = 2000
VOCABULARY = [f"w{number}" for number in range(2000)]


class TwicePass(nn.Module):
    """BART's infilling, with a second encoder pass over the clean text for the sake of its cost."""

    def __init__(self, student: bart.BartStudent) -> None:
        super().__init__()
        self.student = student

    def forward(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        masked, mask = batch.extra["masked"], batch.extra["masked_mask"]
        clean = self.student.encode(batch.inputs.tokens, batch.inputs.mask)
        logits = self.student.write(self.student.encode(masked, mask), mask, batch.inputs.tokens)
        # The last token's state, so that the gradient passes through the whole encoder, as in VLKD.
        loss = bart.infilling_loss(logits, batch.inputs.tokens, batch.inputs.mask)
        return {"infilling": loss, "clean": 1e-6 * clean[:, -1].square().mean()}


def measured(case: Writer, accelerator: Accelerator, seconds: float) -> Iterator[Line]:
    """One line."""
    device = accelerator.device
    student = built(case)
    method: Any = objective.create(conf("method", "vlkd"), ENDLESS)
    method.take_temperature(100.0)
    make = batches(case, student, float(method.settings.masked_whole))
    model = Alignment(student, method).train().to(device)
    timing.forget()
    clock = trained(model, make, accelerator, seconds)
    memory = timing.peak_memory(device)
    on_device = make(0).to(device)
    took = clock.took / clock.steps
    yield Line(
        case.name,
        case.batch,
        took,
        timing.operations(lambda: backward(model, on_device, accelerator))
        / took
        / card.of(device, hardware.precision(accelerator)).peak,
        bare=timing.repeated(bare_loop(TwicePass(student), on_device, accelerator), seconds, device),
        waiting=clock.waited / clock.took,
        memory=memory,
    )


def built(case: Writer) -> bart.BartStudent:
    """The case's BART with random weights, a tokenizer of invented words, and word embeddings of the published size."""
    model: BartForConditionalGeneration = sizes.unweighted(conf("student", case.conf) | {"pretrained": False}).bart
    tokenizer = bart.word_tokenizer(VOCABULARY)
    if model.config.vocab_size < len(tokenizer):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.pad_token_id, model.config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    model.config.decoder_start_token_id = tokenizer.eos_token_id
    return bart.BartStudent(model, tokenizer, case.clip_width)


def batches(case: Writer, student: bart.BartStudent, whole: float) -> Callable[[int], Batch]:
    """A batch by its number."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(len(VOCABULARY), (PAIRS, case.text - 2), generator=generator)
    rows = student.tokenizer([" ".join(VOCABULARY[word] for word in text) for text in chosen.tolist()]).input_ids
    v, t = (functional.normalize(torch.randn(PAIRS, case.clip_width), dim=1) for _ in range(2))
    noise = Infilling(student.tokenizer.mask_token_id, whole=whole)
    maker = Maker(student.tokenizer, 64, noise, 0, torch.device("cpu"))

    def make(number: int) -> Batch:
        index = torch.randint(PAIRS, (case.batch,), generator=torch.Generator().manual_seed(number))
        draws = range(number * case.batch, (number + 1) * case.batch)
        return maker([rows[row] for row in index.tolist()], draws, v[index], t[index], index, index)

    return make


def bare_loop(model: nn.Module, batch: Batch, accelerator: Accelerator) -> Callable[[], None]:
    """A step of BART's infilling in plain PyTorch, always on the same batch."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        with accelerator.autocast():
            losses = model(batch, 0)
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        optimizer.zero_grad()

    return step
