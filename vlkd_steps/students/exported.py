"""A student's exported folder (`vlkd export`), loaded whole: encoder, head and tokenizer, with nothing of the run.

    >>> from vlkd_steps.students import exported
    >>> student = exported.load(Path("folder"))              # doctest: +SKIP
    >>> student(inputs).logits                               # doctest: +SKIP

Beside what the library of its model reads, a folder holds ``student.json``, how the student is built, and, where the
library's class lacks the head, ``head.safetensors``.
"""

import re
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from vlkd_steps.core import components, files
from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import report
from vlkd_steps.students import saved

DESCRIPTION, REST = "student.json", "head.safetensors"
KINDS = ("bart", "uniter", "vilt", "visual_bert")
HEADS = re.compile(r"^(classifier|vqa_output|vcr_output)\.")
"""Other names of a student's ``head``: in transformers, in the official UNITER."""


def write_rest(student: nn.Module, encoder: str, out: Path) -> None:
    """Write the weights that are not of the encoder, whose names begin with `encoder`, by their own names."""
    out.mkdir(parents=True, exist_ok=True)
    rest = {name: tensor for name, tensor in saved.tensors(student).items() if not name.startswith(encoder)}
    with files.atomic(out / REST) as temporary:
        save_file(rest, temporary)


def write_tokenizer(student: Any, out: Path) -> None:
    """Write the student's tokenizer, by the class that transformers 4 and 5 both have."""
    student.tokenizer.model_max_length = student.max_tokens
    student.tokenizer.save_pretrained(out)
    path = out / "tokenizer_config.json"
    files.write_json(path, files.read_json(path) | {"tokenizer_class": "PreTrainedTokenizerFast"})


def describe(kind: str, weights: Path, out: Path) -> None:
    """Write how the student of a run's file is built."""
    files.write_json(out / DESCRIPTION, {"kind": kind, **saved.read(weights)[0]})


def load(folder: Path) -> Any:
    """The student of an exported folder, in evaluation mode.

    Raises:
        UserError: a folder that `vlkd export` did not write, or that lacks a tensor.
    """
    remedy = "name a folder that vlkd export has written"
    description = files.read_json(folder / DESCRIPTION, remedy)
    kind = description.pop("kind", None)
    if kind not in KINDS:
        raise UserError(f"{folder / DESCRIPTION}: kind is {kind!r}, not one of {', '.join(KINDS)}; {remedy}")
    module = components.load("student", kind)
    if kind == "bart":
        return module.load_folder(folder)
    weights = folder / "model.safetensors"
    tensors = {}
    for name, tensor in report.tensors(weights, "the weights", pickles=False).items():
        own = HEADS.sub("head.", name)
        tensors[own if own.startswith(("head.", f"{kind}.")) else f"{kind}.{own}"] = tensor
    if (folder / REST).is_file():
        tensors |= report.tensors(folder / REST, "the weights", pickles=False)
    return module.rebuilt(description, tensors, weights)
