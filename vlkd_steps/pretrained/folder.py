"""A model folder as libraries may see it: of its files those that hold data, of its configurations the known keys.

transformers, open_clip and timm read more from a folder than weights and sizes: Python files (``auto_map``), pickles,
adapters, kernels and weights of other repositories, and keys that become arguments of their own loaders. So they never
get the folder itself, but a temporary one: the weights, as safetensors, and the vocabulary are linked to, the
configurations are written again with the keys that are allowed here.
"""

import codecs
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from vlkd_steps.core import files
from vlkd_steps.core.errors import UserError
from vlkd_steps.core.numbers import finite
from vlkd_steps.core.step import log

REMEDY = "fetch the folder again, or name another"

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
"""Of weights that are not read."""

SHARDS = "model.safetensors.index.json"
SHARDED = (SHARDS, "model-*-of-*.safetensors")
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
VOCABULARY = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
"""A tokenizer needs one of these."""
WORDS = "vocab.txt"
LINKED = (*VOCABULARY, "merges.txt")

TOKEN = ("bos", "eos", "unk", "sep", "pad", "cls", "mask", "additional_special", "extra_special")
TOKENIZER = {
    *(f"{name}_token" for name in TOKEN), "additional_special_tokens", "extra_special_tokens", "added_tokens_decoder",
    "tokenizer_class", "backend", "model_max_length", "padding_side", "truncation_side", "do_lower_case", "lowercase",
    "strip_accents", "tokenize_chinese_chars", "do_basic_tokenize", "never_split", "add_prefix_space", "trim_offsets",
    "clean_up_tokenization_spaces", "add_bos_token", "add_eos_token", "errors", "legacy", "split_special_tokens",
    "spaces_between_special_tokens", "keep_accents", "remove_space", "extra_ids", "language", "src_lang", "tgt_lang",
}  # fmt: skip
"""Keys of tokenizer_config.json and special_tokens_map.json."""

SWITCHES = (
    "do_lower_case", "lowercase", "strip_accents", "tokenize_chinese_chars", "do_basic_tokenize", "add_prefix_space",
    "trim_offsets", "clean_up_tokenization_spaces", "add_bos_token", "add_eos_token", "split_special_tokens",
    "keep_accents", "remove_space",
)  # fmt: skip
"""Those of them that are true or false."""

FORBIDDEN = {
    "auto_map", "custom_pipelines", "custom_generate", "trust_remote_code", "attn_implementation",
    "quantization_config", "experts_implementation", "name_or_path", "dtype", "torch_dtype", "use_kernels",
}  # fmt: skip
"""Keys of a config.json that are not read at any depth, nor are those that begin with an underscore."""

LARGEST_SIDE = 16_384
"""Pixels of an image as a model takes it."""

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def located(source: str, weights: Collection[str] = (*WEIGHTS, *SHARDED), offline: bool = False) -> Path:
    """A folder, or the copy of a repository of the Hugging Face hub (``NAME@REVISION``): the files that are read here.

    Args:
        weights: names (or patterns) of the files of weights that are wanted; none for a tokenizer.
        offline: take what the hub's cache on this machine has.

    Raises:
        OSError: no such folder, and it cannot be fetched.
        UserError: the repository has none of the wanted weights.
    """
    if Path(source).is_dir():
        return Path(source)
    name, _, revision = source.partition("@")
    if not HUB_NAME.fullmatch(name):
        raise OSError("there is no such folder, nor can this be a name of the hub")
    from huggingface_hub import snapshot_download

    configurations = ("config.json", "open_clip_config.json", "tokenizer_config.json", "special_tokens_map.json")
    wanted = [*weights, *LINKED, *configurations, "added_tokens.json"]
    try:
        found = snapshot_download(name, revision=revision or None, allow_patterns=wanted, local_files_only=offline)
    except Exception as error:  # of the hub, of its HTTP library and of the system
        raise OSError(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__) from error
    if weights and not offline and not any(any(Path(found).glob(each)) for each in weights):
        raise UserError(
            f"the repository {source} of the hub has no weights as safetensors, and nothing else is read; name a "
            "revision that has them (NAME@REVISION; see its pull requests, NAME@refs/pr/NUMBER), or a folder that "
            "save_pretrained wrote"
        )
    return Path(found)


@contextmanager
def cleaned(folder: Path | None, **configurations: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary folder with what may be read of `folder`.

    Args:
        folder: None: a folder with nothing but the configurations.
        configurations: what is written as ``NAME.json`` there, allowed keys alone.

    Raises:
        UserError: a file of it is damaged, or names weights outside the folder.
    """
    with tempfile.TemporaryDirectory(prefix="vlkd-model-") as temporary:
        clean = Path(temporary)
        if folder is not None:
            fill(clean, folder)
        for name, content in configurations.items():
            files.write_json(clean / f"{name}.json", dict(content))
        yield clean


def fill(clean: Path, folder: Path) -> None:
    """Link to a folder's weights and vocabulary, and write the allowed keys of what describes its tokenizer."""
    for path in [*(folder / name for name in LINKED), *sorted(folder.glob("*.safetensors"))]:
        if path.is_file():
            (clean / path.name).symlink_to(path.resolve())
    if (folder / WORDS).is_file() and (words := (folder / WORDS).read_bytes()).startswith(codecs.BOM_UTF8):
        (clean / WORDS).unlink()  # the mark would become a part of the first word
        (clean / WORDS).write_bytes(words.removeprefix(codecs.BOM_UTF8))
    if (folder / SHARDS).is_file() and not (folder / "model.safetensors").is_file():
        files.write_json(clean / SHARDS, shards(folder))
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / name).is_file():
            found = files.read_json(folder / name, REMEDY)
            check_switches(found, SWITCHES, f"{folder / name}: ")
            files.write_json(clean / name, allowed(found, TOKENIZER.__contains__, folder / name))
    if (folder / "added_tokens.json").is_file():
        added = files.read_json(folder / "added_tokens.json", REMEDY)
        files.write_json(clean / "added_tokens.json", {k: v for k, v in added.items() if type(v) is int})


