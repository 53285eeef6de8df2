"""What torch.compile and gradient checkpointing cost and bring: seconds a step and peak memory of a student.

    python benchmarks/compile_student.py [--width 768 --layers 12 --batch 32 --image 384] [--device cuda]

One line per option: the first step (with the compiler's work), then the mean of the others, the largest difference of
a gradient from the plain student's, relative to the largest gradient, and on a GPU the peak of memory. Dropout is off:
a compiled student draws other numbers.
"""

import argparse
import copy
import time

import torch
from transformers import ViltConfig, ViltModel

from vlkd_steps.core import hardware
from vlkd_steps.data import tokenizer
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.students.vilt import ViltStudent

OPTIONS = {
    "plain": {},
    "gradient_checkpointing": {"gradient_checkpointing": True},
    "compile": {"compile": True},
    "both": {"gradient_checkpointing": True, "compile": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 64), ("layers", 2), ("batch", 32), ("image", 48), ("patch", 16), ("steps", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", nargs="+", choices=[*OPTIONS], default=[*OPTIONS])
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    words = tokenizer.word_tokenizer([f"w{number}" for number in range(200)])
    config = ViltConfig(
        hidden_size=arguments.width, num_hidden_layers=arguments.layers, num_attention_heads=arguments.width // 16,
        intermediate_size=4 * arguments.width, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        image_size=arguments.image, patch_size=arguments.patch, max_position_embeddings=40, vocab_size=len(words),
    )  # fmt: skip
    torch.manual_seed(0)
    first = ViltStudent(ViltModel(config), words, "vqa", [str(number) for number in range(30)]).train()
    tokens = torch.randint(0, len(words), (arguments.batch, 16))
    images = torch.randint(0, 256, (arguments.batch, 3, arguments.image, arguments.image), dtype=torch.uint8)
    tokens, images = tokens.to(device), images.to(device)
    inputs = Inputs(tokens, torch.ones_like(tokens), torch.zeros_like(tokens), images=images)
    expected: dict[str, torch.Tensor] = {}
    for option in arguments.only:
        student = copy.deepcopy(first).to(device)
        hardware.adapt(student, OPTIONS[option])
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = []
        for _ in range(arguments.steps):
            begun = time.perf_counter()
            student.zero_grad()
            output = student(inputs)
            (output.logits.square().mean() + output.visual.square().mean()).backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begun)
        found = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
        expected = expected or found
        largest = max(gradient.abs().max().item() for gradient in expected.values())
        away = max((found[name] - expected[name]).abs().max().item() for name in expected) / largest
        memory = f"  {torch.cuda.max_memory_allocated() / 2**20:8.0f} MiB" if device.type == "cuda" else ""
        mean = sum(seconds[1:]) / len(seconds[1:])
        print(f"{option:24s} first {seconds[0]:7.2f} s  then {1000 * mean:8.2f} ms  gradients {away:.1e}{memory}")


if __name__ == "__main__":
    main()
