"""Initialisation of a student: pre-trained weights, or a new model with its own small vocabulary.

Both are transformers models: weights by folder or name, an architecture by its keys.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from vlkd_steps.core import artifacts, components, files, layout, package_assets
from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import folder as pretrained
from vlkd_steps.pretrained import hugging_face


def source(conf: Mapping[str, Any]) -> str | None:
    """Where a student's weights come from: the folder that `pretrain` makes, or ``weights`` of its configuration."""
    if conf.get("pretrained"):
        return str(artifacts.model(layout.model(conf["name"])))
    weights = conf.get("weights")
    shipped = package_assets.path(weights)
    return str(shipped) if shipped else weights


def load(source: str, name: str, model: type[PreTrainedModel], title: str) -> Any:
    """A pre-trained model from a folder or, by name, from the Hugging Face hub or its cache.

    Args:
        source: the folder or name; name: the student's.
        model: the expected class; title: its usual name.

    Raises:
        UserError: it does not exist, is another model, or cannot be fetched.
    """
    folder = Path(source)
    if layout.model(name) == folder and not (folder / "config.json").is_file():
        raise UserError(
            f"student {name}: {folder} has no pre-trained weights; make them: snakemake {folder}/model.safetensors"
        )
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(
            f"student {name}: weights: {source} is a folder without config.json; give one that save_pretrained wrote"
        )
    where, config = f"student {name}: weights", config_of(model)
    try:
        found = pretrained.located(source)
        if not (found / "config.json").is_file():
            raise OSError(f"{found / 'config.json'} is missing")
    except OSError as error:
        raise cannot(where, source, "config.json and model.safetensors", error) from error
    kind = files.read_json(found / "config.json", pretrained.REMEDY).get("model_type")
    if kind != config.model_type:
        raise UserError(f"{where}: {source} is a {kind or 'model of unknown kind'}, not a {title}; choose another")
    return hugging_face.model(found, where, model)


def config_of(model: type[PreTrainedModel]) -> type[PretrainedConfig]:
    assert model.config_class is not None
    return model.config_class


def tokenizer(source: str, name: str, model: PreTrainedModel | None = None) -> Any:
    """A fast tokenizer from a folder or, by name, from the Hugging Face hub or its cache.

    Args:
        model: the model that the tokenizer is for.

    Raises:
        UserError: it does not exist, has no fast version, or has more words than the model has vectors.
    """
    where = f"student {name}: tokenizer"
    try:
        found = hugging_face.tokenizer(pretrained.located(source, ()), where)
    except OSError as error:
        raise cannot(where, source, "a tokenizer.json or vocab.txt", error) from error
    if not found.is_fast:
        raise UserError(f"student {name}: tokenizer {source!r} has no fast version, which word boundaries need")
    if model is not None:
        vectors: Any = model.get_input_embeddings()
        hugging_face.check_vocabulary(found, vectors.num_embeddings, f"student {name}: {source}")
    return found


def cannot(where: str, source: str, wanted: str, error: Exception) -> UserError:
    first = str(error).strip().splitlines()[0]
    return UserError(
        f"{where}: {source!r} cannot be loaded ({first}). It is not a local folder with {wanted}, and could not be "
        "fetched from the Hugging Face hub; without network, put such a folder below models/ and name it"
    )


def from_scratch(conf: Mapping[str, Any], model: type[PreTrainedModel], **given: Any) -> Any:
    """A new model of ``conf["architecture"]``, whose keys are those of its configuration in transformers.

    Args:
        given: keys that the caller sets instead.

    Raises:
        UserError: an unknown key, or values that transformers rejects.
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
        raise UserError(f"student {name}: transformers rejects its architecture: {error}") from error


def vocabulary(source: str | None, name: str) -> list[str]:
    """The words of a tiny student: a data set's ``vocabulary`` module by name, or a text file, one word per line."""
    if source is None:
        raise UserError(f"student {name}: a student from scratch needs vocabulary: (scenes, or a file of words)")
    if source.endswith(".txt"):
        try:
            words = Path(source).read_text(encoding="utf-8-sig").split()  # without the mark that Windows begins it with
        except OSError as error:
            raise UserError(f"student {name}: vocabulary: cannot read {source}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"student {name}: vocabulary: {source} is no UTF-8 text; save it as UTF-8") from error
        if not words:
            raise UserError(f"student {name}: vocabulary: {source} has no words; write one a line")
        return words
    try:
        return list(components.load("vocabulary", source).words())
    except UserError as error:
        raise UserError(f"student {name}: {error}, or a file such as words.txt") from error


@torch.no_grad()
def spread_words(words: nn.Embedding, std: float) -> None:
    """Initialise word vectors from N(0, std), the padding word's with zero.

    BERT starts them close to zero; millions of texts make up for that, a few hundred questions do not.
    """
    words.weight.normal_(0.0, std)
    if words.padding_idx is not None:
        words.weight[words.padding_idx].zero_()
