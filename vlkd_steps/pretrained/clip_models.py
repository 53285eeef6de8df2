"""open_clip's models and tokenizers; the only calls of its ``create_model`` and ``get_tokenizer`` are here.

A model is a name of open_clip's, or ``local-dir:FOLDER`` or ``hf-hub:ORG/NAME``, which carry their configuration.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
from open_clip.coca_model import MultimodalCfg
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.transform import PreprocessCfg

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import folder as folders
from vlkd_steps.pretrained import hugging_face, report

PREFIXES = ("local-dir:", "hf-hub:")
MODEL = {
    "embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg", "quick_gelu", "custom_text", "init_logit_scale",
    "init_logit_bias", "nonscalar_logit_scale",
}  # fmt: skip
SWITCHES = ("quick_gelu", "custom_text", "nonscalar_logit_scale")
PARTS = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg, "multimodal_cfg": MultimodalCfg}
FETCHING = {"timm_model_pretrained", "hf_model_pretrained"}
"""Keys that would load the weights of a tower from elsewhere."""
TOKENIZING = {"clean", "strip_sep_token", "language"}
"""Keys of ``tokenizer_kwargs``; others go on to transformers' loader."""
TIMM_NAME = re.compile(r"\w+(\.\w+)?")


class Model(NamedTuple):
    """A model by its configuration; the folder that it came with, if any; and how its images are prepared."""

    name: str
    config: dict[str, Any]
    folder: Path | None
    preprocessing: dict[str, Any]


def described(model: str) -> Model:
    """The model that a teacher's configuration names.

    Raises:
        UserError: its folder has no configuration, or one that does not describe a model.
        OSError: it cannot be fetched.
    """
    if not model.startswith(PREFIXES):
        return Model(model, open_clip.get_model_config(model.replace("/", "-")) or {}, None, {})
    folder = folders.located(model.partition(":")[2], folders.WEIGHTS)
    path = folder / "open_clip_config.json"
    found = files.read_json(path, folders.REMEDY)
    described = found.get("model_cfg")
    if not isinstance(described, Mapping):
        raise UserError(f"{path}: has no model_cfg, the description of a model; {folders.REMEDY}")
    images = {field.name for field in fields(PreprocessCfg)}
    preprocessing = folders.allowed(found.get("preprocess_cfg") or {}, images.__contains__, f"{path}: preprocess_cfg")
    folders.check_images(preprocessing, f"{path}: preprocess_cfg")
    return Model(model, model_config(described, path), folder, preprocessing)


