"""timm's models; the only calls of its ``create_model`` are here.

A model is a name of timm's, whose weights are those of a file or are fetched as safetensors from the hub, or
``local-dir:FOLDER`` or ``hf-hub:ORG/NAME``, which carry theirs.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import timm
from timm.models import PretrainedCfg
from torch import Tensor

from vlkd_steps.core import files
from vlkd_steps.core.did_you_mean import nearest
from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import folder as folders
from vlkd_steps.pretrained import report

WEIGHTS = ("model.safetensors",)
PREFIXES = ("local-dir:", "hf-hub:", "hf_hub:")
SOURCES = {"url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load"}
PRETRAINED = {field.name for field in fields(PretrainedCfg)} - SOURCES
"""Keys of a folder's ``pretrained_cfg``: not those that name other weights."""
ARGUMENTS = {
    "img_size", "patch_size", "in_chans", "num_classes", "global_pool", "embed_dim", "depth", "num_heads", "mlp_ratio",
    "qkv_bias", "init_values", "class_token", "reg_tokens", "no_embed_class", "pre_norm", "fc_norm", "final_norm",
    "dynamic_img_size", "drop_rate", "drop_path_rate", "pos_embed", "window_size", "depths", "dims", "layers",
}  # fmt: skip
"""Keys of a folder's ``model_args``."""


def check_name(name: str, where: str) -> None:
    """Refuse what timm does not have: a model, or a tag of its weights after a dot.

    Args:
        where: the start of the message, which `name` follows.

    Raises:
        UserError: it is unknown.
    """
    if name.startswith(PREFIXES):
        return
    architecture, _, tag = name.partition(".")
    known = timm.list_models()
    if timm.is_model(architecture):
        known = timm.list_models(f"{architecture}.*", include_tags=True)
        if not tag or name in known:
            return
    hint = nearest(name, known, "timm.list_models() names them all")
    raise UserError(f"{where} {name!r} is unknown to timm; {hint}")


def unweighted(name: str) -> Any:
    """A model of timm's with random weights."""
    return timm.create_model(name, pretrained=False)


def described(name: str) -> dict[str, str]:
    """What the weights and a name of `pretrained` leave open, as a part of an identity: nothing for a model of timm's;
    for a folder or a repository, a hash of what its configuration says."""
    if not name.startswith(PREFIXES):
        return {}
    found = files.read_json(folders.located(name.partition(":")[2], WEIGHTS) / "config.json", folders.REMEDY)
    read = ("architecture", "num_classes", "model_args", "pretrained_cfg")
    return {"architecture": files.digest({key: found.get(key) for key in read})}


def pretrained(name: str, where: str, features_only: bool = False) -> Any:
    """A model with the weights that timm knows, or those of its folder.

    Raises:
        UserError: they cannot be fetched, are no safetensors, or are of another model.
        OSError: the hub cannot be reached.
    """
    if name.startswith(PREFIXES):
        return from_folder(folders.located(name.partition(":")[2], WEIGHTS), where, features_only)
    known = timm.get_pretrained_cfg(name)
    repository = known.hf_hub_id if known else None
    if not repository:
        raise UserError(f"{where}: timm has no weights of {name} as safetensors on the hub; name a file of them")
    folder = folders.located(repository, WEIGHTS)
    return from_file(name, folders.weights(folder, WEIGHTS), where, features_only)


def from_folder(folder: Path, where: str, features_only: bool = False) -> Any:
    """A model with the weights of a folder that timm's `save_for_hf` wrote.

    Raises:
        UserError: a damaged configuration, or weights that are missing, pickled or of another model.
    """
    path = folder / "config.json"
    found = files.read_json(path, folders.REMEDY)
    name = found.get("architecture")
    if not isinstance(name, str) or not timm.is_model(name):
        raise UserError(f"{where}: {path}: architecture is {name!r}, which timm does not have; name another model")
    file = folders.weights(folder, WEIGHTS)
    described = {"architecture", "num_classes", "num_features", "global_pool", "model_args", "pretrained_cfg"}
    folders.allowed(found, described.__contains__, path)  # says what is not read
    stated = folders.allowed(found.get("pretrained_cfg") or {}, PRETRAINED.__contains__, f"{path}: pretrained_cfg")
    folders.check_images(stated, f"{path}: pretrained_cfg")
    if "num_classes" in found:
        stated["num_classes"] = found["num_classes"]
    arguments = folders.allowed(found.get("model_args") or {}, ARGUMENTS.__contains__, f"{path}: model_args")
    if arguments.get("in_chans", 3) != 3:
        raise UserError(
            f"{path}: model_args.in_chans is {arguments['in_chans']!r}, and images have 3; {folders.REMEDY}"
        )
    return from_file(name, file, where, features_only, stated, **arguments)


def from_file(
    name: str, file: Path, where: str, features_only: bool = False, stated: Mapping[str, Any] = {}, **arguments: Any
) -> Any:
    """A model of timm's with the weights of a file, which timm fits to it.

    Raises:
        UserError: the file cannot be read, or is of another model.
    """
    held = report.tensors(file, f"{where}: weights")
    try:
        made = weighted(name, stated, held, **arguments)
        if features_only:  # which timm loads without a look at what is missing
            report.check(made, f"{where}: {file}")
            return weighted(name, stated, made.state_dict(), features_only=True, **arguments)
    except UserError:
        raise
    except Exception as error:  # timm and torch raise errors of their own
        raise UserError(f"{where}: {name} cannot be loaded from {file} ({report.brief(error)})") from error
    report.check_stored(made.state_dict(), report.not_floating(held), f"{where}: {file}")
    report.check(made, f"{where}: {file}")
    return made


def weighted(name: str, stated: Mapping[str, Any], tensors: Mapping[str, Tensor], **arguments: Any) -> Any:
    """timm's own loading, which ends in an error when a tensor is missing, unexpected or of another shape."""
    overlay = {**stated, "state_dict": dict(tensors)}
    made: Any = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    made.pretrained_cfg.pop("state_dict", None)
    return made
