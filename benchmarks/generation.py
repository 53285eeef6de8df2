"""How much faster a BART answers questions in batches than one by one, and that it writes the same.

    python benchmarks/generation.py [--questions 256] [--base]

Questions and image embeddings are drawn at random; 4 beams. Sizes: the scenes student and with --base a BART-base with
random weights and a quarter of the questions; random weights seldom end an answer, so all of its 20 tokens are written.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.nn import functional
from vlkd_step import CLIP_WIDTH, CONF, base

from vlkd_steps.datasets.scenes import texts
from vlkd_steps.students import bart, generation
from vlkd_steps.students.prompts import QUESTION, Prompt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=256)
    parser.add_argument("--base", action="store_true", help="BART-base's size too")
    parser.add_argument("--weights", type=Path, help="a run's model.safetensors instead of the shipped bart_scenes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    scenes = yaml.safe_load((CONF / "student" / "bart_scenes.yaml").read_text(encoding="utf-8"))
    made = bart.load(given.weights) if given.weights else bart.build({**scenes, "pretrained": False}, CLIP_WIDTH, 0)
    report("bart_scenes", made.eval(), given.questions)
    if given.base:
        report("bart_base", base().eval(), max(given.questions // 4, 8))


def report(name: str, student: bart.BartStudent, number: int) -> None:
    asked = [text for text in texts.texts(0, 10 * number) if text.startswith("question: ")]
    questions = [text.removeprefix("question: ").split(" answer:")[0] for text in asked][:number]
    v = functional.normalize(torch.randn(len(questions), student.clip_width), dim=1)
    prompt = Prompt.of(QUESTION)
    generation.write(student, v[:2], prompt, questions[:2])  # to warm up
    together, batched = timed(lambda: generation.write(student, v, prompt, questions))
    single, alone = timed(
        lambda: [generation.write(student, v[i : i + 1], prompt, [q])[0] for i, q in enumerate(questions)]
    )
    same = sum(a == b for a, b in zip(batched, alone, strict=True))
    print(
        f"{name:<12} {len(questions)} questions   one by one {1000 * single / len(questions):7.1f} ms each   batched "
        f"{1000 * together / len(questions):6.1f} ms each   {single / together:5.1f} x   "
        f"{same} of {len(questions)} alike"
    )


def timed(work: Any) -> tuple[float, list[str]]:
    """CPU seconds of a call, and what it wrote."""
    begun = time.process_time()
    written = work()
    return time.process_time() - begun, written


if __name__ == "__main__":
    main()
