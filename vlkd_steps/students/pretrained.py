"""What a student takes from transformers: pre-trained weights by folder or name, or an architecture by its keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PretrainedConfig, PreTrainedModel

from vlkd_steps.core import layout
from vlkd_steps.core.errors import UserError


def source(conf: Mapping[str, Any]) -> str | None:
    """Where a student's weights come from: the folder that `pretrain` makes, or ``weights`` of its configuration."""
    return str(layout.model(conf["name"])) if conf.get("pretrained") else conf.get("weights")


def load(source: str, name: str, model: type[PreTrainedModel], title: str) -> Any:
    """A pre-trained model from a folder or, by name, from the Hugging Face hub or its cache.

    Args:
        source: the folder or name; name: the student's.
        model: the class that is wanted; title: as its users call it.

    Raises:
        UserError: there is none, it is another model, or it cannot be fetched.
    """
    folder = Path(source)
    if layout.model(name) == folder and not (folder / "config.json").is_file():
        raise UserError(
            f"student {name}: {folder} holds no pre-trained weights; make them: snakemake {folder}/model.safetensors"
        )
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(
            f"student {name}: weights: {source} is a folder without config.json; give one that save_pretrained wrote"
        )
    config = config_of(model)
    try:
        kind = config.get_config_dict(source)[0].get("model_type")
        if kind != config.model_type:
            raise UserError(
                f"student {name}: weights: {source} is a {kind or 'model of unknown kind'}, not a {title}; "
                "choose another"
            )
        return model.from_pretrained(source, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise cannot(f"student {name}: weights", source, "config.json and model.safetensors", error) from error


def config_of(model: type[PreTrainedModel]) -> type[PretrainedConfig]:
    assert model.config_class is not None
    return model.config_class


def tokenizer(source: str, name: str) -> Any:
    """A fast tokenizer from a folder or, by name, from the Hugging Face hub or its cache.

    Raises:
        UserError: there is none, or it has no fast form.
    """
    try:
        found = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise cannot(f"student {name}: tokenizer", source, "a tokenizer.json or vocab.txt", error) from error
    if not found.is_fast:
        raise UserError(f"student {name}: tokenizer {source!r} has no fast form, which tells where words begin")
    return found


def cannot(where: str, source: str, wanted: str, error: Exception) -> UserError:
    first = str(error).strip().splitlines()[0]
    return UserError(
        f"{where}: {source!r} cannot be loaded ({first}). It is no folder here with {wanted}, and the Hugging Face hub "
        "did not give it; without network, put such a folder below models/ and name it"
    )


def from_scratch(conf: Mapping[str, Any], model: type[PreTrainedModel], **given: Any) -> Any:
    """A new model of ``conf["architecture"]``, whose keys are those of its configuration in transformers.

    Args:
        given: keys that do not come from there.

    Raises:
        UserError: a key that is not one, or values that transformers refuses.
    """
    name, config = conf["name"], config_of(model)
    architecture = dict(conf.get("architecture") or {})
    unknown = sorted(set(architecture) - set(config().to_dict()))
    if unknown:
        raise UserError(
            f"student {name}: architecture has no key {unknown[0]!r}; its keys are those of "
            f"transformers.{config.__name__}"
        )
    try:
        return model(config(**{**architecture, **given}))
    except Exception as error:  # transformers' checks raise errors of several libraries
        raise UserError(f"student {name}: transformers refuses its architecture: {error}") from error
