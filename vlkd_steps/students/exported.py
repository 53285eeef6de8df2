"""A student's exported folder (`vlkd export`): encoder, head and tokenizer, without anything else of the run.

    >>> from vlkd_steps.students import exported
    >>> student = exported.load(Path("folder"))              # doctest: +SKIP
    >>> student(inputs).logits                               # doctest: +SKIP

Besides the files that the model's library reads, a folder has ``student.json``, which describes the student, and
``head.safetensors`` if the library's class lacks the head.
"""

import re
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from vlkd_steps.core import components, files
from vlkd_steps.core.errors import UserError
from vlkd_steps.data import tokenizer as text
from vlkd_steps.pretrained import report
from vlkd_steps.students import saved

DESCRIPTION, REST = "student.json", "head.safetensors"
KINDS = ("bart", "uniter", "vilt", "visual_bert")
HEADS = re.compile(r"^(classifier|vqa_output|vcr_output)\.")
"""Other names of a student's ``head``: in transformers, in the official UNITER."""


def write_rest(student: nn.Module, encoder: str, out: Path) -> None:
    """Write all weights except the encoder's, whose names begin with `encoder`."""
    out.mkdir(parents=True, exist_ok=True)
    rest = {name: tensor for name, tensor in saved.tensors(student).items() if not name.startswith(encoder)}
    with files.atomic(out / REST) as temporary:
        save_file(rest, temporary)


def write_tokenizer(student: Any, out: Path) -> None:
    """Write the student's tokenizer, with the class that transformers 4 and 5 share."""
    student.tokenizer.model_max_length = student.max_tokens
    text.write(student.tokenizer, out)
    path = out / "tokenizer_config.json"
    files.write_json(path, files.read_json(path) | {"tokenizer_class": "PreTrainedTokenizerFast"})


def describe(kind: str, weights: Path, out: Path) -> None:
    """Write the description of the student in a run's file."""
    files.write_json(out / DESCRIPTION, {"kind": kind, **saved.read(weights)[0]})


def load(folder: Path) -> Any:
    """The student of an exported folder, in evaluation mode.

    A plugin's module has ``load_folder(folder)``, or ``rebuilt`` as `vilt` has, for a folder with the same files.

    Raises:
        UserError: `vlkd export` did not write the folder, or it lacks a tensor, or a plugin's module loads no folder.
    """
    remedy = "name a folder that vlkd export wrote"
    description = files.read_json(folder / DESCRIPTION, remedy)
    kind = description.pop("kind", None)
    known = (*KINDS, *components.brought("student"))
    if kind not in known:
        plugins = "; if a plugin brings it, name it first: vlkd_steps.core.components.use([PLUGIN])"
        raise UserError(f"{folder / DESCRIPTION}: kind is {kind!r}, not one of {', '.join(known)}; {remedy}{plugins}")
    module = components.load("student", kind)
    if hasattr(module, "load_folder"):
        return module.load_folder(folder)
    if not hasattr(module, "rebuilt"):
        raise UserError(f"{module.__name__} has no function load_folder; write it, to load what its export wrote")
    weights = folder / "model.safetensors"
    tensors = {}
    for name, tensor in report.tensors(weights, "the weights", pickles=False).items():
        own = HEADS.sub("head.", name)
        tensors[own if own.startswith(("head.", f"{kind}.")) else f"{kind}.{own}"] = tensor
    if (folder / REST).is_file():
        tensors |= report.tensors(folder / REST, "the weights", pickles=False)
    return module.rebuilt(description, tensors, weights)
