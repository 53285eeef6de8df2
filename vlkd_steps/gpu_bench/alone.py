"""Train one student for some seconds and print its items per second; started twice, two processes share a card.

python -m vlkd_steps.gpu_bench.alone DEVICE PRECISION SECONDS (tiny|full)
"""

import sys

import torch

from vlkd_steps.core.terminal import say
from vlkd_steps.gpu_bench import checks, distillation
from vlkd_steps.gpu_bench.cases import FULL, TINY


def main() -> None:
    device, precision, seconds, size = sys.argv[1:]
    case = (TINY if size == "tiny" else FULL).students[0]
    accelerator = checks.accelerated(torch.device(device), precision)
    model, extra = distillation.distillation(distillation.built(case), "clip_td", case.text)
    model.to(accelerator.device)
    clock = distillation.trained(model, distillation.batches(case, model.student, extra), accelerator, float(seconds))
    say(case.items * clock.steps / clock.took)


if __name__ == "__main__":
    main()
