"""Measure this machine: ``vlkd bench gpu --out results.json``.

Extraction, fine-tuning, CLIP-TD and VLKD with the papers' models, random weights and generated data: items per second,
the share of the card's peak (MFU), the share of time in which training waits for data, memory, the largest batch that
fits, and a bare PyTorch loop for comparison. Then whether a resumed run gives equal bits, bf16 against fp32, the cost
of deterministic algorithms, and two processes on one card. About 8 minutes on one GPU.
"""

from pathlib import Path
from typing import Annotated

from typer import Option

from vlkd_steps.cli import command
from vlkd_steps.core import step
from vlkd_steps.core.errors import UserError


def gpu(
    out: Annotated[Path, Option(help="where to write the results, as JSON")] = Path("gpu.json"),
    device: Annotated[str, Option(help="auto, cuda, mps or cpu; CUDA_VISIBLE_DEVICES chooses the GPU")] = "auto",
    precision: Annotated[str, Option(help="auto, bf16, tf32 or fp32")] = "auto",
    tiny: Annotated[bool, Option("--tiny", help="small models, a minute on a CPU")] = False,
    seconds: Annotated[float, Option(min=0.01, help="duration of each timing")] = 5.0,
) -> int:
    """The papers' models on this machine's accelerator."""
    from vlkd_steps.gpu_bench import runbook

    step.log_to(None)
    command.check_output(out, "--out")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; create it, or name a file in another one")
    found = runbook.run(runbook.settings(device, precision, tiny, seconds), out)
    return 1 if any(check.good is False for check in found) else 0


main = command.group("bench", __doc__, {"gpu": gpu})