def shards(folder: Path) -> dict[str, Any]:
    """The index of weights in several files, all of which are safetensors of the folder itself."""
    index = files.read_json(folder / SHARDS, REMEDY)
    parts = index.get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise UserError(f"{folder / SHARDS}: weight_map is no list of the weights' files; {REMEDY}")
    for tensor, name in sorted(parts.items()):
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise UserError(f"{folder / SHARDS}: weight_map.{tensor}: {name!r} is no safetensors file; {REMEDY}")
        if not (folder / name).is_file():
            raise UserError(f"{folder / SHARDS}: weight_map.{tensor}: {name} is missing in {folder}; {REMEDY}")
    return {"metadata": {}, "weight_map": parts}


def allowed(found: Any, known: Callable[[str], bool], where: object) -> dict[str, Any]:
    """The known keys of a configuration, without forbidden ones at any depth; a line says which others it has.

    Raises:
        UserError: it is no object.
    """
    if not isinstance(found, Mapping):
        raise UserError(f"{where} is {repr(found)[:60]}, not an object; {REMEDY}")
    left = set(found) - {key for key in found if known(key)}
    kept = without_forbidden({key: value for key, value in found.items() if known(key)}, left)
    left -= {"architectures", "transformers_version", "dtype", "torch_dtype"}  # every folder has them
    if left:
        say_once(f"{where}: not read: {', '.join(sorted(left))}")
    return kept


def check_switches(found: Mapping[str, Any], names: Collection[str], where: str) -> None:
    """Refuse a text where libraries take any text for true, "false" and "no" too.

    Raises:
        UserError: one of the keys is given, and neither true nor false.
    """
    for name in names:
        if found.get(name) is not None and type(found[name]) is not bool:
            raise UserError(f"{where}{name} is {repr(found[name])[:60]}, not true or false; {REMEDY}")


def check_images(found: Mapping[str, Any], where: object) -> None:
    """Refuse a preparation of images that no library checks: a std of 0, one mean for all channels, an endless size.

    Raises:
        UserError: a mean or std that is not three numbers, or a size that is no image's.
    """
    for key in ("mean", "std"):
        values = found.get(key)
        three = isinstance(values, list) and len(values) == 3 and all(map(finite, values))
        if values is not None and not (three and (key == "mean" or min(values) > 0)):
            what = "three numbers" if key == "mean" else "three numbers above 0"
            raise UserError(f"{where}.{key} is {repr(values)[:60]}, not {what}; {REMEDY}")
    for key, most in (("size", 2), ("input_size", 3)):
        sizes = found.get(key)
        sides = sizes if isinstance(sizes, list) else [sizes]
        right = 1 <= len(sides) <= most and all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides)
        if sizes is not None and not (right and (most == 2 or (len(sides) == 3 and sides[0] == 3))):
            what = "the size of an RGB image, such as [3, 224, 224]" if most == 3 else "the size of an image"
            raise UserError(f"{where}.{key} is {repr(sizes)[:60]}, not {what}; {REMEDY}")


def without_forbidden(value: Any, left: set[str]) -> Any:
    """The same without forbidden keys, however deep; their names are added to `left`."""
    if isinstance(value, list):
        return [without_forbidden(inner, left) for inner in value]
    if not isinstance(value, Mapping):
        return value
    forbidden = {key for key in value if key.startswith("_") or key in FORBIDDEN}
    left |= forbidden
    return {key: without_forbidden(inner, left) for key, inner in value.items() if key not in forbidden}


@cache
def say_once(text: str) -> None:
    """A folder is read for its model, for its tokenizer and for its identity."""
    log.info(text)


def weights(folder: Path, names: Collection[str] = (*WEIGHTS, SHARDS)) -> Path:
    """The file of a folder's weights: the first of `names` that is there, or else its only safetensors file.

    Raises:
        UserError: there is none; pickled weights, which are not read, are named.
    """
    found = [folder / name for name in names if (folder / name).is_file()] or sorted(folder.glob("*.safetensors"))
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLED) if folder.is_dir() else []
    if not found:
        have = f", and {', '.join(pickled)} is not read, since nothing is unpickled" if pickled else ""
        raise UserError(
            f"the model folder {folder} holds no *.safetensors{have}; put the weights there as safetensors "
            "(save_pretrained and open_clip's push_to_hf_hub write them)"
        )
    if pickled:
        say_once(f"{folder}: not read: {', '.join(pickled)}; the weights are those of {found[0].name}")
    return found[0]


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in VOCABULARY)
