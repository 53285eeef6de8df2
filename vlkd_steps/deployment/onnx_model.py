"""Exports a student with pixel input as ``model.onnx``, and compares onnxruntime's results with torch's.

Inputs: ``tokens``, ``mask`` and ``types``, int64 [N, T], padded to the student's longest text T, and ``images``, uint8
[N, 3, S, S]; N is one row, or one for each choice (`data.inputs.Inputs`). Output: ``logits`` (`StudentOutput`).
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vlkd_steps.core.errors import UserError
from vlkd_steps.data.inputs import Inputs
from vlkd_steps.deployment.finished_run import Classifying, FinishedRun

FILE = "model.onnx"
NEAR = 1e-4  # the largest allowed difference between the logits of onnxruntime and torch
NAMES = ("tokens", "mask", "types", "images")


class _Scores(nn.Module):
    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, tokens: Tensor, mask: Tensor, types: Tensor, images: Tensor) -> Any:
        return self.student(Inputs(tokens, mask, types, images)).logits


def write(run: FinishedRun, folder: Path) -> None:
    """Write ``model.onnx`` into a folder.

    Raises:
        UserError: the student does not read pixels, a package of the extra ``onnx`` is missing, or the results differ.
    """
    if not isinstance(run, Classifying) or not run.own_images:
        raise UserError(f"{run.folder}: --onnx is for students with pixel input (vilt); leave it out")
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # used by torch.onnx
    except ModuleNotFoundError as error:
        raise UserError(f"--onnx needs {error.name}: pip install 'vlkd-steps[onnx]'") from error
    scores, shown, target = _Scores(run.student).eval(), _examples(run.student, run.task.head), folder / FILE
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            scores, shown[0], str(target), input_names=NAMES, output_names=["logits"], dynamo=True,
            external_data=False, verbose=False,
        )  # fmt: skip
        session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
        for inputs in shown:
            given = dict(zip(NAMES, (tensor.numpy() for tensor in inputs), strict=True))
            far = (torch.from_numpy(session.run(None, given)[0]) - scores(*inputs)).abs().max().item()
            if not far <= NEAR:
                raise UserError(
                    f"{run.folder}: model.onnx differs from torch by {far:.2g}, more than {NEAR}; leave --onnx out"
                )


def _examples(student: Any, head: str) -> list[tuple[Tensor, ...]]:
    """Random items with texts of different lengths."""
    rows, most, side = len(student.labels) if head == "choices" else 1, student.max_tokens, student.image_size
    draw = torch.Generator().manual_seed(0)
    found: list[tuple[Tensor, ...]] = []
    for length in (most, 3, most // 2):
        tokens = torch.randint(0, len(student.tokenizer), (rows, most), generator=draw)
        mask = (torch.arange(most) < length).long().expand(rows, -1).contiguous()
        images = torch.randint(0, 256, (rows, 3, side, side), generator=draw, dtype=torch.uint8)
        found.append((tokens * mask, mask, torch.zeros_like(mask), images))
    return found