def model_config(found: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The known keys of a ``model_cfg``, none of which fetches or runs anything.

    Raises:
        UserError: no sizes of one of the towers, or a tower that is no model's name.
    """
    config = folders.allowed(found, MODEL.__contains__, f"{path}: model_cfg")
    folders.check_switches(config, SWITCHES, f"{path}: model_cfg.")
    for part, known in PARTS.items():
        if part not in config and part != "multimodal_cfg":
            raise UserError(f"{path}: model_cfg.{part} is missing; {folders.REMEDY}")
        if part not in config:
            continue
        if not isinstance(config[part], Mapping):
            raise UserError(f"{path}: model_cfg.{part} is {config[part]!r}, not an object; {folders.REMEDY}")
        keys = {field.name for field in fields(known)} - FETCHING
        config[part] = folders.allowed(config[part], keys.__contains__, f"{path}: model_cfg.{part}")
    text, timm_name = config["text_cfg"], config["vision_cfg"].get("timm_model_name")
    if given := text.pop("tokenizer_kwargs", None):
        text["tokenizer_kwargs"] = folders.allowed(given, TOKENIZING.__contains__, f"{path}: tokenizer_kwargs")
    if timm_name is not None and not TIMM_NAME.fullmatch(str(timm_name)):
        raise UserError(f"{path}: vision_cfg.timm_model_name is {timm_name!r}, no name of timm's; {folders.REMEDY}")
    for key in ("hf_model_name", "hf_tokenizer_name"):
        if text.get(key) and not folders.HUB_NAME.fullmatch(str(text[key])):
            raise UserError(f"{path}: text_cfg.{key} is {text[key]!r}, no name of the hub; {folders.REMEDY}")
    return config


def weights_of(model: Model) -> Path:
    """The file of weights in a model's folder.

    Raises:
        UserError: there is none.
    """
    assert model.folder is not None
    return folders.weights(model.folder)


def tagged(model: Model, tag: str) -> tuple[Path, dict[str, Any]]:
    """The safetensors file of one of open_clip's pretrained tags, fetched, and how its images are prepared.

    Raises:
        UserError: it is not published as safetensors, or was trained with another activation than the model has.
        OSError: it cannot be fetched.
    """
    known = open_clip.get_pretrained_cfg(model.name.replace("/", "-"), tag)
    if known.get("quick_gelu") and not model.config.get("quick_gelu"):  # else other features, without an error
        raise UserError(
            f"the weights {tag} were trained with QuickGELU, which the teacher's model {model.name} does not compute; "
            f"write model: {model.name}-quickgelu"
        )
    repository, _, name = known.get("hf_hub", "").rpartition("/")
    if not repository:
        raise UserError(
            f"the weights {tag} of {model.name} are published as a pickle alone, which is not read; take another tag, "
            "or save their state_dict as safetensors and set `weights` to that file"
        )
    safe = [f"{Path(name).stem}.safetensors"] if name else list(folders.WEIGHTS[:2])
    file = folders.weights(folders.located(repository, safe), safe)
    return file, {key: known[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in known}


def build(model: Model, device: str = "cpu", **preprocessing: Any) -> tuple[Any, Any]:
    """The model with random weights, and its evaluation transform.

    Args:
        preprocessing: of images, instead of the model's own (``mean, std, interpolation, resize_mode``).

    Raises:
        UserError: open_clip rejects the configuration.
        OSError: the configuration of its text tower cannot be fetched.
    """
    config = deepcopy(model.config)
    with ExitStack() as stack:
        if config["text_cfg"].get("hf_model_name"):
            tower = folders.located(config["text_cfg"]["hf_model_name"], ())
            own = hugging_face.configuration(tower, f"the teacher's model {model.name}")
            config["text_cfg"]["hf_model_name"] = str(stack.enter_context(folders.cleaned(tower, config=own)))
        clean = stack.enter_context(_folder(None, config, {**model.preprocessing, **preprocessing}))
        with _mended(model):
            built, _, transform = open_clip.create_model_and_transforms(
                f"local-dir:{clean}", load_weights=False, pretrained_text=False, device=device
            )
    return built, transform


def load(built: Any, file: Path, where: str, shown: str) -> None:
    """Load the weights of a file, which open_clip fits to the model.

    Args:
        where: the start of messages; shown: the model's name in them.

    Raises:
        UserError: the file cannot be read, or is of another model.
    """
    try:
        held = report.tensors(file, "the file", pickles=False)
    except UserError as error:
        raise UserError(f"the teacher {shown} cannot be loaded from {file}: {error}") from error
    try:
        loaded = open_clip.load_checkpoint(built, str(file), strict=False)
    except Exception as error:  # open_clip, safetensors and torch raise errors of their own
        raise UserError(
            f"{where} {file} holds the weights of another model than {shown}: {report.brief(error)}"
        ) from error
    report.check_stored(built.state_dict(), report.not_floating(held), f"{where} {file} of {shown}")
    report.check(built, f"{where} {file} of {shown}", loaded.missing_keys, loaded.unexpected_keys)


def tokenizer(model: Model) -> Any:
    """The tokenizer of a model: texts -> int64 [B, context length].

    Raises:
        UserError: its files are missing or damaged.
        OSError: they cannot be fetched.
    """
    text, where = model.config.get("text_cfg", {}), f"the teacher's model {model.name}"
    name = text.get("hf_tokenizer_name")
    if not name and model.folder is None:
        return open_clip.get_tokenizer(model.name)
    folder = model.folder
    if name and (folder is None or not (model.name.startswith("local-dir:") or folders.has_tokenizer(folder))):
        folder = folders.located(name, ())
    if name:
        hugging_face.check_files(folder, where)
    more = {"trust_remote_code": False} if name else {}
    with _folder(folder if name else None, model.config, {}) as clean, _mended(model), hugging_face.quiet():
        if name and folder is not None:
            hugging_face.state_rules(folder, clean)
        found = open_clip.get_tokenizer(f"local-dir:{clean}", **more)
    if name:
        hugging_face.check_words(found.tokenizer, f"{where}: the tokenizer of {folder}")
        if not text.get("hf_model_name"):
            rows = text.get("vocab_size", CLIPTextCfg.vocab_size)
            hugging_face.check_vocabulary(found.tokenizer, rows, f"{where}: {folder}")
    return found


@contextmanager
def _folder(folder: Path | None, config: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> Iterator[Path]:
    """What open_clip reads, as ``local-dir:``: a configuration and, of `folder`, the tokenizer."""
    whole = {"model_cfg": dict(config), "preprocess_cfg": dict(preprocessing)}
    with folders.cleaned(folder, open_clip_config=whole) as clean:
        yield clean


@contextmanager
def _mended(model: Model) -> Iterator[None]:
    """Errors of open_clip about a configuration from outside become a message; what it says of weights is untrue here,
    since they are loaded afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:
        if model.folder is None:
            raise
        raise UserError(
            f"{model.folder / 'open_clip_config.json'}: open_clip rejects it ({report.brief(error)}); {folders.REMEDY}"
        ) from error
    finally:
        logging.disable(before)
