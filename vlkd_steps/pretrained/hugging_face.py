"""transformers' models, configurations and tokenizers; the only calls of its ``from_pretrained`` are here."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    masking_utils,
    modeling_rope_utils,
)
from transformers import logging as transformers_logging
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.pretrained import folder as folders
from vlkd_steps.pretrained import report

HEADS = ("cls.", "lm_head.", "classifier.", "qa_outputs.", "mlm_score.", "itm_score.", "score.", "classification_head.")
"""How the heads of pre-training and of other tasks begin, which an encoder's file may hold as well."""
BERT_RULES = {
    "do_lower_case": ("lowercase", True),
    "strip_accents": ("strip_accents", None),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
}
"""Keys of a tokenizer_config.json, their names in a tokenizer.json, and transformers' values where they are absent."""
SPECIAL = re.compile(r"\[.+\]|<.+>")
"""A word of a vocabulary that stands for no text, such as [CLS]."""
READ = re.compile(r"""\bconfig\.(\w+)|["'](\w+)["']""")
"""Where source code reads a key of a configuration: as ``config.KEY``, or with the key in quotes."""


def configuration(folder: Path, where: str) -> dict[str, Any]:
    """The known keys of a folder's config.json.

    Raises:
        UserError: it is missing or damaged, or of a kind that transformers has no code for.
    """
    path = folder / "config.json"
    found = files.read_json(path, folders.REMEDY)
    kind = found.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise UserError(
            f"{where}: {path}: model_type is {kind!r}, which transformers does not have, and code of the folder is not "
            "run; name another model"
        )
    return {**known(CONFIG_MAPPING[kind], found, path), "model_type": kind}


def known(config: type[PreTrainedConfig], found: Mapping[str, Any], where: object) -> dict[str, Any]:
    """Those keys of `found` that a class of configurations has or its code reads, without those that reach a loader."""
    own = {*config().to_dict(), *(getattr(config, "attribute_map", None) or {})}
    return folders.allowed(found, (own | read_by_code(config)).__contains__, where)


def read_by_code(config: type[PreTrainedConfig]) -> frozenset[str]:
    """The names that transformers' code of a kind of models may read of a configuration.

    Models read keys that their classes of configurations do not list (DeBERTa's ``position_buckets``), and these
    convert keys of older releases (``rope_theta``). Without them a model computes something else and no error tells.
    """
    files_of = [inspect.getfile(base) for base in config.__mro__ if base.__module__.startswith("transformers.models.")]
    every = [path for file in files_of for path in Path(file).parent.glob("*.py")]
    sources = [path for path in every if path.name.startswith(("configuration_", "modeling_"))]
    sources += [Path(inspect.getfile(shared)) for shared in (masking_utils, modeling_rope_utils)]
    return frozenset(key for path in sources for keys in READ.findall(path.read_text("utf-8")) for key in keys if key)


def stored(config: type[PreTrainedConfig], found: Mapping[str, Any], where: object) -> Any:
    """The configuration that a run's file describes, of its known keys alone."""
    return config(**{key: value for key, value in known(config, found, where).items() if key != "model_type"})


