"""Official UNITER and VILLA checkpoints, from safetensors or the pickled ``.pt``.

A ``.pt`` file is read with torch's restricted unpickler, which builds only tensors. To convert it once:

    python -m vlkd_steps.students.uniter_weights uniter-base.pt uniter-base.safetensors
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken
from torch import Tensor, nn

from vlkd_steps import tasks
from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.terminal import say
from vlkd_steps.pretrained import report
from vlkd_steps.students.uniter_model import UniterConfig

VCR_TYPES = 4
VCR_WORDS = 81
"""Token types and extra words of every UNITER for VCR, whatever its configuration (official `train_vcr.py`).

The words are the tags of persons, by their position among the objects (the authors' preparation: ``person_0`` to
``person_80``, after the vocabulary)."""

OFFICIAL_HEADS = {"classes": "vqa_output", "choices": "vcr_output"}
"""The official heads' names by `Task.head`: `UniterForVisualEntailment` inherits `vqa_output`."""

HEAD_WIDTH = 64
"""Width of an attention head in both official sizes: 768 / 12 and 1,024 / 16."""

WORDS = "uniter.embeddings.word_embeddings.weight"
TYPES = "uniter.embeddings.token_type_embeddings.weight"


def read(path: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors by their official names, in float32.

    Names of older BERTs (``gamma``, ``beta``) are converted, and a prefix ``module.``, or a dictionary ``model_state``
    around them, is removed.

    Raises:
        UserError: the file is missing, of another type, damaged, or not a UNITER.
    """
    if not path.is_file():
        raise UserError(
            f"the weights {path} are missing; fetch an official file (see docs/students.md) and put it there, or set "
            "the student's `weights` to its path (.pt or .safetensors)"
        )
    found = report.read(path, "the weights")
    if isinstance(found, Mapping) and isinstance(found.get("model_state"), Mapping):
        found = found["model_state"]
    tensors = {}
    for name, tensor in found.items() if isinstance(found, Mapping) else ():
        if isinstance(tensor, Tensor):
            new = str(name).removeprefix("module.").replace("gamma", "weight").replace("beta", "bias")
            tensors[new] = tensor.float() if tensor.is_floating_point() else tensor
    if WORDS not in tensors or "uniter.img_embeddings.img_linear.weight" not in tensors:
        names = ", ".join(sorted(tensors)[:3]) or "nothing"
        raise UserError(
            f"the weights {path} are not a UNITER's: they have no tensor {WORDS} ({names} ...); give an official "
            "UNITER or VILLA checkpoint"
        )
    return tensors


def config_of(tensors: Mapping[str, Tensor], **more: Any) -> UniterConfig:
    """The configuration that follows from a checkpoint's shapes; `more` are the keys that do not."""
    words, types = tensors[WORDS], tensors[TYPES]
    layers = {int(name.split(".")[3]) for name in tensors if name.startswith("uniter.encoder.layer.")}
    inferred = {
        "vocab_size": words.shape[0],
        "hidden_size": words.shape[1],
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, words.shape[1] // HEAD_WIDTH),
        "intermediate_size": tensors["uniter.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": tensors["uniter.embeddings.position_embeddings.weight"].shape[0],
        "type_vocab_size": types.shape[0],
        "img_dim": tensors["uniter.img_embeddings.img_linear.weight"].shape[1],
    }
    return UniterConfig.of({**inferred, **more})


def add_tags(tokenizer: Any) -> None:
    """Make each person's tag, written as `datasets.vcr.spell` writes it, one of the extra words: ``person 1``, ...

    Tags of other objects are their names, as in the authors' preparation, and their numbers.
    """
    tokenizer.add_tokens([AddedToken(f"person {number + 1}", single_word=True) for number in range(VCR_WORDS)])


def for_vcr(tensors: Mapping[str, Tensor], words: int, std: float) -> dict[str, Tensor]:
    """The tensors with 4 token types and 81 words more than the vocabulary, added if necessary.

    Types 2 (answer) and 3 (rationale) start as copies of type 0, the new words from N(0, std), drawn from torch's
    global generator, as in the official `init_type_embedding` and `init_word_embedding`. A second-stage checkpoint for
    VCR has them already.
    """
    types, known = tensors[TYPES], tensors[WORDS]
    result = dict(tensors)
    if len(types) < VCR_TYPES:
        result[TYPES] = torch.cat([types[:2], types[:1].repeat(VCR_TYPES - 2, 1)])
    if len(known) < words + VCR_WORDS:
        result[WORDS] = torch.cat([known, torch.randn(words + VCR_WORDS - len(known), known.shape[1]) * std])
    return result


def load_into(student: nn.Module, tensors: Mapping[str, Tensor], task: str, head: bool, where: str) -> None:
    """Load the encoder and, with `head`, the task's official head; a checkpoint's other tensors are ignored.

    Raises:
        UserError: a tensor of the encoder or of the requested head is missing, quantised or has another shape.
    """
    official = OFFICIAL_HEADS[tasks.load(task).head]
    own = student.state_dict()
    report.check_stored(own, report.not_floating(tensors), where)
    chosen = {}
    for name, tensor in own.items():
        if name.startswith("head."):
            if not head:
                continue
            source = f"{official}.{name.removeprefix('head.')}"
        else:
            source = name
        found = tensors.get(source)
        if found is None or found.shape != tensor.shape:
            shape = "is missing" if found is None else f"has shape {list(found.shape)}, not {list(tensor.shape)}"
            advice = (
                "set head: new" if source.startswith(official) else "give a complete checkpoint of this architecture"
            )
            raise UserError(f"{where}: {source} {shape}; {advice}")
        chosen[name] = found
    student.load_state_dict(chosen, strict=False)
    new = set(own) - set(chosen)  # the head
    more = [name for name in tensors if name.startswith("uniter.") and name not in own]
    report.check(student, where, new, more, may_be_new=new.__contains__)


def official_names(student: nn.Module, task: str) -> dict[str, Tensor]:
    """A student's tensors under the official names."""
    head = OFFICIAL_HEADS[tasks.load(task).head]
    return {
        (f"{head}.{name.removeprefix('head.')}" if name.startswith("head.") else name): tensor.detach().cpu()
        for name, tensor in student.state_dict().items()
    }


def convert(source: Path, target: Path) -> None:
    """Write a checkpoint's tensors as safetensors."""
    # Official pre-training checkpoints tie the word decoder to the word embeddings; each is saved as a copy.
    tensors = {name: tensor.clone().contiguous() for name, tensor in read(source).items()}
    with files.atomic(target) as temporary:
        save_file(tensors, temporary)


def main(argv: Sequence[str]) -> int:
    if len(argv) != 2:
        say("usage: python -m vlkd_steps.students.uniter_weights CHECKPOINT.pt OUT.safetensors", file=sys.stderr)
        return 2
    try:
        convert(Path(argv[0]), Path(argv[1]))
    except UserError as mistake:
        say(f"error: {mistake}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
