"""How much faster a BART answers questions in batches than one by one, and that it writes the same.

    python benchmarks/generation.py [--questions 1024] [--base]

Wall time, the best of three, on one core and on all. One by one twice: by transformers' `generate`, the peer, and by
our own search. Questions and image embeddings are drawn at random; 4 beams. Sizes: the scenes student and with --base a
BART-base with random weights and a quarter of the questions; random weights seldom end an answer, so all of its 20
tokens are written.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torch.nn import functional
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutput
from vlkd_step import CLIP_WIDTH, CONF, base

from vlkd_steps.benchmarks.scenes import texts
from vlkd_steps.students import bart, generation
from vlkd_steps.students.prompts import QUESTION, Prompt

PROMPT = Prompt.of(QUESTION)
BEAMS, MOST_TOKENS = 4, 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=1024)
    parser.add_argument("--base", action="store_true", help="BART-base's size too")
    parser.add_argument("--weights", type=Path, help="a run's model.safetensors instead of the shipped bart_scenes")
    given = parser.parse_args()
    scenes = yaml.safe_load((CONF / "student" / "bart_scenes.yaml").read_text(encoding="utf-8"))
    made = bart.load(given.weights) if given.weights else bart.build({**scenes, "pretrained": False}, CLIP_WIDTH, 0)
    report("bart_scenes", made.eval(), given.questions)
    if given.base:
        report("bart_base", base().eval(), max(given.questions // 4, 8))


def report(name: str, student: bart.BartStudent, number: int) -> None:
    asked = [text for text in texts.texts(0, 10 * number) if text.startswith("question: ")]
    questions = [text.removeprefix("question: ").split(" answer:")[0] for text in asked][:number]
    v = functional.normalize(torch.randn(len(questions), student.clip_width), dim=1)
    one_by_one: dict[str, Callable[[Tensor, str], str]] = {
        "transformers": lambda v, question: by_transformers(student, v, question),
        "ours": lambda v, question: generation.write(student, v, PROMPT, [question], BEAMS, MOST_TOKENS)[0],
    }
    for cores in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(cores)
        batch, batched = timed(lambda: generation.write(student, v, PROMPT, questions, BEAMS, MOST_TOKENS))
        print(f"{name}, {number} questions, {cores} threads: in batches {1000 * batch / number:.2f} ms each")
        for whose, write in one_by_one.items():
            single, alone = timed(
                lambda write=write: [write(v[i : i + 1], question) for i, question in enumerate(questions)]
            )
            same = sum(a == b for a, b in zip(batched, alone, strict=True))
            print(
                f"    one by one, {whose:<12} {1000 * single / number:7.2f} ms each   {single / batch:5.1f} x   "
                f"{same} of {number} alike",
                flush=True,
            )


@torch.inference_mode()
def by_transformers(student: Any, v: Tensor, question: str) -> str:
    """The answer as anyone would have it written: encode, show the image, `generate`."""
    tokenizer, config = student.tokenizer, student.config
    source = tokenizer(PROMPT.text(tokenizer.mask_token, question), return_tensors="pt")
    begun = torch.tensor([[config.decoder_start_token_id, *tokenizer(PROMPT.prefix(question)).input_ids[:-1]]])
    memory, mask = student.see(v, student.encode(source.input_ids, source.attention_mask), source.attention_mask)
    written = student.bart.generate(
        encoder_outputs=BaseModelOutput(last_hidden_state=memory),
        attention_mask=mask,
        decoder_input_ids=begun,
        generation_config=GenerationConfig(
            max_new_tokens=MOST_TOKENS + 1,
            num_beams=BEAMS,
            early_stopping=True,
            eos_token_id=config.eos_token_id,
            pad_token_id=config.pad_token_id,
            decoder_start_token_id=config.decoder_start_token_id,
        ),
    )
    return tokenizer.decode(written[0, begun.shape[1] :], skip_special_tokens=True).strip()


def timed(work: Callable[[], list[str]]) -> tuple[float, list[str]]:
    """Seconds of a call, the best of three, and what it wrote."""
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        written = work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds), written


if __name__ == "__main__":
    main()