def model(
    folder: Path,
    where: str,
    kind: type[PreTrainedModel] | None = None,
    may_be_new: Callable[[str], bool] = lambda _: False,
) -> Any:
    """A model in float32 with its weights, as transformers loads them.

    Args:
        kind: its class; None: the encoder of whatever config.json names.
        where: the start of messages.
        may_be_new: see `report.check`.

    Raises:
        UserError: files that are missing, damaged or pickled, a configuration that transformers rejects, or weights of
            another model.
    """
    config = configuration(folder, where)
    file = folders.weights(folder, ("model.safetensors", folders.SHARDS))
    loader: Any = kind or AutoModel
    transformers_logging.disable_progress_bar()
    with folders.cleaned(folder, config=config) as clean, quiet():
        if not (clean / "model.safetensors").exists() and not (clean / folders.SHARDS).exists():
            (clean / "model.safetensors").symlink_to(file.resolve())
        try:
            made, info = loader.from_pretrained(
                clean,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except Exception as error:  # transformers, safetensors and torch raise errors of their own
            raise UserError(f"{where}: {file} cannot be loaded ({report.brief(error)}); {folders.REMEDY}") from error
    report.check_stored(made.state_dict(), not_floating(file), f"{where}: {file}")
    info["unexpected_keys"] = [name for name in info["unexpected_keys"] if not of_a_head(name, made, file)]
    report.check(
        made, f"{where}: {file}", info["missing_keys"], info["unexpected_keys"], info["mismatched_keys"], may_be_new
    )
    return made


def of_a_head(name: str, encoder: PreTrainedModel, file: Path) -> bool:
    """Whether a tensor of the file is of a head that was trained with the encoder and is not wanted here.

    A model with a head names its encoder's tensors ``PREFIX.*`` and its head's otherwise.
    """
    prefix = encoder.base_model_prefix
    if hasattr(encoder, prefix):  # no encoder alone: its own head is wanted
        return False
    return name.startswith(HEADS) or (not name.startswith(f"{prefix}.") and any_begins(file, f"{prefix}."))


def not_floating(file: Path) -> list[str]:
    """The names of the weights' tensors that hold other than floating-point numbers, by the files' headers."""
    parts = [file]
    if file.suffix != ".safetensors":  # an index
        parts = [file.parent / name for name in sorted({*folders.shards(file.parent)["weight_map"].values()})]
    found: list[str] = []
    for part in parts:
        with safe_open(part, framework="pt") as stream:
            found += [name for name in stream.keys() if "F" not in stream.get_slice(name).get_dtype()]  # noqa: SIM118
    return found


def any_begins(file: Path, prefix: str) -> bool:
    """Whether the names of some tensors of the weights begin so."""
    if file.suffix != ".safetensors":
        return any(name.startswith(prefix) for name in folders.shards(file.parent)["weight_map"])
    with safe_open(file, framework="pt") as stream:
        return any(name.startswith(prefix) for name in stream.keys())  # noqa: SIM118 (no dictionary)


def tokenizer(folder: Path, where: str) -> Any:
    """A folder's tokenizer.

    Raises:
        UserError: files of it are missing or damaged, or it knows no words.
    """
    check_files(folder, where)
    given = {"config": configuration(folder, where)} if (folder / "config.json").is_file() else {}
    with folders.cleaned(folder, **given) as clean, quiet():
        state_rules(folder, clean)
        try:
            found = AutoTokenizer.from_pretrained(clean, trust_remote_code=False, local_files_only=True)
            if found.model_max_length < 1:
                raise ValueError(f"model_max_length is {found.model_max_length}")
            found("an image \uffff")  # a vocabulary without its token for unknown words fails here alone
        except Exception as error:  # transformers and tokenizers raise errors of their own
            raise UserError(
                f"{where}: the tokenizer of {folder} cannot be loaded ({report.brief(error)}); {folders.REMEDY}"
            ) from error
    check_words(found, f"{where}: the tokenizer of {folder}")
    return found


def state_rules(folder: Path, clean: Path) -> None:
    """Complete the tokenizer_config.json in `clean` by what the vocabulary in `folder` says of itself.

    transformers has defaults instead: a BERT's tokenizer, also a complete one in tokenizer.json, lower-cases texts.
    """
    path = clean / "tokenizer_config.json"
    rules = rules_of_file(folder / "tokenizer.json") or rules_of_words(folder, clean)
    if rules:
        files.write_json(path, {**rules, **(files.read_json(path) if path.is_file() else {})})


def rules_of_file(path: Path) -> dict[str, Any]:
    """The keys of a tokenizer_config.json for the rules of a BERT's tokenizer.json, where they are not the defaults."""
    normalizer = files.read_json(path, folders.REMEDY).get("normalizer") if path.is_file() else None
    if not isinstance(normalizer, Mapping) or normalizer.get("type") != "BertNormalizer":
        return {}
    stated = {key: normalizer.get(name) for key, (name, _) in BERT_RULES.items()}
    return {key: value for key, value in stated.items() if type(value) is bool and value != BERT_RULES[key][1]}


def rules_of_words(folder: Path, clean: Path) -> dict[str, Any]:
    """The same for a folder whose vocabulary is vocab.txt alone: a word with a capital is one of a cased BERT."""
    if [name for name in folders.VOCABULARY if (folder / name).is_file()] != [folders.WORDS]:
        return {}
    rules: dict[str, Any] = {} if (clean / "config.json").is_file() else {"tokenizer_class": "BertTokenizer"}
    words = (folder / folders.WORDS).read_text("utf-8", errors="replace").split()
    if any(word != word.lower() for word in words if not SPECIAL.fullmatch(word)):
        rules["do_lower_case"] = False
    return rules


def check_files(folder: Path | None, where: str) -> None:
    """transformers makes up a tokenizer of five words for a folder that has none.

    Raises:
        UserError: the folder has none.
    """
    if folder is None or not folders.has_tokenizer(folder):
        raise UserError(
            f"{where}: the folder {folder} holds no tokenizer (none of {', '.join(folders.VOCABULARY)}); put it "
            "there: tokenizer.save_pretrained writes it"
        )


def check_words(tokenizer: Any, where: str) -> None:
    """A tokenizer must know more than its special tokens.

    Raises:
        UserError: it does not.
    """
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):
        raise UserError(f"{where} knows {len(tokenizer)} special tokens and no word; {folders.REMEDY}")


def check_vocabulary(tokenizer: Any, rows: int, where: str) -> None:
    """The model must have a vector for every token but those that were added to the tokenizer's own.

    Raises:
        UserError: it has not.
    """
    added = tokenizer.get_added_vocab()
    most = max((number for token, number in tokenizer.get_vocab().items() if token not in added), default=0)
    if most >= rows:
        raise UserError(
            f"{where}: its tokenizer numbers tokens up to {most} and the model has vectors for {rows}; name the "
            "tokenizer of this model"
        )


def config(folder: Path, where: str) -> PreTrainedConfig:
    """The configuration of a folder's model."""
    return AutoConfig.for_model(**configuration(folder, where))


@contextmanager
def quiet() -> Iterator[None]:
    """transformers prints no report of its own: `report` says the same."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
